"""The truncated L1 loss (paper 5, section 3.2, algorithm 1)."""

from torch import Tensor


def truncated_l1(normality_N: Tensor, normality_noisy_N: Tensor, th: float) -> Tensor:
    """Return mean max(0, th - D(q)) + mean max(0, th + D(q')), a scalar >= 0.

    q are adapted features of normal cells, which D is to put at `th` or above, q' the same with noise, which it is to put at
    -`th` or below; what lies beyond counts nothing. An undecided D (all zero) has 2 `th`.
    """
    return (th - normality_N).clamp(min=0).mean() + (th + normality_noisy_N).clamp(min=0).mean()
