"""What every detector gives: a score and a map of how abnormal an image is, and, if it redraws, the part as it should be.

Axes: B images, C channels, H rows, W columns, h, w cells, K dimensions.
"""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

from zeromiss.backbones.base import Backbone

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What comes with an image: the reference it is compared with, and the name of its design."""

    reference_CHW: Tensor | None = None  # RGB in [0, 1], read as the image is; None where there is none
    reference_sha256: str = ""  # of the reference's file: what is known of a reference is kept under it
    design: str = ""  # '': none


NO_CONTEXT = Context()


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """What a detector made of a batch of images; None is what it has no network for."""

    image_hat_BCHW: Tensor  # RGB in [0, 1], the size of the input
    quantisation_B: Tensor | None = None  # mean squared distance of E(x) from its codes, >= 0 (higher = stranger)
    critic_B: Tensor | None = None  # mean discriminator output on x (higher = more real)
    critic_hat_B: Tensor | None = None  # the same on the reconstruction


@dataclass(frozen=True, kw_only=True)
class Detection:
    """What a detector says of a batch of images by its own paper's formula; all finite, higher = more abnormal."""

    score_B: Tensor  # the native score
    map_BHW: Tensor  # the native anomaly map, >= 0, the size of the input
    scores: dict[str, Tensor] = field(default_factory=dict)  # further scores of the paper, (B,) each, under the names of `score_names`
    maps: dict[str, Tensor] = field(default_factory=dict)  # maps of cells, (B, h, w) each, >= 0, whose statistics become columns; none: of `map_BHW`
    residual_BK: Tensor | None = None  # signed: how the most abnormal cells differ from normal ones, not only how much


class EmbeddingDetector(Protocol):
    """A trained detector that compares an image's features with normal ones."""

    name: str
    score_names: tuple[str, ...]  # of `Detection.scores`, in the order of their columns

    def detect(self, image_BCHW: Tensor) -> Detection:
        """Judge RGB images in [0, 1]: no gradient, evaluation mode, repeatable bit for bit, each image for itself."""


class SharingDetector(EmbeddingDetector, Protocol):
    """A detector that reads maps of a frozen backbone with its batch norms folded, and so may share them with others."""

    shared_backbone: Backbone  # with its norms apart, by whose weights it is known

    def detect(self, image_BCHW: Tensor, maps: list[Tensor] | None = None) -> Detection:
        """Inspect as `EmbeddingDetector.detect`; `maps`: all maps of a single image by the same backbone, where they are known: the same bits."""


class ContextDetector(EmbeddingDetector, Protocol):
    """A detector for which it matters what comes with an image."""

    reads_context: bool  # true

    def detect(self, image_BCHW: Tensor, maps: list[Tensor] | None = None, context: Context = NO_CONTEXT) -> Detection:
        """Inspect as `SharingDetector.detect`, images that all have this context."""


class ReconstructingDetector(Protocol):
    """A trained detector that repaints an image as a normal one."""

    name: str
    score_names: tuple[str, ...] | None  # None: no score of its own, the metric table's patch distance is the native one
    image_metrics: tuple[str, ...]  # of quantisation_mse, critic, critic_hat: those its reconstructions come with

    def reconstruct(self, image_BCHW: Tensor, precision: Precision = "fp32") -> Reconstruction:
        """Reconstruct RGB images in [0, 1]: no gradient, evaluation mode, repeatable bit for bit, each image for itself."""

    def score(self, image_BCHW: Tensor, reconstruction: Reconstruction) -> Detection:
        """Judge images beside their reconstruction; never asked of a detector without `score_names`."""


Detector = EmbeddingDetector | ReconstructingDetector


def reads_context(detector: Detector) -> bool:
    """Return whether it matters to a detector what comes with an image."""
    return getattr(detector, "reads_context", False)


def redraws(detector: Detector) -> bool:
    """Return whether a detector gives reconstructions."""
    return hasattr(detector, "reconstruct")
