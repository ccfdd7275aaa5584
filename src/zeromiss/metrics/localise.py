"""Zoom-out-and-shift: from the most different pixels to candidate boxes (paper 1, section 3.1.2).

Whole numbers in NumPy: the same code runs beside any network, and where there is no torch (`zeromiss.edge`).
Axes: H, W rows and columns of the image; P pixels; N candidate boxes; Q boxes kept; the last axis of a
box is (x0, y0, x1, y1), half open: columns x0 .. x1 - 1 and rows y0 .. y1 - 1.
"""

import numpy as np
from numpy.typing import ArrayLike

CHUNK = 2**20  # pixels searched at a time
# Offsets in box sides (dy, dx): the box on the pixel itself, then its 8 neighbours in reading order.
SHIFTS = ((0, 0), (-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


def top_pixels(difference_HW: ArrayLike, count: int) -> np.ndarray:
    """Return the (P, 2) rows and columns of the `count` largest pixels, the largest first.

    Equal pixels come in reading order (by row, then by column), so the result never depends on a
    sort's whim. A smaller image gives all its pixels.
    """
    difference_HW = np.asarray(difference_HW)
    flat = difference_HW.ravel()
    count = min(count, flat.size)
    # In chunks, since a partition takes a second copy of what it divides.
    chunks = (flat[begin : begin + CHUNK] for begin in range(0, flat.size, CHUNK))
    smallest_kept = _largest(np.concatenate([_largest(chunk, count) for chunk in chunks]), count).min()
    candidates = np.flatnonzero(flat >= smallest_kept)
    chosen = candidates[np.argsort(-flat[candidates], kind="stable")[:count]]
    return np.stack(np.divmod(chosen, difference_HW.shape[1]), axis=1)


def _largest(values_N: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` largest values in any order; all where there are no more."""
    return values_N if count >= len(values_N) else np.partition(values_N, len(values_N) - count)[-count:]


def zoom_out_and_shift(pixels_P2: ArrayLike, *, scales: int, alpha: int) -> np.ndarray:
    """Return the (P * scales * 9, 4) boxes around `pixels_P2`, not yet clipped.

    Sides are alpha, 2 alpha, ... scales * alpha. A box of side s on the pixel (r, c) begins s // 2
    above and to the left of it: rows r - s // 2 .. r - s // 2 + s - 1, likewise columns; of an even
    side the pixel is thus the lower right of the four middle ones. The 8 neighbours are this box
    moved by one side. Order: by pixel, then by side, then as in `SHIFTS`.
    """
    side_S11 = (np.arange(1, scales + 1) * alpha)[:, None, None]
    corner_PSK2 = np.asarray(pixels_P2)[:, None, None, :] + side_S11 * np.array(SHIFTS) - side_S11 // 2
    opposite_PSK2 = corner_PSK2 + side_S11
    return np.concatenate((corner_PSK2[..., ::-1], opposite_PSK2[..., ::-1]), axis=-1).reshape(-1, 4)


def clip_boxes(boxes_N4: ArrayLike, *, height: int, width: int) -> np.ndarray:
    """Return each box's intersection with the image; a box with an empty one is dropped."""
    clipped_N4 = np.clip(np.asarray(boxes_N4), 0, (width, height, width, height))
    return clipped_N4[(clipped_N4[:, 2] > clipped_N4[:, 0]) & (clipped_N4[:, 3] > clipped_N4[:, 1])]


def unique_boxes(boxes_N4: ArrayLike) -> np.ndarray:
    """Return the boxes without exact duplicates, in the order in which they first occur."""
    boxes_N4 = np.asarray(boxes_N4)
    if not len(boxes_N4):
        return boxes_N4
    base = int(boxes_N4.max()) + 1
    x0, y0, x1, y1 = boxes_N4.T
    _, first = np.unique(((x0 * base + y0) * base + x1) * base + y1, return_index=True)
    return boxes_N4[np.sort(first)]


def candidate_boxes(difference_HW: ArrayLike, *, pixels: int, scales: int, alpha: int) -> np.ndarray:
    """Return the unique boxes (N, 4), int64, around the `pixels` largest pixels, clipped inside the image."""
    return boxes_around(top_pixels(difference_HW, pixels), np.shape(difference_HW), scales=scales, alpha=alpha)


def boxes_around(pixels_P2: np.ndarray, shape: tuple[int, ...], *, scales: int, alpha: int) -> np.ndarray:
    """Return the unique boxes (N, 4) around the given pixels of an image of `shape` (H, W), clipped inside it."""
    boxes_N4 = zoom_out_and_shift(pixels_P2, scales=scales, alpha=alpha)
    return unique_boxes(clip_boxes(boxes_N4, height=shape[0], width=shape[1]))


def keep_largest(boxes_N4: ArrayLike, distances_N: ArrayLike, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the `count` boxes of largest distance and these distances, the largest first.

    Equal distances keep the boxes' order. Where there are fewer unique boxes than `count`, all stay.
    """
    boxes_N4, distances_N = np.asarray(boxes_N4), np.asarray(distances_N)
    order = np.argsort(-distances_N, kind="stable")[:count]
    return boxes_N4[order], distances_N[order]
