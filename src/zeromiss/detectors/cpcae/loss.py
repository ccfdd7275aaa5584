"""The loss of paper 4, equations 2 and 3. Axes: B patches, C channels, P pixels of a side, D width of the code."""

from torch import Tensor


def squared_error(image_BCPP: Tensor, image_hat_BCPP: Tensor) -> Tensor:
    """Return the sum of squared differences over channels and pixels, (B,), >= 0 (equation 2)."""
    return (image_BCPP - image_hat_BCPP).square().sum(dim=(1, 2, 3))


def activity(code_BD: Tensor) -> Tensor:
    """Return the sum of the code's magnitudes, (B,), >= 0 (second term of equation 3, without its factor)."""
    return code_BD.abs().sum(dim=1)


def sparse_loss(image_BCPP: Tensor, image_hat_BCPP: Tensor, code_BD: Tensor, sparsity: float) -> Tensor:
    """Return the mean over patches of squared error + `sparsity` * activity, a scalar >= 0 (equation 3)."""
    return (squared_error(image_BCPP, image_hat_BCPP) + sparsity * activity(code_BD)).mean()
