"""The four methods that paper 4 compares with (section 4.4), each fitted on normal images and giving a score an image.

Images are RGB in [0, 1]; scores are >= 0, higher = more abnormal. They are there for the comparison: no inspection uses them.
Axes: B images, N training images, F features, C channels, H and W pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import rgb_to_grayscale
from tqdm import tqdm

from zeromiss.backbones.base import Backbone
from zeromiss.detectors.batches import Images
from zeromiss.detectors.cpcae.cpcae import AE_L2, Cpcae
from zeromiss.detectors.cpcae.score import fit_standard, neighbour_distance
from zeromiss.detectors.images import floats
from zeromiss.errors import ZeromissError

BASELINES = (AE_L2, "deep_feature", "nearest", "variation")
SHADE = 1 / 255  # least deviation of a pixel: one of 256 shades
_CHUNK = 32  # training images compared with at once

Score = Callable[[Tensor], float]  # of one image (C, H, W)


def ae_l2(cpcae: Cpcae) -> Score:
    """Return the summed squared error of the trained autoencoder's reconstruction, at full size."""

    def score(image_CHW: Tensor) -> float:
        """Return the error of one image, summed over all pixels and channels."""
        image_BCHW = image_CHW[None]
        return float(cpcae.score(image_BCHW, cpcae.reconstruct(image_BCHW)).scores[AE_L2])

    return score


def deep_feature(images: Images, backbone: Backbone, neighbours: int) -> Score:
    """Return the k-NN distance between an image's own features, without any autoencoder, and those of the training images.

    Features: global maximum of the backbone's last map, standardised. Raises ZeromissError with fewer images than
    `neighbours`.
    """
    if len(images) < neighbours:
        raise ZeromissError(f"the baseline deep_feature needs {neighbours} training images and there are {len(images)}: ingest more normal images")
    feature_NF = torch.cat([_feature(backbone, floats(images[i])) for i in range(len(images))])
    standard = fit_standard(feature_NF)
    memory_NF = standard(feature_NF)
    return lambda image_CHW: float(neighbour_distance(standard(_feature(backbone, image_CHW)), memory_NF, neighbours))


@torch.no_grad()
def _feature(backbone: Backbone, image_CHW: Tensor) -> Tensor:
    """Return the usual pooling of one image's last map, (1, F)."""
    return backbone(image_CHW[None])[-1].amax(dim=(2, 3))


def nearest(images: Images) -> Score:
    """Return the Euclidean distance, over all pixels and channels, to the most similar training image.

    The training images are kept as bytes.
    """
    bytes_NCHW = torch.stack([images[i] for i in range(len(images))])

    def score(image_CHW: Tensor) -> float:
        """Return the distance of one image to the nearest of those kept."""
        squared = [(floats(chunk_NCHW) - image_CHW).square().sum(dim=(1, 2, 3)) for chunk_NCHW in bytes_NCHW.split(_CHUNK)]
        return float(torch.cat(squared).min().sqrt())

    return score


@dataclass(frozen=True, kw_only=True)
class Variation:
    """Mean and deviation of every pixel's grey value over the training images, (H, W) each."""

    mean_HW: Tensor
    deviation_HW: Tensor  # >= one shade, so that a pixel which never changed gives a finite distance

    def map(self, image_CHW: Tensor) -> Tensor:
        """Return |grey - mean| / deviation, (H, W)."""
        return (_grey(image_CHW) - self.mean_HW).abs() / self.deviation_HW

    def __call__(self, image_CHW: Tensor) -> float:
        """Return the sum of the map's squares."""
        return float(self.map(image_CHW).double().square().sum())


def variation(images: Images) -> Variation:
    """Return each pixel's mean and standard deviation (of the population) over the training images."""
    grey_NHW = torch.stack([_grey(floats(images[i])) for i in range(len(images))])
    return Variation(mean_HW=grey_NHW.mean(dim=0), deviation_HW=grey_NHW.std(dim=0, correction=0).clamp(min=SHADE))


def _grey(image_CHW: Tensor) -> Tensor:
    """Return the grey values (H, W) in [0, 1] (ITU-R 601 weights)."""
    return rgb_to_grayscale(image_CHW)[0]


def baseline_scores(images_train: Images, images_table: Images, cpcae: Cpcae) -> dict[str, np.ndarray]:
    """Fit all four on the training images and return their scores of the other images, float64 (B,), under `BASELINES`.

    All images are bytes (3, H, W), as `ImageFiles` reads them. `cpcae` gives the autoencoder, the backbone and k.
    Raises ZeromissError with fewer training images than k or images of another size than `cpcae` learned.
    """
    scores: dict[str, Score] = {
        AE_L2: ae_l2(cpcae),
        "deep_feature": deep_feature(images_train, cpcae.backbone, cpcae.params.neighbors),
        "nearest": nearest(images_train),
        "variation": variation(images_train),
    }
    found: dict[str, list[float]] = {name: [] for name in BASELINES}
    for index in tqdm(range(len(images_table)), desc="baselines", unit="image"):
        image_CHW = floats(images_table[index])
        for name, score in scores.items():
            found[name].append(score(image_CHW))
    return {name: np.array(values, dtype=np.float64) for name, values in found.items()}
