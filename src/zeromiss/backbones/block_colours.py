"""The colours of small blocks as features of a cell: what no network has averaged away.

A defect of a few pixels, or one that changes nothing but a colour (solder that is missing on a copper pad), leaves hardly a
trace in a network's features. The four quarters of a cell, each one colour, show it. Parts that lie a pixel aside are no
defect: a cell is as abnormal as the least abnormal of the picture's small shifts makes it.

Axes: C colours, H, W pixels, h, w cells of the grid, N numbers of a cell (4 C), K whitened dimensions.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

_BLOCKS = 2  # of a cell, each way
NUMBERS = 3 * _BLOCKS**2  # of a cell of an RGB image


def block_colours(image_CHW: Tensor, cell: int, shift: tuple[int, int] = (0, 0)) -> Tensor:
    """Return the mean colour of the four quarters of each cell of `cell` pixels a side, (h, w, N), in the image's own range.

    `shift`: rows and columns by which the picture is moved first. Beyond the picture its border is repeated, as far as the last cell asks.
    """
    height, width = image_CHW.shape[-2:]
    (down, right), room = shift, max(map(abs, shift))
    padded_1CHW = functional.pad(image_CHW[None], (room, room + -width % cell, room, room + -height % cell), mode="replicate")
    rows, columns = -(-height // cell) * cell, -(-width // cell) * cell
    moved_1CHW = padded_1CHW[..., room - down : room - down + rows, room - right : room - right + columns]
    blocks_1CHW = functional.avg_pool2d(moved_1CHW, cell // _BLOCKS)
    return functional.pixel_unshuffle(blocks_1CHW, _BLOCKS)[0].permute(1, 2, 0)


def shifts(cell: int) -> Iterator[tuple[int, int]]:
    """Yield the shifts that are tried, none and half a block each way: rows and columns of pixels."""
    step = max(1, cell // (2 * _BLOCKS))
    for down in (0, -step, step):
        for right in (0, -step, step):
            yield down, right


def least_over_shifts(image_CHW: Tensor, cell: int, away: Callable[[Tensor], Tensor], distances: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return each cell's least distance over the shifts, (h, w), and how it lies away at that shift, (h, w, K).

    `away` turns the colours (h, w, N) of a shifted picture into vectors (h, w, K), `distances` these into distances (h, w).
    """
    least_hw, least_hwK = None, None
    for shift in shifts(cell):
        away_hwK = away(block_colours(image_CHW, cell, shift))
        found_hw = distances(away_hwK)
        if least_hw is None:
            least_hw, least_hwK = found_hw, away_hwK
        else:
            least_hwK = torch.where((found_hw < least_hw)[..., None], away_hwK, least_hwK)
            least_hw = torch.minimum(found_hw, least_hw)
    return least_hw, least_hwK
