"""Boxes of differing sizes as rows of one padded array, so that no loop runs over patches.

Axes: C channels; H, W rows and columns; Q boxes; S side of the padding; A = S * S pixels of a padded box.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


@dataclass(frozen=True, kw_only=True)
class Patches:
    """The same boxes cut from an image and from its reconstruction; values past a box's edge are 0."""

    x_QCA: np.ndarray  # float32 in [0, 1], A = S * S pixels
    x_hat_QCA: np.ndarray
    valid_QA: np.ndarray  # bool: pixel lies inside the box
    area_Q: np.ndarray  # int64: pixels inside the box

    @property
    def count_Q(self) -> np.ndarray:
        """Values of a box: pixels times channels."""
        return self.area_Q * self.x_QCA.shape[1]

    def padded(self, side: int) -> "Patches":
        """Return the same boxes padded to `side` pixels."""
        now = math.isqrt(self.x_QCA.shape[2])
        if now == side:
            return self

        def pad(values: np.ndarray) -> np.ndarray:
            """Return every padded box as the upper left corner of a larger one."""
            larger = np.zeros((*values.shape[:-1], side, side), values.dtype)
            larger[..., :now, :now] = values.reshape(*values.shape[:-1], now, now)
            return larger.reshape(*values.shape[:-1], -1)

        return Patches(x_QCA=pad(self.x_QCA), x_hat_QCA=pad(self.x_hat_QCA), valid_QA=pad(self.valid_QA), area_Q=self.area_Q)


def longest_sides(boxes_Q4: np.ndarray) -> np.ndarray:
    """Return the longer side of each box, (Q,) pixels."""
    return np.maximum(boxes_Q4[:, 2] - boxes_Q4[:, 0], boxes_Q4[:, 3] - boxes_Q4[:, 1])


def cut_patches(x_CHW: np.ndarray, x_hat_CHW: np.ndarray, boxes_Q4: np.ndarray) -> Patches:
    """Cut `boxes_Q4` (x0, y0, x1, y1, half open, inside the image) from both float32 images.

    They are padded to the longest side of any of them. Images that come `with_room` need no copy for it.
    """
    side = int(longest_sides(boxes_Q4).max())
    x0, y0, x1, y1 = boxes_Q4.T
    step_1S = np.arange(side)[None]
    valid_QSS = (step_1S < (y1 - y0)[:, None])[:, :, None] & (step_1S < (x1 - x0)[:, None])[:, None, :]
    weight_Q1SS = valid_QSS[:, None].astype(np.float32)

    def cut(image_CHW: np.ndarray) -> np.ndarray:
        """Return the boxes' pixels of one image, padded with 0."""
        windows_HWCSS = sliding_window_view(with_room(image_CHW, boxes_Q4), (side, side), axis=(1, 2)).transpose(1, 2, 0, 3, 4)
        values_QCSS = windows_HWCSS[y0, x0]
        values_QCSS *= weight_Q1SS
        return values_QCSS.reshape(len(boxes_Q4), len(image_CHW), -1)

    area_Q = (x1 - x0) * (y1 - y0)
    return Patches(x_QCA=cut(x_CHW), x_hat_QCA=cut(x_hat_CHW), valid_QA=valid_QSS.reshape(len(boxes_Q4), -1), area_Q=area_Q)


def with_room(image_CHW: np.ndarray, boxes_Q4: np.ndarray) -> np.ndarray:
    """Return the image, continued by 0 where a square of the longest side of any box would reach past its edge."""
    side = int(longest_sides(boxes_Q4).max())
    _, height, width = image_CHW.shape
    rows, columns = (max(0, int(boxes_Q4[:, axis].max()) + side - room) for axis, room in ((1, height), (0, width)))
    return np.pad(image_CHW, ((0, 0), (0, rows), (0, columns))) if rows or columns else image_CHW
