"""The losses of CycleGAN-AD (paper 3, figure 3) with the formulas and weights of Zhu et al. 2017.

Least squares stand in for the logarithms of the adversarial game (their section 4), cycle and identity losses are
mean absolute differences (sections 3.2 and 5.2) of images in [-1, 1].
"""

import torch
from torch import Tensor
from torch.nn import functional

REAL, DRAWN = 1.0, 0.0  # what a discriminator is to say


def least_squares(said: Tensor, wanted: float) -> Tensor:
    """Return the mean of (D - wanted)², >= 0."""
    return (said - wanted).square().mean()


def critic_loss(real: Tensor, drawn: Tensor) -> Tensor:
    """Return half the sum of both games' squares, >= 0; 0.25 for a discriminator that says 0.5 of everything.

    Half of it, so that it learns more slowly than the generators (their section 4, training details).
    """
    return 0.5 * (least_squares(real, REAL) + least_squares(drawn, DRAWN))


def cycle_loss(image_BCHW: Tensor, back_BCHW: Tensor) -> Tensor:
    """Return the mean |x - G'(G(x))| of images that went to the other domain and back, >= 0."""
    return functional.l1_loss(back_BCHW, image_BCHW)


def identity_loss(image_BCHW: Tensor, same_BCHW: Tensor) -> Tensor:
    """Return the mean |x - G(x)| of images that are of the generator's domain already, >= 0."""
    return functional.l1_loss(same_BCHW, image_BCHW)


def generator_loss(adversarial: Tensor, cycle: Tensor, identity: Tensor, *, cycle_weight: float, identity_share: float) -> Tensor:
    """Return L_GAN + lambda L_cyc + share lambda L_identity; each loss is the sum over both directions."""
    return adversarial + cycle_weight * (cycle + identity_share * identity)


def learning_rate_factor(step: int, steps: int) -> float:
    """Return the share of the learning rate at `step`, in (0, 1]: 1 for the first half, then a straight line towards 0."""
    half = steps // 2
    return 1.0 if step < half else (steps - step) / (steps - half)


def signed(image_BCHW: Tensor) -> Tensor:
    """Return images in [0, 1] as the networks see them: in [-1, 1], channels last."""
    return (2 * image_BCHW - 1).contiguous(memory_format=torch.channels_last)
