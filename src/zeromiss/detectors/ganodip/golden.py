"""The golden sample that paper 2, section 6.3 sets against GanoDIP: a training image in place of the reconstruction.

What the paper says: random groups of 36 training images, ten of them; in each group every image is tried as the
reference, and the one with the fewest false alarms stays. What it leaves open is decided here:
- images are compared with the reference as GanoDIP compares them with a reconstruction, by the mean error of the worst
  patches, since the reference stands "instead of the decoded image";
- false alarms are counted at no missed defect, on the very images that the result is stated for, as the paper's words
  suggest. Chosen so, the baseline looks better than it would on images to come: it is flattered, never GanoDIP;
- a group is drawn without repetition, each group from all training images, so groups may share some;
- of references with equally few false alarms, the first drawn stays.

Axes: N images, C channels, H and W pixels, R references, P patches, V values of a patch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from zeromiss.detectors.batches import Images
from zeromiss.detectors.ganodip.score import worst_mean
from zeromiss.errors import ZeromissError

GROUPS, GROUP_SIZE = 10, 36  # of the paper
_CHUNK = 16  # images judged at a time
_WHITE = 255.0


@dataclass(frozen=True, kw_only=True)
class GoldenSample:
    """The best reference of one group."""

    reference: int  # its index among the training images
    normal_N: np.ndarray  # score of each normal image beside it, float64 (higher = more abnormal)
    defect_N: np.ndarray  # the same of the defects
    fpr: float  # share of the normals that score at or above the lowest defect, in [0, 1]


def golden_samples(
    training: Images,
    normal: Images,
    defect: Images,
    *,
    seed: int,
    patch: int = 4,
    alpha: float = 0.0015,
    groups: int = GROUPS,
    group_size: int = GROUP_SIZE,
) -> list[GoldenSample]:
    """Return the best reference of each of `groups` random groups of uint8 images (3, H, W), all of one size.

    `normal` and `defect` are judged, `training` holds the references. Shows a bar. Raises ZeromissError when there are
    fewer training images than a group needs, or no normal or no defect to judge.
    """
    if len(training) < group_size:
        raise ZeromissError(f"a golden sample is chosen among {group_size} training images and there are {len(training)}: add normal images")
    if not len(normal) or not len(defect):
        raise ZeromissError(
            f"false alarms at no missed defect need both kinds, there are {len(normal)} normals and {len(defect)} defects: add images"
        )
    draw = np.random.default_rng(seed)
    drawn = [draw.permutation(len(training))[:group_size].tolist() for _ in range(groups)]
    wanted = sorted({index for group in drawn for index in group})
    with tqdm(total=len(wanted) * (len(normal) + len(defect)), desc="golden samples", unit="pair", dynamic_ncols=True) as bar:
        normal_RN, defect_RN = (_scores(training, wanted, judged, patch, alpha, bar.update) for judged in (normal, defect))
    row = {index: place for place, index in enumerate(wanted)}
    return [best_of(group, normal_RN[[row[index] for index in group]], defect_RN[[row[index] for index in group]]) for group in drawn]


def best_of(group: list[int], normal_RN: np.ndarray, defect_RN: np.ndarray) -> GoldenSample:
    """Return the reference of `group` with the fewest false alarms; row r of both score arrays belongs to `group[r]`."""
    fpr_R = (normal_RN >= defect_RN.min(axis=1, keepdims=True)).mean(axis=1)
    best = int(fpr_R.argmin())
    return GoldenSample(reference=group[best], normal_N=normal_RN[best], defect_N=defect_RN[best], fpr=float(fpr_R[best]))


def pair_scores(reference_RCHW: Tensor, judged_NCHW: Tensor, *, patch: int, alpha: float) -> Tensor:
    """Return the score of every uint8 image beside every reference, float64 (R, N); as `worst_mean` of `patch_errors`.

    ||a - b||^2 of all pairs comes from one product of matrices a patch. In float64 all its sums are whole numbers and exact.
    """
    reference_PRV, judged_PNV = (_patches(images, patch) for images in (reference_RCHW, judged_NCHW))
    squares_PRN = reference_PRV.square().sum(2).unsqueeze(2) + judged_PNV.square().sum(2).unsqueeze(1)
    sums_PRN = squares_PRN - 2 * reference_PRV @ judged_PNV.mT
    values_P = _patches(torch.ones_like(judged_NCHW[:1]), patch).sum(2)  # fewer in patches over the edge
    errors_RNP = (sums_PRN / (values_P.unsqueeze(2) * _WHITE**2)).movedim(0, 2)
    return worst_mean(errors_RNP.flatten(0, 1), alpha).view(errors_RNP.shape[:2])


def _patches(image_NCHW: Tensor, patch: int) -> Tensor:
    """Return the patches' values as float64 (P, N, V), black beyond the edge."""
    rows, columns = image_NCHW.shape[-2:]
    padded_NCHW = functional.pad(image_NCHW.double(), (0, -columns % patch, 0, -rows % patch))
    return functional.pixel_unshuffle(padded_NCHW, patch).flatten(2).permute(2, 0, 1).contiguous()


def _scores(training: Images, wanted: list[int], judged: Images, patch: int, alpha: float, done: Callable[[int], object]) -> np.ndarray:
    """Return `pair_scores` of the wanted references and all judged images, a few at a time; `done` hears how many pairs."""
    rows = []
    for first in range(0, len(wanted), _CHUNK):
        reference_RCHW = torch.stack([training[index] for index in wanted[first : first + _CHUNK]])
        row = []
        for begin in range(0, len(judged), _CHUNK):
            judged_NCHW = torch.stack([judged[index] for index in range(begin, min(begin + _CHUNK, len(judged)))])
            row.append(pair_scores(reference_RCHW, judged_NCHW, patch=patch, alpha=alpha))
            done(len(reference_RCHW) * len(judged_NCHW))
        rows.append(torch.cat(row, dim=1))
    return torch.cat(rows).numpy()
