"""From an error map to a score: pooling, standardising, distance to the nearest neighbours (paper 4, section 3.2).

Axes: B images, N training images, F features, C channels, h and w cells, H and W pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_ROUNDING = 1e-6  # a deviation below this share of the mean is rounding, not variance


def error_image(image_BCHW: Tensor, image_hat_BCHW: Tensor) -> Tensor:
    """Return |x - x_hat| a channel, (B, C, H, W), in [0, 1]: what the pretrained network looks at."""
    return (image_BCHW - image_hat_BCHW).abs()


def error_map(image_BCHW: Tensor, image_hat_BCHW: Tensor) -> Tensor:
    """Return |x - x_hat| averaged over channels, (B, H, W), in [0, 1] (higher = more abnormal)."""
    return error_image(image_BCHW, image_hat_BCHW).mean(dim=1)


def parallel_cascade_pool(map_BChw: Tensor) -> Tensor:
    """Return three features a channel, (B, 3 C): the layer of figure 3.

    The paper says that poolings in parallel and in cascade are concatenated, which gives three times as many features
    as the usual global max pooling, and no more. Here two average poolings of 2 x 2 cells, one behind the
    other, make coarser maps of the given one, and each of the three maps is pooled by its global maximum: the usual feature, and
    the highest mean over about 2 x 2 and 4 x 4 cells. (Cascaded max poolings would give the same maximum three times.)
    Maps of one row or column are kept as they are; a rest at the edge is averaged over the cells it has.
    """
    twice_BChw = _halve(map_BChw)
    maps = (map_BChw, twice_BChw, _halve(twice_BChw))
    return torch.cat([level_BChw.amax(dim=(2, 3)) for level_BChw in maps], dim=1)


def _halve(map_BChw: Tensor) -> Tensor:
    return functional.avg_pool2d(map_BChw, 2, ceil_mode=True, count_include_pad=False)


@dataclass(frozen=True, kw_only=True)
class Standard:
    """Mean and scale of each feature over the training images."""

    mean_F: Tensor
    scale_F: Tensor  # > 0; 1 where a feature does not vary

    def __call__(self, embedding_BF: Tensor) -> Tensor:
        """Return the embeddings with the mean removed and the variance scaled, (B, F)."""
        return (embedding_BF - self.mean_F) / self.scale_F


def fit_standard(embedding_NF: Tensor) -> Standard:
    """Return mean and standard deviation (of the population) a feature."""
    wide_NF = embedding_NF.double()
    mean_F, scale_F = wide_NF.mean(dim=0), wide_NF.std(dim=0, correction=0)
    constant_F = scale_F <= _ROUNDING * mean_F.abs()
    return Standard(mean_F=mean_F.float(), scale_F=scale_F.masked_fill(constant_F, 1.0).float())


def neighbour_distance(embedding_BF: Tensor, memory_NF: Tensor, neighbours: int) -> Tensor:
    """Return the mean squared Euclidean distance to the nearest `neighbours` of the memory, (B,), >= 0 (equation 4).

    Higher = more abnormal. `neighbours` <= N.
    """
    squared = [(memory_NF - embedding_F).square().sum(dim=1) for embedding_F in embedding_BF]  # no cancellation, as a product of matrices has
    return torch.stack([squared_N.topk(neighbours, largest=False).values.mean() for squared_N in squared])
