"""Averages of a feature map over many boxes, with the bits of torchvision's `roi_align` in less time.

Boxes of zoom-out-and-shift overlap so much that `roi_align` interpolates each place many times. Over a map of
stride 2, a box of even sides is sampled at whole pixels alone: these values are made once, and a box is the sum of
some of them, in `roi_align`'s order.

Axes: B images (1), C channels, h, w cells, R rows of a table of interpolated cells, N boxes (x0, y0, x1, y1, half open).
"""

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align


def box_means(map_BChw: Tensor, boxes_N4: Tensor, *, height: int, width: int) -> Tensor:
    """Return the mean (N, C) of an image's feature map over each box; the image has height x width pixels.

    As `roi_align` with one output cell samples it: bilinearly, about one sample a cell.
    """
    square_N = _squares(map_BChw, boxes_N4, height=height, width=width)
    if square_N is None:
        return _aligned(map_BChw, boxes_N4, height=height, width=width)
    means_NC = map_BChw.new_empty(len(boxes_N4), map_BChw.shape[1])
    means_NC[square_N] = _square_means(map_BChw, boxes_N4[square_N])
    means_NC[~square_N] = _aligned(map_BChw, boxes_N4[~square_N], height=height, width=width)
    return means_NC


def _aligned(map_BChw: Tensor, boxes_N4: Tensor, *, height: int, width: int) -> Tensor:
    """Return the means of any boxes over any map."""
    cells_h, cells_w = map_BChw.shape[2:]
    scale = boxes_N4.new_tensor((cells_w / width, cells_h / height) * 2, dtype=torch.float32)
    rois = [boxes_N4.to(torch.float32) * scale]
    return roi_align(map_BChw, rois, output_size=1, sampling_ratio=-1, aligned=True).flatten(1)


def _squares(map_BChw: Tensor, boxes_N4: Tensor, *, height: int, width: int) -> Tensor | None:
    """Return which boxes are squares of even sides (N,); None where sharing their samples would not pay."""
    if torch.compiler.is_exporting():  # a graph for other programs, which share no samples
        return None
    cells_h, cells_w = map_BChw.shape[2:]
    if map_BChw.device.type != "cpu" or (2 * cells_h, 2 * cells_w) != (height, width):
        return None
    side_N2 = boxes_N4[:, 2:] - boxes_N4[:, :2]
    square_N = (side_N2[:, 0] == side_N2[:, 1]) & (side_N2[:, 0] % 2 == 0)
    samples = int((side_N2[square_N, 0] // 2).square().sum())
    return square_N if samples > 2 * cells_h * cells_w else None  # the table holds four times as many rows as cells


def _square_means(map_BChw: Tensor, boxes_N4: Tensor) -> Tensor:
    """Return the means (N, C) over squares of even sides of a map whose cells are 2 pixels wide."""
    cells_h, cells_w = map_BChw.shape[2:]
    table_RC = _interpolated(map_BChw)
    x0_N, y0_N, x1_N, _ = boxes_N4.unbind(1)
    first_N = (((y0_N % 2 * 2 + x0_N % 2) * cells_h + y0_N // 2) * cells_w + x0_N // 2).to(torch.int32)
    means_NC = map_BChw.new_empty(len(boxes_N4), map_BChw.shape[1])
    cells_N = (x1_N - x0_N) // 2
    for cells in cells_N.unique().tolist():
        chosen_N = (cells_N == cells).nonzero().squeeze(1)
        step = torch.arange(cells, dtype=torch.int32)
        rows_NR = first_N[chosen_N][:, None] + (step[:, None] * cells_w + step).flatten()
        means_NC[chosen_N] = functional.embedding_bag(rows_NR, table_RC, mode="sum") / float(cells * cells)
    return means_NC


def _interpolated(map_BChw: Tensor) -> Tensor:
    """Return the values (R, C) at cells, halfway to the next column, to the next row, and to both: four maps, one after another.

    Past the last column or row, where no box is sampled, stand zeros.
    """
    map_hwC = map_BChw[0].permute(1, 2, 0)
    table_4hwC = map_hwC.new_zeros(4, *map_hwC.shape)
    table_4hwC[0] = map_hwC
    table_4hwC[1, :, :-1] = 0.5 * map_hwC[:, :-1] + 0.5 * map_hwC[:, 1:]
    table_4hwC[2, :-1] = 0.5 * map_hwC[:-1] + 0.5 * map_hwC[1:]
    quarter_hwC = 0.25 * map_hwC
    upper_hwC = quarter_hwC[:-1, :-1] + quarter_hwC[:-1, 1:]
    table_4hwC[3, :-1, :-1] = upper_hwC + quarter_hwC[1:, :-1] + quarter_hwC[1:, 1:]
    return table_4hwC.reshape(-1, map_hwC.shape[2])
