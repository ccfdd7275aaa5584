"""Localisation and patch metrics of one 1024 x 1024 image: one pass over each image against thousands of crops.

Both modes are the product's own and share network, boxes, patch distances and aggregates; they differ in how the boxes'
perceptual distances come about. `dense` pools the features of one pass over the image and one over its reconstruction.
`crops`, the paper's way, sends every box of both through the same network, at the batch and the sharing of cores that are
fastest on this machine.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import Figure, Paired, paired, speedup
from zeromiss.backbones.base import Backbone
from zeromiss.backbones.load import load_backbone
from zeromiss.metrics.columns import OWN_METRICS
from zeromiss.detectors.base import Precision, Reconstruction
from zeromiss.metrics.aggregates import aggregate
from zeromiss.metrics.distances import patch_distances
from zeromiss.metrics.features import CROP_SIDE, crop_distances
from zeromiss.metrics.localise import candidate_boxes, keep_largest
from zeromiss.metrics.measure import Measurer
from zeromiss.metrics.perceive import Perceiver
from zeromiss.metrics.threads import Lanes, one_thread
from zeromiss.stage_params import MetricsParams

SIDE = 1024
PARAMS = MetricsParams(backbone="efficientnet_lite0", pixels=100, scales=4, alpha=4, patches=250)
CORES = len(os.sched_getaffinity(0))
BATCHES = (2, 8, 32)
TRIED = 96  # boxes each setting of the crops is tried with
REPEATS = 5  # of the dense mode in a round, since it takes so much less
ROUNDS = 2
LEAST = 100


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How crops share the machine: `workers` parts of the boxes at once, each on `threads` threads."""

    batch: int
    workers: int
    threads: int


class Given:
    """A detector whose reconstruction was made before."""

    name = "vqgan"
    score_names = None
    image_metrics = OWN_METRICS

    def __init__(self, x_hat_CHW: Tensor) -> None:
        """Keep the reconstruction."""
        none_B = torch.zeros(1)
        self._reconstruction = Reconstruction(
            image_hat_BCHW=x_hat_CHW[None], quantisation_B=none_B, critic_B=none_B, critic_hat_B=none_B
        )

    def reconstruct(self, image_BCHW: Tensor, precision: Precision = "fp32") -> Reconstruction:
        """Return it."""
        return self._reconstruction


def drawn_pair(side: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw a textured part of 8-bit values with ten spots, and its reconstruction: smoother, without the spots.

    Both are float32 (3, side, side) in [0, 1].
    """
    rng = np.random.default_rng(seed)
    grain_HWC = cv2.GaussianBlur(rng.normal(size=(side, side, 3)), (0, 0), 1.5)
    coarse_HWC = cv2.GaussianBlur(rng.normal(size=(side, side, 3)), (0, 0), side / 40)
    part_HWC = 0.5 + 0.03 * grain_HWC / grain_HWC.std() + 0.1 * coarse_HWC / coarse_HWC.std()
    x_HWC = part_HWC.copy()
    for x, y, radius in zip(*rng.integers(20, side - 20, (2, 10)), rng.integers(2, 7, 10), strict=True):
        spot_HW = cv2.circle(np.zeros((side, side)), (int(x), int(y)), int(radius), 1.0, -1)
        x_HWC -= 0.25 * spot_HW[..., None]
    x_hat_HWC = cv2.GaussianBlur(part_HWC, (0, 0), 1.0) + rng.normal(0, 0.01, part_HWC.shape)
    x_CHW, x_hat_CHW = (np.clip(image_HWC, 0, 1).transpose(2, 0, 1) for image_HWC in (x_HWC, x_hat_HWC))
    return (np.rint(x_CHW * 255) / 255).astype(np.float32), np.ascontiguousarray(x_hat_CHW, dtype=np.float32)


def boxes_of(x_CHW: Tensor, x_hat_CHW: Tensor, params: MetricsParams) -> Tensor:
    """Return the unique candidate boxes of an image."""
    difference_HW = (x_CHW - x_hat_CHW).abs().mean(dim=0)
    return torch.from_numpy(candidate_boxes(difference_HW, pixels=params.pixels, scales=params.scales, alpha=params.alpha))


def patch_metrics(x_CHW: Tensor, x_hat_CHW: Tensor, boxes_N4: Tensor, distances_N: Tensor, params: MetricsParams) -> np.ndarray:
    """Return the aggregates (14, 7) over the boxes of largest distance: of this distance, then of all others."""
    boxes_Q4, fid_Q = keep_largest(boxes_N4, distances_N, params.patches)
    named = patch_distances(x_CHW.numpy(), x_hat_CHW.numpy(), boxes_Q4)
    return aggregate(np.stack((fid_Q.astype(np.float64), *named.values())))


def by_crops(backbone: Backbone, x_CHW: Tensor, x_hat_CHW: Tensor, boxes_N4: Tensor, setting: Setting) -> Tensor:
    """Return the boxes' distances (N,) in crops mode."""

    @torch.inference_mode()
    def part(some_N4: Tensor) -> Tensor:
        """Return the distances of one worker's boxes."""
        torch.set_num_threads(setting.threads)
        return crop_distances(backbone, x_CHW, x_hat_CHW, some_N4, side=CROP_SIDE, batch=setting.batch)

    with ThreadPoolExecutor(setting.workers) as pool:
        return torch.cat(list(pool.map(part, boxes_N4.chunk(setting.workers))))


@torch.inference_mode()
def run() -> list[Figure]:
    """Return how many times as fast the dense mode is."""
    x_CHW, x_hat_CHW = (torch.from_numpy(image) for image in drawn_pair(SIDE))
    backbone = Measurer(detector=Given(x_hat_CHW), backbone=load_backbone(PARAMS.backbone), params=PARAMS, mask_HW=None).backbone
    perceiver, lanes = Perceiver(backbone), Lanes(CORES)
    boxes_N4 = boxes_of(x_CHW, x_hat_CHW, PARAMS)
    setting = _fastest(partial(by_crops, backbone, x_CHW, x_hat_CHW, boxes_N4[:TRIED]))

    @one_thread()
    def dense() -> None:
        """Measure in dense mode, as the product does a single image."""
        found_N4 = boxes_of(x_CHW, x_hat_CHW, PARAMS)
        patch_metrics(x_CHW, x_hat_CHW, found_N4, perceiver.whole(x_CHW, x_hat_CHW, [found_N4], lanes).distances[0], PARAMS)

    def crops() -> None:
        """Measure in crops mode, at its best."""
        found_N4 = boxes_of(x_CHW, x_hat_CHW, PARAMS)
        patch_metrics(x_CHW, x_hat_CHW, found_N4, by_crops(backbone, x_CHW, x_hat_CHW, found_N4, setting), PARAMS)

    dense()
    times = paired(lambda: [dense() for _ in range(REPEATS)], crops, rounds=ROUNDS, warmup=0)
    times = Paired(ours=tuple(seconds / REPEATS for seconds in times.ours), theirs=times.theirs)
    note = (
        f"{SIDE} x {SIDE}, p {PARAMS.pixels}, n {PARAMS.scales}, q {PARAMS.patches}, {len(boxes_N4)} unique boxes, both from a given "
        f"reconstruction on {CORES} cores; dense makes the anomaly maps too; crops {setting.batch} boxes a batch in {setting.workers} "
        f"worker(s) of {setting.threads} thread(s), the fastest tried"
    )
    what = "localisation and patch metrics of one image, dense mode"
    return [speedup(times, what=what, against=f"crops mode, {PARAMS.backbone}", least=LEAST, note=note)]


def _fastest(crops: Callable[[Setting], Tensor]) -> Setting:
    """Return the setting with which crops take the least time."""
    seconds = {}
    for workers in sorted({1, CORES}):
        for batch in BATCHES:
            setting = Setting(batch=batch, workers=workers, threads=CORES // workers)
            start = time.perf_counter()
            crops(setting)
            seconds[setting] = time.perf_counter() - start
    return min(seconds, key=seconds.__getitem__)
