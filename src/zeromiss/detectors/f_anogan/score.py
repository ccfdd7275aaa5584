"""The anomaly score of f-AnoGAN, tile by tile (paper 2, sections 4 and 5.1): what equation 2 measures, without its mean.

Axes: T tiles of one image.
"""

from torch import Tensor


def tile_scores(residual_T: Tensor, feature_T: Tensor, kappa: float) -> Tensor:
    """Return residual + kappa * feature residual of each tile, (T,) >= 0."""
    return residual_T + kappa * feature_T


def image_score(score_T: Tensor) -> Tensor:
    """Return the score of an image, a scalar: that of its worst tile.

    f-AnoGAN judges tiles and the paper leaves open what becomes of an image; a part is abnormal if one place of it is.
    """
    return score_T.max()
