"""The two scores of CycleGAN-AD (paper 3, its table): SSE and FID of an image and its redrawn normal version.

Axes: B images, C channels, H and W pixels, F features.
"""

from torch import Tensor


def sum_of_squares(image_BCHW: Tensor, image_hat_BCHW: Tensor) -> Tensor:
    """Return SSE (B,), the sum of (x - x_hat)² over pixels and channels, >= 0 (higher = more abnormal)."""
    return (image_BCHW.double() - image_hat_BCHW.double()).square().sum(dim=(1, 2, 3)).float()


def error_map(image_BCHW: Tensor, image_hat_BCHW: Tensor) -> Tensor:
    """Return (x - x_hat)² averaged over channels, (B, H, W), >= 0, not smoothed: its sum over pixels is SSE / C."""
    return (image_BCHW - image_hat_BCHW).square().mean(dim=1)


def pair_distance(features_BF: Tensor, features_hat_BF: Tensor) -> Tensor:
    """Return the Fréchet distance of single pairs, (B,), >= 0 (higher = more abnormal).

    One image has no covariance, so that of the distance |m - m'|² + tr(...) only the first term is left.
    """
    return (features_BF - features_hat_BF).square().sum(dim=1)
