"""GANomaly's training step: anomalib's networks and losses, in the order of anomalib's own step."""

import torch
from torch import Tensor

from zeromiss.detectors.ganomaly.ganomaly import Ganomaly
from zeromiss.detectors.images import floats
from zeromiss.detectors.loop import device
from zeromiss.detectors.peers.imports import anomalib, clearly
from zeromiss.errors import ZeromissError

_BETAS = (0.5, 0.999)


class Learner:
    """Generator, discriminator and their optimisers."""

    def __init__(self, detector: Ganomaly) -> None:
        """Prepare to train a detector's networks."""
        losses, params = anomalib("models.image.ganomaly.loss"), detector.params
        self.detector = detector.to(device()).train()
        self._generator_loss = losses.GeneratorLoss(params.adversarial, params.contextual, params.encoder)
        self._discriminator_loss = losses.DiscriminatorLoss()
        parts = {"generator": detector.model.generator, "discriminator": detector.model.discriminator}
        self.modules = {"model": detector.model}
        self.optimisers = {name: torch.optim.Adam(part.parameters(), lr=params.learning_rate, betas=_BETAS) for name, part in parts.items()}

    def step(self, batch: Tensor, step: int) -> dict[str, Tensor]:
        """Learn from one batch of uint8 images: the generator first, then the discriminator from the same drawings."""
        model = self.detector.model
        with clearly("a step of ganomaly", "raise ganomaly.batch or lower ganomaly.learning_rate"):
            image_BCHW, drawn_BCHW, code, code_of_drawn = model(self.detector.seen(floats(batch).to(device())))
            real, _ = model.discriminator(image_BCHW)
            fake, _ = model.discriminator(drawn_BCHW)
            _refuse_what_is_no_number(real, fake)
            generator = self._generator_loss(code, code_of_drawn, image_BCHW, drawn_BCHW, real, fake)
            self.optimisers["generator"].zero_grad(set_to_none=True)
            generator.backward(retain_graph=True)
            self.optimisers["generator"].step()
            fake, _ = model.discriminator(drawn_BCHW.detach())
            discriminator = self._discriminator_loss(real, fake)
            self.optimisers["discriminator"].zero_grad(set_to_none=True)
            discriminator.backward()
            self.optimisers["discriminator"].step()
        return {"generator": generator.detach(), "discriminator": discriminator.detach()}


def _refuse_what_is_no_number(*verdicts: Tensor) -> None:
    """Stop before the loss does: on a GPU its own check ends the whole process's use of the device, without a word."""
    if not all(torch.isfinite(verdict_B).all() for verdict_B in verdicts):
        raise ZeromissError("training of ganomaly lost its way (its discriminator gives no number): lower ganomaly.learning_rate")
