"""Boxes of differing sizes as rows of one padded array, so that no loop runs over patches.

Axes: C channels; H, W rows and columns; Q boxes; N = C * S * S values of a box padded to S x S.
"""

from dataclasses import dataclass

import numpy as np


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


def _pixel_indices(boxes_Q4: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat pixel index (Q, A) of every place of every padded box, and its validity."""
    x0, y0, x1, y1 = boxes_Q4.T[:, :, None]
    side = int(max((x1 - x0).max(), (y1 - y0).max()))
    step_1S = np.arange(side)[None]
    column_QS, row_QS = np.minimum(x0 + step_1S, x1 - 1), np.minimum(y0 + step_1S, y1 - 1)
    inside_QSS = (y0 + step_1S < y1)[:, :, None] & (x0 + step_1S < x1)[:, None, :]
    index_QSS = row_QS[:, :, None] * width + column_QS[:, None, :]
    return index_QSS.reshape(len(boxes_Q4), -1), inside_QSS.reshape(len(boxes_Q4), -1)


def cut_patches(x_CHW: np.ndarray, x_hat_CHW: np.ndarray, boxes_Q4: np.ndarray) -> Patches:
    """Cut `boxes_Q4` (x0, y0, x1, y1, half open, inside the image) from both float32 images."""
    channels, _, width = x_CHW.shape
    index_QA, valid_QA = _pixel_indices(boxes_Q4, width)

    def cut(image_CHW: np.ndarray) -> np.ndarray:
        """Return the boxes' pixels of one image, padded with 0."""
        planes_CP = image_CHW.reshape(channels, -1)
        # "clip" spares a check: every index is inside. The product sets the padding to 0.
        values_CQA = np.stack([np.take(plane_P, index_QA, mode="clip") for plane_P in planes_CP], axis=1)
        return np.multiply(values_CQA, valid_QA[:, None, :], dtype=np.float32)

    area_Q = (boxes_Q4[:, 2] - boxes_Q4[:, 0]) * (boxes_Q4[:, 3] - boxes_Q4[:, 1])
    return Patches(x_QCA=cut(x_CHW), x_hat_QCA=cut(x_hat_CHW), valid_QA=valid_QA, area_Q=area_Q)
