"""Intermediate patches and the score over the worst of them (paper 2, section 5.2, equation 3).

Axes: B images, C channels, H and W pixels, h and w patches.
"""

from torch import Tensor
from torch.nn import functional


def patch_errors(image_BCHW: Tensor, image_hat_BCHW: Tensor, patch: int) -> Tensor:
    """Return the MSE of every `patch` x `patch` patch, (B, h, w) >= 0; patches over the right or lower edge end there."""
    error_B1HW = (image_BCHW - image_hat_BCHW).square().mean(dim=1, keepdim=True)
    return functional.avg_pool2d(error_B1HW, patch, ceil_mode=True, count_include_pad=False).squeeze(1)


def worst_mean(errors_Bhw: Tensor, alpha: float) -> Tensor:
    """Return equation 3: the mean of the m largest errors of each image, (B,); m is the share `alpha`, rounded, at least 1."""
    errors_BN = errors_Bhw.flatten(1)
    return errors_BN.topk(max(1, round(alpha * errors_BN.shape[1])), dim=1).values.mean(dim=1)


def laid_back(errors_Bhw: Tensor, patch: int, rows: int, columns: int) -> Tensor:
    """Return each patch's error on its pixels, (B, rows, columns)."""
    return errors_Bhw.repeat_interleave(patch, dim=1).repeat_interleave(patch, dim=2)[:, :rows, :columns].contiguous()
