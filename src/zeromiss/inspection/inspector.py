"""The one inspection path: image file -> measurements -> composite score -> verdict.

Stages, tests, flows and the registered model all judge through `Inspector`, so that a bundle that is
loaded again gives the same bits as the table it was made from.
"""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch

from zeromiss.backbones.load import load_backbone
from zeromiss.detectors.vqgan.store import load_vqgan
from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file
from zeromiss.inspection.bundle import CLASSIFIER, MANIFEST, MASK, VQGAN, BundleRecord, fingerprint, open_bundle
from zeromiss.inspection.verdict import ModelName, Verdict, decide, to_patches
from zeromiss.metrics.mask import load_mask_file
from zeromiss.metrics.measure import Measurement, Measurer
from zeromiss.metrics.table import read_tensor
from zeromiss.selection.fit import defect_probability
from zeromiss.selection.store import load_classifier

_DIGEST_SHOWN = 12


class Classifier(Protocol):
    """A fitted pipeline with the classes 0 (normal) and 1 (defect)."""

    def predict_proba(self, features: pd.DataFrame) -> np.ndarray:
        """Return (rows, 2) probabilities of normal and defect."""


@dataclass(frozen=True, kw_only=True)
class Examination:
    """A verdict with all that it rests on."""

    verdict: Verdict
    image_CHW: torch.Tensor  # RGB in [0, 1], as judged
    measurement: Measurement


class Inspector:
    """Judges one image at a time with the networks, classifier and threshold of one bundle."""

    def __init__(
        self,
        *,
        measurer: Measurer,
        classifier: Classifier,
        features: tuple[str, ...],
        threshold: float,
        size: int,
        model: ModelName,
    ) -> None:
        """Keep the loaded parts; `load` is the usual way here."""
        self._measurer = measurer
        self._classifier = classifier
        self._features = features
        self.threshold = threshold
        self.size = size
        self.model = model

    @classmethod
    def load(cls, bundle: Path, *, model_name: str | None = None, model_version: str | None = None) -> "Inspector":
        """Verify a bundle and load it.

        Without a name the model is called `bundle`, its version is the start of the SHA-256 of bundle.json.
        Raises ZeromissError for a changed or missing file, a classifier with untrusted types, or a backbone
        whose installed weights are not those the bundle was made with.
        """
        record = open_bundle(bundle)
        digest = sha256_file(bundle / MANIFEST)[:_DIGEST_SHOWN]
        return cls(
            measurer=_load_measurer(bundle, record),
            classifier=load_classifier(bundle / CLASSIFIER),
            features=record.features,
            threshold=record.threshold.value,
            size=record.size,
            model=ModelName(name=model_name or "bundle", version=str(model_version or digest)),
        )

    def inspect(self, path: Path) -> Verdict:
        """Judge one image file.

        Raises ZeromissError when the file cannot be judged: no such file is ever called normal.
        """
        return self.examine(path).verdict

    def inspect_image(self, image_CHW: np.ndarray | torch.Tensor) -> Verdict:
        """Judge an RGB image (3, size, size) in [0, 1]; `path` is then empty, `sha256` that of its float32 bytes.

        Raises ZeromissError for another shape or range.
        """
        tensor = self._checked(torch.as_tensor(image_CHW, dtype=torch.float32))
        digest = hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
        return self._examine(tensor, path="", sha256=digest).verdict

    def examine(self, path: Path) -> Examination:
        """Judge one image file and keep reconstruction, difference and boxes with the verdict."""
        image_CHW = self._checked(read_tensor(path, self.size))
        return self._examine(image_CHW, path=str(path), sha256=sha256_file(path))

    def _examine(self, image_CHW: torch.Tensor, *, path: str, sha256: str) -> Examination:
        """Measure, score and decide."""
        measurement = self._measurer.measure(image_CHW)
        score = self.score(measurement.features)
        verdict = Verdict(
            path=path,
            verdict=decide(score, self.threshold),
            score=score,
            threshold=self.threshold,
            patches=to_patches(torch.as_tensor(measurement.boxes_Q4).tolist(), measurement.distances_Q.tolist()),
            model=self.model,
            sha256=sha256,
            side=self.size,
        )
        return Examination(verdict=verdict, image_CHW=image_CHW, measurement=measurement)

    def score(self, features: dict[str, float]) -> float:
        """Return the composite anomaly score of one row of features, in [0, 1] (higher = more abnormal).

        Raises ZeromissError when a feature is missing, or when a feature or the score is no finite number.
        """
        missing = [name for name in self._features if name not in features]
        if missing:
            raise ZeromissError(f"the measurements lack {missing[0]}, which the classifier reads: bundle anew")
        row = {name: float(features[name]) for name in self._features}
        stray = next((name for name, value in row.items() if not math.isfinite(value)), None)
        if stray is not None:
            raise ZeromissError(f"the measurement {stray} is not a finite number: the image cannot be judged")
        frame = pd.DataFrame([row], columns=list(self._features))
        return float(defect_probability(self._classifier, frame)[0])

    def _checked(self, image_CHW: torch.Tensor) -> torch.Tensor:
        """Return the image if it has the right shape and values."""
        if tuple(image_CHW.shape) != (3, self.size, self.size):
            raise ZeromissError(
                f"an image of shape {tuple(image_CHW.shape)} cannot be judged: it must be (3, {self.size}, {self.size})"
            )
        if not bool(((image_CHW >= 0.0) & (image_CHW <= 1.0)).all()):
            raise ZeromissError("an image with values outside [0, 1] cannot be judged: scale it first")
        return image_CHW


def _load_measurer(bundle: Path, record: BundleRecord) -> Measurer:
    """Load networks and mask of a verified bundle."""
    return Measurer(
        detector=load_vqgan(bundle / VQGAN),
        backbone=_load_backbone(bundle, record),
        params=record.metrics,
        mask_HW=load_mask_file(bundle / MASK) if record.mask else None,
    )


def _load_backbone(bundle: Path, record: BundleRecord) -> torch.nn.Module:
    """Load the backbone and refuse other weights than those the bundle was made with."""
    stated = record.backbone
    backbone = load_backbone(stated.name, None if stated.file is None else str(bundle / stated.file))
    found = fingerprint(backbone)
    if found != stated.fingerprint:
        raise ZeromissError(
            f"the installed weights of {stated.name} have the fingerprint {found[:_DIGEST_SHOWN]}, the bundle {bundle} "
            f"was made with {stated.fingerprint[:_DIGEST_SHOWN]}: install the versions that its {MANIFEST} names"
        )
    return backbone
