"""Train both ways between abnormal and normal images: seeded, resumable, with curves.

Discriminators see what is drawn at the same step, without a pool of earlier ones: the state of a training is then its
weights, its optimisers and its step, and nothing that was drawn.
Axes: B images, C channels, H and W pixels; a leading 2 is normal, abnormal.
"""

from typing import Unpack

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from zeromiss.backbones.load import load_backbone
from zeromiss.detector_params import CycleganParams
from zeromiss.detectors.batches import Images, generator_at
from zeromiss.detectors.cyclegan import loss as losses
from zeromiss.detectors.cyclegan.cyclegan import Cyclegan, resized
from zeromiss.detectors.cyclegan.network import Direction
from zeromiss.detectors.images import floats
from zeromiss.detectors.loop import How, Trained, device, learn, low_precision
from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize, Size

_DRAWS, _BACK = 3, 2  # what random numbers are drawn for, beside the 1 of the way to normal


class Pairs(Dataset[Tensor]):
    """Item i is the batch of step i: as many normal as abnormal images, float in [0, 1], (2, B, 3, side, side)."""

    def __init__(self, images: Images, abnormal: Images, *, params: CycleganParams, seed: int) -> None:
        """Draw from both with replacement; nothing but seed and step decides which."""
        self._domains, self._params, self._seed = (images, abnormal), params, seed

    def __len__(self) -> int:
        """Return the number of steps."""
        return self._params.steps

    def __getitem__(self, step: int) -> Tensor:
        """Return the batch of `step`."""
        draws = generator_at(self._seed, step, _DRAWS)
        return torch.stack([self._batch(domain, draws) for domain in self._domains])

    def _batch(self, domain: Images, draws: torch.Generator) -> Tensor:
        picked = torch.randint(len(domain), (self._params.batch,), generator=draws).tolist()
        return torch.cat([resized(floats(domain[index])[None], self._params.side) for index in picked])


class Learner:
    """Both ways, their optimisers, and one step of all (paper 3, figure 3)."""

    def __init__(self, params: CycleganParams, normal: Direction, *, seed: int) -> None:
        """Put the given way into the normal domain and a new one back on the device that learns."""
        self.params, self._device = params, device()
        self.normal, self.abnormal = normal.to(self._device), Direction(params, seed=seed, purpose=_BACK).to(self._device)
        self.modules: dict[str, nn.Module] = {"normal": self.normal, "abnormal": self.abnormal}
        self._drawing = [*self.normal.generator.parameters(), *self.abnormal.generator.parameters()]
        judging = [*self.normal.critic.parameters(), *self.abnormal.critic.parameters()]
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "generators": torch.optim.Adam(self._drawing, lr=params.learning_rate, betas=(0.5, 0.999)),
            "critics": torch.optim.Adam(judging, lr=params.learning_rate, betas=(0.5, 0.999)),
        }

    def step(self, batch: Tensor, step: int) -> dict[str, Tensor]:
        """Learn from (2, B, 3, H, W) in [0, 1]; return the losses, each the sum over both ways."""
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = self.params.learning_rate * losses.learning_rate_factor(step, self.params.steps)
        normal_BCHW, abnormal_BCHW = (losses.signed(images) for images in batch.to(self._device))
        values, drawn_normal_BCHW, drawn_abnormal_BCHW = self._draw(normal_BCHW, abnormal_BCHW)
        pairs = ((self.normal, normal_BCHW, drawn_normal_BCHW), (self.abnormal, abnormal_BCHW, drawn_abnormal_BCHW))
        with self._autocast():
            judged = [losses.critic_loss(way.critic(real).float(), way.critic(drawn).float()) for way, real, drawn in pairs]
        self.optimisers["critics"].zero_grad(set_to_none=True)
        values["critic"] = judged[0] + judged[1]
        values["critic"].backward()
        self.optimisers["critics"].step()
        return values

    def _draw(self, normal_BCHW: Tensor, abnormal_BCHW: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Move both generators; return the losses and what they drew, without history.

        Each goes once over both domains: from the other one it draws, its own it must leave as it is.
        """
        with self._autocast():
            drawn_normal_BCHW, same_normal_BCHW = self.normal.generator(torch.cat([abnormal_BCHW, normal_BCHW])).chunk(2)
            drawn_abnormal_BCHW, same_abnormal_BCHW = self.abnormal.generator(torch.cat([normal_BCHW, abnormal_BCHW])).chunk(2)
            back_normal_BCHW = self.normal.generator(drawn_abnormal_BCHW)
            back_abnormal_BCHW = self.abnormal.generator(drawn_normal_BCHW)
            said = [self.normal.critic(drawn_normal_BCHW).float(), self.abnormal.critic(drawn_abnormal_BCHW).float()]
        adversarial = sum(losses.least_squares(map_, losses.REAL) for map_ in said)
        cycle = losses.cycle_loss(normal_BCHW, back_normal_BCHW.float()) + losses.cycle_loss(abnormal_BCHW, back_abnormal_BCHW.float())
        identity = losses.identity_loss(normal_BCHW, same_normal_BCHW.float()) + losses.identity_loss(abnormal_BCHW, same_abnormal_BCHW.float())
        total = losses.generator_loss(adversarial, cycle, identity, cycle_weight=self.params.cycle, identity_share=self.params.identity)
        self.optimisers["generators"].zero_grad(set_to_none=True)
        total.backward(inputs=self._drawing)
        self.optimisers["generators"].step()
        values = {"adversarial": adversarial.detach(), "cycle": cycle.detach(), "identity": identity.detach()}
        return values, drawn_normal_BCHW.detach(), drawn_abnormal_BCHW.detach()

    def _autocast(self) -> torch.autocast:
        return low_precision(self.params.precision, self._device)


def train(params: CycleganParams, images: Images, *, abnormal: Images, size: Size, seed: int, **how: Unpack[How]) -> Trained:
    """Train on normal `images` and `abnormal` ones, uint8 (3, H, W) of `size`; the same seed gives the same weights.

    Raises ZeromissError without images of one kind, with a side above theirs, without the backbone's weights, or when a
    loss is no longer finite.
    """
    for found, kind, key in ((images, "normal", "train"), (abnormal, "abnormal", "abnormal")):
        if len(found) == 0:
            raise ZeromissError(f"no {kind} image for cyclegan to train on: ingest some, or raise manifest.{key}")
    if params.side > ImageSize.of(size).shorter:
        raise ZeromissError(f"cyclegan.side is {params.side} but the images have {size} pixels: lower it or raise size")
    with torch.random.fork_rng(devices=[]):  # the backbone and the loader of batches draw from the global generator
        detector = Cyclegan(params, seed=seed, backbone=load_backbone(params.backbone, params.backbone_path))
        learner = Learner(params, detector.normal, seed=seed)
        history, seconds = learn(
            learner,
            Pairs(images, abnormal, params=params, seed=seed),
            name="cyclegan",
            steps=params.steps,
            checkpoint_every=params.checkpoint_every,
            **how,
        )
    return Trained(detector=detector.cpu().eval(), history=history, seconds=seconds)
