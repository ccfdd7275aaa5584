"""The losses of paper 1, section 3.1.1, and when the discriminator's reaches the generator.

The paper writes the adversarial game with log D, and so it is here: with D = sigmoid(logit) both
logarithms are softplus, which does not overflow. The generator maximises log D(x_hat) rather than
minimising log(1 - D(x_hat)): same fixed point, and a gradient where D is sure of itself.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

DELTA = 1e-6
CAP = 1e4  # of the adaptive weight: a discriminator without gradient must not blow up a step


def adaptive_weight(gradient_rec: Tensor, gradient_gan: Tensor) -> Tensor:
    """Return lambda = ||grad_L L_rec|| / (||grad_L L_GAN|| + 1e-6), a scalar in [0, 1e4].

    Both gradients are taken at the weights of the decoder's last layer L.
    """
    return (gradient_rec.norm() / (gradient_gan.norm() + DELTA)).clamp(max=CAP)


def critic_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return -mean log D(x) - mean log(1 - D(x_hat)), >= 0 (2 log 2 for an undecided critic)."""
    return functional.softplus(-real_logits).mean() + functional.softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Return -mean log D(x_hat), >= 0."""
    return functional.softplus(-fake_logits).mean()


def critic_learns(step: int, *, start: int) -> bool:
    """Return whether the discriminator trains at `step` (0 is the first)."""
    return step >= start


def critic_counts(step: int, *, start: int, warmup: int) -> bool:
    """Return whether its loss reaches the generator: `warmup` steps after it began to train."""
    return step >= start + warmup


def learning_rate_factor(step: int, steps: int, *, warmup: int, end: float) -> float:
    """Return the share of the learning rate at `step`, in (0, 1]: a rise over `warmup` steps, then a half cosine down to `end`.

    With `warmup` 0 and `end` 1 it is 1 throughout. It depends on the step alone, so a resumed training needs no state of it.
    """
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return rise * (end + (1.0 - end) * 0.5 * (1 + math.cos(math.pi * step / steps)))


def psnr(image: Tensor, image_hat: Tensor) -> float:
    """Return the peak signal-to-noise ratio of images in [0, 1], in dB (higher = more alike).

    Identical images have 100 dB by definition, so that the figure stays finite.
    """
    error = torch.mean((image.double() - image_hat.double()) ** 2).item()
    return 100.0 if error < 1e-10 else -10 * math.log10(error)
