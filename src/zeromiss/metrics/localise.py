"""Zoom-out-and-shift: from the most different pixels to candidate boxes (paper 1, section 3.1.2).

Axes: H, W rows and columns of the image; P pixels; N candidate boxes; Q boxes kept; the last axis of a
box is (x0, y0, x1, y1), half open: columns x0 .. x1 - 1 and rows y0 .. y1 - 1.
"""

import torch
from torch import Tensor

CHUNK = 2**20  # pixels searched at a time
# Offsets in box sides (dy, dx): the box on the pixel itself, then its 8 neighbours in reading order.
SHIFTS = ((0, 0), (-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


def top_pixels(difference_HW: Tensor, count: int) -> Tensor:
    """Return the (P, 2) rows and columns of the `count` largest pixels, the largest first.

    Equal pixels come in reading order (by row, then by column), so the result never depends on a
    sort's whim. A smaller image gives all its pixels.
    """
    flat = difference_HW.flatten()
    count = min(count, flat.numel())
    # In chunks, since sorting takes sixteen bytes a pixel beside the image.
    largest = torch.cat([torch.topk(chunk, min(count, len(chunk))).values for chunk in flat.split(CHUNK)])
    smallest_kept = torch.topk(largest, count).values[-1]
    candidates = torch.nonzero(flat >= smallest_kept).squeeze(1)
    order = torch.sort(flat[candidates], descending=True, stable=True).indices[:count]
    chosen = candidates[order]
    width = difference_HW.shape[1]
    return torch.stack((chosen // width, chosen % width), dim=1)


def zoom_out_and_shift(pixels_P2: Tensor, *, scales: int, alpha: int) -> Tensor:
    """Return the (P * scales * 9, 4) boxes around `pixels_P2`, not yet clipped.

    Sides are alpha, 2 alpha, ... scales * alpha. A box of side s on the pixel (r, c) begins s // 2
    above and to the left of it: rows r - s // 2 .. r - s // 2 + s - 1, likewise columns; of an even
    side the pixel is thus the lower right of the four middle ones. The 8 neighbours are this box
    moved by one side. Order: by pixel, then by side, then as in `SHIFTS`.
    """
    device = pixels_P2.device
    side_S = torch.arange(1, scales + 1, device=device) * alpha
    shift_K2 = torch.tensor(SHIFTS, device=device)
    corner_PSK2 = pixels_P2[:, None, None, :] + side_S[:, None, None] * shift_K2 - (side_S // 2)[:, None, None]
    opposite_PSK2 = corner_PSK2 + side_S[:, None, None]
    return torch.cat((corner_PSK2.flip(-1), opposite_PSK2.flip(-1)), dim=-1).reshape(-1, 4)


def clip_boxes(boxes_N4: Tensor, *, height: int, width: int) -> Tensor:
    """Return each box's intersection with the image; a box with an empty one is dropped."""
    limit = torch.tensor((width, height, width, height), device=boxes_N4.device)
    clipped_N4 = torch.minimum(boxes_N4.clamp_min(0), limit)
    filled = (clipped_N4[:, 2] > clipped_N4[:, 0]) & (clipped_N4[:, 3] > clipped_N4[:, 1])
    return clipped_N4[filled]


def unique_boxes(boxes_N4: Tensor) -> Tensor:
    """Return the boxes without exact duplicates, in the order in which they first occur."""
    if boxes_N4.shape[0] == 0:
        return boxes_N4
    base = int(boxes_N4.max()) + 1
    x0, y0, x1, y1 = boxes_N4.unbind(1)
    key_N = ((x0 * base + y0) * base + x1) * base + y1
    sorted_keys, order_N = torch.sort(key_N, stable=True)
    first = torch.ones_like(sorted_keys, dtype=torch.bool)
    first[1:] = sorted_keys[1:] != sorted_keys[:-1]
    return boxes_N4[torch.sort(order_N[first]).values]


def candidate_boxes(difference_HW: Tensor, *, pixels: int, scales: int, alpha: int) -> Tensor:
    """Return the unique boxes (N, 4) around the `pixels` largest pixels, clipped inside the image."""
    height, width = difference_HW.shape
    boxes_N4 = zoom_out_and_shift(top_pixels(difference_HW, pixels), scales=scales, alpha=alpha)
    return unique_boxes(clip_boxes(boxes_N4, height=height, width=width))


def keep_largest(boxes_N4: Tensor, distances_N: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` boxes of largest distance and these distances, the largest first.

    Equal distances keep the boxes' order. Where there are fewer unique boxes than `count`, all stay.
    """
    order = torch.sort(distances_N, descending=True, stable=True).indices[:count]
    return boxes_N4[order], distances_N[order]
