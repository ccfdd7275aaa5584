"""One step of the training, whichever of its two phases it lies in: first the WGAN, then the encoder.

A step of the first phase moves the critic, every `critic_steps`-th the generator as well; in the second both are
frozen. The generator that stays is a moving average of the one that learns: a WGAN circles its goal, and a short
training would else end anywhere on the way. What a step draws depends on seed and step alone.
Axes: B images, C channels, H and W pixels, Z latent numbers.
"""

import copy
from typing import Unpack

import torch
from torch import Tensor, nn

from zeromiss.detector_params import WganParams
from zeromiss.detectors.batches import Batches, generator_at
from zeromiss.detectors.ganodip import loss as losses
from zeromiss.detectors.ganodip.network import Networks
from zeromiss.detectors.ganodip.resize import signed
from zeromiss.detectors.loop import How, Trained, device, learn

_BETAS = (0.0, 0.9)  # of Adam for the WGAN, as the authors of the gradient penalty set them
_DRAWS = 1  # purpose of a step's generator; 0 is the batches'


class WganLearner:
    """The networks and their optimisers, step by step."""

    def __init__(self, networks: Networks, params: WganParams, *, seed: int, device: torch.device) -> None:
        """Place the networks on `device`."""
        self.networks, self._params, self._seed, self._device = networks.to(device), params, seed, device
        self._live = copy.deepcopy(networks.generator)  # learns; `networks.generator` follows it
        self.modules = {"networks": networks, "live": self._live}
        rate, slow = params.learning_rate, params.encoder_learning_rate
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "generator": torch.optim.Adam(self._live.parameters(), lr=rate, betas=_BETAS, fused=True),
            "critic": torch.optim.Adam(networks.critic.parameters(), lr=rate, betas=_BETAS, fused=True),
            "encoder": torch.optim.Adam(networks.encoder.parameters(), lr=slow, fused=True),
        }

    def step(self, batch: Tensor, step: int) -> dict[str, Tensor]:
        """Learn from one batch of uint8 images (B, 3, H, W); a scalar of the phase that `step` is not in is 0."""
        real_BCHW = signed(batch.to(self._device).float() / 255, self.networks.side)
        values = dict.fromkeys(("distance", "penalty", "residual", "feature"), torch.zeros(()))
        if step < self._params.gan_steps:
            return values | self._gan_step(real_BCHW, step)
        return values | self._encoder_step(real_BCHW, step - self._params.gan_steps)

    def _gan_step(self, real_BCHW: Tensor, step: int) -> dict[str, Tensor]:
        """Move the critic; in every `critic_steps`-th step then the generator."""
        draws = generator_at(self._seed, step, _DRAWS)
        values = self._critic_step(real_BCHW, draws)
        if (step + 1) % self._params.critic_steps == 0:
            self.networks.critic.requires_grad_(False)
            self._move("generator", losses.generator_loss(self.networks.critic(self._fakes(len(real_BCHW), draws))))
            self._follow()
        return values

    def _critic_step(self, real_BCHW: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        self.networks.critic.requires_grad_(True)
        with torch.no_grad():
            fake_BCHW = self._fakes(len(real_BCHW), draws)
        share_B = torch.rand(len(real_BCHW), generator=draws).to(self._device)
        point_BCHW = losses.between(real_BCHW, fake_BCHW, share_B).requires_grad_()
        critic = self.networks.critic
        (gradient_BCHW,) = torch.autograd.grad(critic(point_BCHW).sum(), point_BCHW, create_graph=True)
        penalty = losses.gradient_penalty(gradient_BCHW)
        real_B, fake_B = critic(torch.cat([real_BCHW, fake_BCHW])).chunk(2)
        self._move("critic", losses.critic_loss(real_B, fake_B, penalty, self._params.penalty))
        return {"distance": losses.wasserstein(real_B, fake_B).detach(), "penalty": penalty.detach()}

    def _encoder_step(self, real_BCHW: Tensor, step: int) -> dict[str, Tensor]:
        self.networks.generator.requires_grad_(False)
        self.networks.critic.requires_grad_(False)
        image_hat_BCHW = self.networks.redraw(real_BCHW)
        features_BF, features_hat_BF = (self.networks.critic.features(judged) for judged in (real_BCHW, image_hat_BCHW))
        residual_B = losses.residual(real_BCHW, image_hat_BCHW)
        feature_B = losses.feature_residual(features_BF, features_hat_BF)
        for group in self.optimisers["encoder"].param_groups:
            group["lr"] = self._params.encoder_learning_rate * losses.decay(step, self._params.encoder_steps)
        self._move("encoder", losses.encoder_loss(residual_B, feature_B, self._params.kappa))
        return {"residual": residual_B.mean().detach(), "feature": feature_B.mean().detach()}

    def _fakes(self, count: int, draws: torch.Generator) -> Tensor:
        """Return G(z), (count, 3, H, W), z ~ N(0, I)."""
        return self._live(torch.randn(count, self._params.latent, generator=draws).to(self._device))

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the generator that stays a little towards the one that learns."""
        for kept, live in zip(self.networks.generator.parameters(), self._live.parameters(), strict=True):
            kept.lerp_(live, 1 - self._params.average)

    def _move(self, name: str, loss: Tensor) -> None:
        self.optimisers[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers[name].step()


def teach(detector: nn.Module, batches: Batches, *, seed: int, **how: Unpack[How]) -> Trained:
    """Teach the `networks` of a Ganodip or an FAnogan both phases, one step a batch; return it frozen, on the CPU."""
    params = detector.params
    learner = WganLearner(detector.networks, params, seed=seed, device=device())
    history, seconds = learn(learner, batches, name=detector.name, steps=len(batches), checkpoint_every=params.checkpoint_every, **how)
    return Trained(detector=detector.cpu().requires_grad_(False).eval(), history=history, seconds=seconds)
