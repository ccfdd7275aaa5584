"""The losses of paper 2, section 5.1: Wasserstein with gradient penalty (equation 1), then the encoder's (equation 2).

Images are in [-1, 1] here. Axes: B images, C channels, H and W pixels, F features.
"""

import torch
from torch import Tensor


def between(real_BCHW: Tensor, fake_BCHW: Tensor, share_B: Tensor) -> Tensor:
    """Return the points of equation 1's third term: `share_B` in [0, 1] of the way from fake to real."""
    share_B111 = share_B.view(-1, 1, 1, 1)
    return share_B111 * real_BCHW + (1 - share_B111) * fake_BCHW


def gradient_penalty(gradient_BCHW: Tensor) -> Tensor:
    """Return the mean over images of (||gradient of D||_2 - 1)^2, a scalar >= 0."""
    return (gradient_BCHW.flatten(1).norm(dim=1) - 1).square().mean()


def wasserstein(real_B: Tensor, fake_B: Tensor) -> Tensor:
    """Return E[D(x)] - E[D(x~)], the critic's estimate of the distance between both distributions (lower = more alike)."""
    return real_B.mean() - fake_B.mean()


def critic_loss(real_B: Tensor, fake_B: Tensor, penalty: Tensor, weight: float) -> Tensor:
    """Return equation 1: E[D(x~)] - E[D(x)] + lambda * penalty."""
    return weight * penalty - wasserstein(real_B, fake_B)


def generator_loss(fake_B: Tensor) -> Tensor:
    """Return -E[D(x~)]: all that the generator can change of equation 1."""
    return -fake_B.mean()


def residual(image_BCHW: Tensor, image_hat_BCHW: Tensor) -> Tensor:
    """Return (1 / n) ||x - G(E(x))||^2 of each image, (B,) >= 0; n counts its values, as in f-AnoGAN."""
    return (image_BCHW - image_hat_BCHW).square().flatten(1).mean(dim=1)


def feature_residual(features_BF: Tensor, features_hat_BF: Tensor) -> Tensor:
    """Return (1 / n_d) ||f(x) - f(G(E(x)))||^2 of each image, (B,) >= 0."""
    return (features_BF - features_hat_BF).square().mean(dim=1)


def encoder_loss(residual_B: Tensor, feature_B: Tensor, kappa: float) -> Tensor:
    """Return equation 2 averaged over the batch, a scalar >= 0."""
    return (residual_B + kappa * feature_B).mean()


def decay(step: int, steps: int) -> float:
    """Return the share of the learning rate at `step` (from 0) of a phase, in (0, 1]: even for its first half, then down to almost 0."""
    return min(1.0, 2 * (1 - step / steps))


def atanh_of(image_CHW: Tensor) -> Tensor:
    """Return what tanh turns into `image_CHW` in [-1, 1], its ends drawn in a little so that it stays finite."""
    return torch.atanh(image_CHW.clamp(-0.98, 0.98))
