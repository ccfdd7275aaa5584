"""EfficientAD's training, step by step: first a teacher, where none is given, then the student and the autoencoder.

Which of the two a step teaches, and with which images, depends on its number and the seed alone.
"""

from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn import functional

from zeromiss.detector_params import EfficientadParams
from zeromiss.detectors.batches import Images, generator_at
from zeromiss.detectors.efficientad.efficientad import Efficientad, to_side
from zeromiss.detectors.efficientad.photographs import cuts, photographs
from zeromiss.detectors.efficientad.teacher import Aim
from zeromiss.detectors.images import floats
from zeromiss.detectors.loop import device, low_precision
from zeromiss.detectors.peers.imports import clearly, seeded
from zeromiss.errors import ZeromissError

_MEASURED = 64  # images, of the product and of anything else, over which aims are standardised
_LOWERED = 0.95  # share of the student's steps after which its learning rate is a tenth (anomalib's own)
_OTHERS, _DROPOUT, _AIMS = 1, 2, 3  # purposes of draws; 0 is the batch's


class Learner:
    """The detector, its optimisers and what both phases learn from."""

    def __init__(self, detector: Efficientad, images: Images, *, seed: int) -> None:
        """Prepare to teach on `images`, uint8 (3, H, W); raises ZeromissError where the images of anything else cannot be read."""
        self.params, self._images, self._seed = detector.params, images, seed
        self.detector = detector.train()
        detector.peer.to(device())  # itself, or it would not know where it is
        self._others, self._aim = photographs(self.params.other_images), None
        model, rate = self.detector.model, self.params.learning_rate
        student = [*model.student.parameters(), *model.ae.parameters()]
        self.modules = {"model": model}
        self.optimisers = {
            "teacher": torch.optim.Adam(model.teacher.parameters(), lr=self.params.teacher_learning_rate, weight_decay=self.params.weight_decay),
            "student": torch.optim.Adam(student, lr=rate, weight_decay=self.params.weight_decay),
        }

    def step(self, batch: Tensor, step: int) -> dict[str, Tensor]:
        """Learn from one batch of uint8 images; the curves are 0 where a phase has no such loss."""
        image_BCHW = floats(batch).to(device())
        curves = dict.fromkeys(("teacher", "student", "autoencoder", "agreement"), torch.zeros(()))
        first = teacher_steps(self.params)
        if step < first:
            return curves | {"teacher": self._teach(image_BCHW, step)}
        if step == first:
            self._standardise()
        return curves | self._imitate(image_BCHW, step - first, step)

    def _teach(self, image_BCHW: Tensor, step: int) -> Tensor:
        """Bring the teacher nearer to the backbone's features, on the product and on as many images of anything else."""
        side = self.params.side
        others_BCHW = cuts(self._others, len(image_BCHW), 2 * side, generator_at(self._seed, step, _OTHERS)).to(device())
        seen_BCHW = torch.cat([to_side(image_BCHW, 2 * side), others_BCHW])
        aim_BChw = self._aims()(seen_BCHW)
        with self._autocast():
            said_BChw = self.detector.model.teacher(to_side(seen_BCHW, side))
        loss = functional.mse_loss(said_BChw.float(), aim_BChw)
        self._descend("teacher", loss)
        return loss.detach()

    def _imitate(self, image_BCHW: Tensor, own_step: int, step: int) -> dict[str, Tensor]:
        """Take one step with anomalib's three losses."""
        params = self.params
        image_BCHW = to_side(image_BCHW, params.side)
        others_BCHW = cuts(self._others, len(image_BCHW), params.side, generator_at(self._seed, step, _OTHERS)).to(device())
        lowered = own_step >= int(_LOWERED * params.steps)
        for group in self.optimisers["student"].param_groups:
            group["lr"] = params.learning_rate * (0.1 if lowered else 1.0)
        state = int(torch.randint(2**62, (), generator=generator_at(self._seed, step, _DROPOUT)))
        with clearly("a step of efficientad", "check efficientad.side and efficientad.batch"), seeded(state), self._autocast():
            losses = self.detector.model(batch=image_BCHW, batch_imagenet=others_BCHW)
        self._descend("student", sum(losses))
        return dict(zip(("student", "autoencoder", "agreement"), (loss.detach() for loss in losses), strict=True))

    def _descend(self, name: str, loss: Tensor) -> None:
        self.optimisers[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers[name].step()

    def _autocast(self) -> torch.autocast:
        return low_precision(self.params.precision, device())

    def _aims(self) -> Aim:
        """Return the backbone's features as aims, standardised over the same images whenever a training begins or goes on."""
        if self._aim is None:
            aim, side = Aim(self.params).to(device()), 2 * self.params.side
            draws = generator_at(self._seed, 0, _AIMS)
            picked = torch.randperm(len(self._images), generator=draws)[: _MEASURED // 2].tolist()
            seen = [to_side(floats(self._images[index])[None], side) for index in picked] + [cuts(self._others, 1, side, draws) for _ in picked]
            aim.standardise([image_BCHW.to(device()) for image_BCHW in seen])
            self._aim = aim
        return self._aim

    def _standardise(self) -> None:
        """Let anomalib measure the teacher's channels over all images that teach."""
        self._aim = None  # the backbone is needed no more
        peer = self.detector.peer
        peer.model.mean_std.update(peer.teacher_channel_mean_std(Shown(self._images, self.params.side)))
        std = peer.model.mean_std["std"]
        if not bool((std > 0).all()):  # NaN too
            raise ZeromissError("efficientad's teacher says the same of every place of every training image: check that they show the product")


class Shown:
    """Images as anomalib's statistics ask for them: batches of one, each normal, read when their turn comes."""

    def __init__(self, images: Images, side: int) -> None:
        """Name the images and the side they are brought to."""
        self._images, self._side = images, side

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._images)

    def __getitem__(self, index: int) -> SimpleNamespace:
        """Return one batch; raises IndexError beyond the last."""
        if index >= len(self._images):
            raise IndexError(index)
        return SimpleNamespace(image=to_side(floats(self._images[index])[None], self._side), gt_label=torch.zeros(1))


def teacher_steps(params: EfficientadParams) -> int:
    """Return the steps of the first phase: none where the published teacher is given."""
    return 0 if params.teacher_path else params.teacher_steps
