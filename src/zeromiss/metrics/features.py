"""Perceptual distance of patches and of positions, from a backbone's feature maps (paper 1, section 3.1.2).

For a single pair of patches the Frechet inception distance has no covariance term: what is left is the
squared L2 distance of the two feature vectors, here called "fid". Higher = more abnormal.

Axes: B images (1), C channels, h, w cells of a feature map, H, W pixels, N boxes (x0, y0, x1, y1, half open).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from zeromiss.backbones.base import Backbone
from zeromiss.errors import ZeromissError
from zeromiss.metrics.pooling import box_means

FINEST_STRIDE, COARSEST_STRIDE = 2, 8  # dense mode: cells that suit boxes of 4 to 16 pixels
CROP_SIDES = {"inception_v3": 299}  # crops mode: side a crop is resized to, as the network was trained
CROP_SIDE = 224
CROP_BATCHES = {"cpu": 2}  # boxes a batch: a processor likes maps that stay in its cache
CROP_BATCH = 64  # on other devices


def dense_levels(backbone: Backbone) -> tuple[int, ...]:
    """Return which of a backbone's maps dense mode reads: those of stride 2 to 8.

    A coarser cell is wider than the smallest boxes; a finer one knows little but colour.
    Raises ZeromissError when there is none.
    """
    levels = tuple(i for i, stride in enumerate(backbone.strides) if FINEST_STRIDE <= stride <= COARSEST_STRIDE)
    if not levels:
        raise ZeromissError(
            f"the backbone's maps have the strides {backbone.strides}, none from {FINEST_STRIDE} to {COARSEST_STRIDE}: "
            "set metrics.mode to crops, or choose another metrics.backbone"
        )
    return levels


def context_levels(backbone: Backbone) -> tuple[int, ...]:
    """Return the maps coarser than those of dense mode; of a backbone that has none, its last."""
    coarse = tuple(i for i, stride in enumerate(backbone.strides) if stride > COARSEST_STRIDE)
    return coarse or (len(backbone.strides) - 1,)


def level_difference(map_BChw: Tensor, map_hat_BChw: Tensor) -> Tensor:
    """Return features of x minus features of x_hat, (B, C, h, w), each position's vector first scaled to length 1.

    So every level weighs alike, whatever its number of channels and its values, and brightness counts less
    than structure: without it a bright, sharply drawn normal part outscores a dark defect. A position's
    squared length is in [0, 4].
    """
    return _unit(map_BChw) - _unit(map_hat_BChw)


def _unit(map_BChw: Tensor) -> Tensor:
    """Return the map with vectors of length 1; a vector shorter than 1e-6 is nearly nothing and stays so."""
    return map_BChw / map_BChw.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1e-6)


def dense_distances(differences: Sequence[Tensor], boxes_N4: Tensor, *, height: int, width: int) -> Tensor:
    """Return the squared L2 distance (N,) of the features averaged over each box, summed over levels.

    `differences` are of `level_difference`, for an image of height x width. Averaging is linear, so the
    difference is averaged once instead of each of the two maps.
    """
    total_N = boxes_N4.new_zeros(boxes_N4.shape[0], dtype=torch.float32)
    for difference_BChw in differences:
        mean_NC = box_means(difference_BChw, boxes_N4, height=height, width=width)
        total_N = total_N + mean_NC.square().sum(dim=1)
    return total_N


def anomaly_map(differences: Sequence[Tensor], *, height: int, width: int) -> Tensor:
    """Return the per-pixel anomaly map (H, W): the squared L2 distance of the features at each position.

    Every level is enlarged bilinearly to the image's size; levels are summed. >= 0, higher = more abnormal.
    """
    total_HW = differences[0].new_zeros(height, width)
    for difference_BChw in differences:
        distance_B1hw = difference_BChw.square().sum(dim=1, keepdim=True)
        enlarged = functional.interpolate(distance_B1hw, size=(height, width), mode="bilinear", align_corners=False)
        total_HW = total_HW + enlarged[0, 0]
    return total_HW


def resized_crops(image_CHW: Tensor, boxes_N4: Tensor, side: int) -> Tensor:
    """Return every box cut out and resized bilinearly to (N, C, side, side); no pixel outside a box counts."""
    channels, height, width = image_CHW.shape
    corner, opposite = boxes_N4[:, :2].to(torch.float32), boxes_N4[:, 2:].to(torch.float32)
    step_S = (torch.arange(side, device=image_CHW.device, dtype=torch.float32) + 0.5) / side
    place_NS2 = corner[:, None] + step_S[:, None] * (opposite - corner)[:, None] - 0.5
    place_NS2 = torch.minimum(torch.maximum(place_NS2, corner[:, None]), opposite[:, None] - 1)
    extent = place_NS2.new_tensor((max(width - 1, 1), max(height - 1, 1)))
    place_NS2 = place_NS2 / extent * 2 - 1  # grid_sample's units: -1 first, 1 last pixel
    x_NSS = place_NS2[:, None, :, 0].expand(-1, side, -1)
    y_NSS = place_NS2[:, :, None, 1].expand(-1, -1, side)
    grid_NSS2 = torch.stack((x_NSS, y_NSS), dim=-1)
    image_NCHW = image_CHW[None].expand(len(boxes_N4), channels, height, width)
    return functional.grid_sample(image_NCHW, grid_NSS2, mode="bilinear", padding_mode="border", align_corners=True)


def crop_distances(
    backbone: Backbone, x_CHW: Tensor, x_hat_CHW: Tensor, boxes_N4: Tensor, *, side: int, batch: int | None = None
) -> Tensor:
    """Return the squared L2 distance (N,) of the network's features of each box, as the paper does it.

    Each box is cut from both images, resized to side x side and sent through the whole network; the
    features are the averages of the last map. `batch` boxes go together, by default `CROP_BATCHES`'s for the
    images' device; their number moves a distance by some 1e-5 of itself, no more than 1e-4. Thousands of
    passes an image: meant for a GPU.
    """
    distances = []
    for chunk_N4 in boxes_N4.split(batch or CROP_BATCHES.get(x_CHW.device.type, CROP_BATCH)):
        crops_NCSS = torch.cat([resized_crops(image_CHW, chunk_N4, side) for image_CHW in (x_CHW, x_hat_CHW)])
        pooled_NC = backbone(crops_NCSS.contiguous(memory_format=torch.channels_last))[-1].mean(dim=(2, 3))
        pooled_NC, pooled_hat_NC = pooled_NC.chunk(2)
        distances.append((pooled_NC - pooled_hat_NC).square().sum(dim=1))
    return torch.cat(distances)
