"""The one inspection path: image file -> measurements -> composite score -> verdict.

Stages, tests, flows and the registered model all judge through `Inspector`, so that a bundle that is
loaded again gives the same bits as the table it was made from.
"""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch

from zeromiss.backbones.load import load_backbone
from zeromiss.detectors.base import NO_CONTEXT, Context
from zeromiss.detectors.images import ContextReader
from zeromiss.detectors.load import load_detector
from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file
from zeromiss.image_size import ImageSize, Size
from zeromiss.images.align import Aligner
from zeromiss.images.orientation import Orienter
from zeromiss.images.reader import ImageReader
from zeromiss.images.references import NEEDING, Companion, indexed
from zeromiss.inspection.bundle import CLASSIFIER, MANIFEST, BundleRecord, bundled_aligner, fingerprint, open_bundle, taught_by
from zeromiss.inspection.calibration import CalibrationRecord
from zeromiss.inspection.verdict import ModelName, Verdict, decide, plain_matrix, to_patches
from zeromiss.metrics.mask import load_mask_file
from zeromiss.metrics.measurement import Measurement, Measures
from zeromiss.metrics.stack import Stack, stack_of
from zeromiss.metrics.variation import load_variation
from zeromiss.selection.probability import defect_probability
from zeromiss.selection.store import load_classifier

_DIGEST_SHOWN = 12
_MOST_LANES = 4  # threads that share one image: more find too little to do


class Classifier(Protocol):
    """A fitted pipeline with the classes 0 (normal) and 1 (defect)."""

    def predict_proba(self, features: pd.DataFrame) -> np.ndarray:
        """Return (rows, 2) probabilities of normal and defect."""


@dataclass(frozen=True, kw_only=True)
class Examination:
    """A verdict with all that it rests on."""

    verdict: Verdict
    image_CHW: torch.Tensor  # RGB in [0, 1], as judged: laid over the reference where the bundle has one
    measurement: Measurement
    seconds: float  # of wall-clock time, from file to verdict


class Inspector:
    """Judges images with the networks, classifier and threshold of one bundle.

    An image that comes alone is measured by several threads, of many each is measured by one: the bits are the same.
    """

    def __init__(
        self,
        *,
        measurer: Measures,
        classifier: Classifier,
        features: tuple[str, ...],
        threshold: float,
        size: Size,
        model: ModelName,
        calibration: CalibrationRecord | None = None,
        aligner: Aligner | Orienter | None = None,
        taught: Mapping[str, AbstractSet[str]] | None = None,
        designs: tuple[str, ...] = (),
        references: Mapping[str, Path] | None = None,
        needs_reference: bool = False,
    ) -> None:
        """Keep the loaded parts; `load` is the usual way here. `taught`: SHA-256 of the images that taught each detector.

        `designs`: those that normal images were learned of, one of which each image must name; `references`: the reference of
        a design that has one for all its images, '' where there are no designs.
        """
        self.designs, self.needs_reference = designs, needs_reference
        self._references = dict(references or {})
        self.taught = taught or {}
        self._reader = ImageReader(size, reduced=measurer.params.decode == "reduced", aligner=aligner)
        self._context_of = ContextReader(self._reader)
        self._measurer = measurer
        self._single = measurer.on_lanes(min(_cores(), _MOST_LANES))
        self._classifier = classifier
        self.features = features
        self._calibration = calibration
        self.threshold = threshold
        self.size = ImageSize.of(size)
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
            measurer=load_measurer(bundle, record),
            classifier=load_classifier(bundle / CLASSIFIER),
            features=record.features,
            threshold=record.threshold.value,
            size=record.size,
            model=ModelName(name=model_name or "bundle", version=str(model_version or digest)),
            calibration=record.calibration,
            aligner=bundled_aligner(bundle, record),
            taught=taught_by(bundle, record),
            designs=record.designs,
            references={design: bundle / file for design, file in record.references.items()},
            needs_reference=NEEDING in record.detectors,
        )

    @property
    def one_at_a_time(self) -> bool:
        """Whether images are so large that they are judged in tiles, one after the other."""
        return self._measurer.params.tiles is not None

    def warm_up(self) -> None:
        """Judge an image of noise both ways, unaligned: libraries try out their ways on the first one, which takes a while.

        Raises ZeromissError when the bundle can't judge.
        """
        noise_CHW = torch.rand((3, *self.size.shape), generator=torch.Generator().manual_seed(0))
        context = Context(reference_CHW=noise_CHW, design=self.designs[0] if self.designs else "")
        for measurer in {id(one): one for one in (self._single, self._measurer)}.values():
            self._examine(noise_CHW, context, measurer, path="", sha256="", began=time.perf_counter())

    def inspect(self, path: Path, *, alone: bool = True, companion: Companion | None = None) -> Verdict:
        """Judge one image file, `alone` with several threads, otherwise with one: the same bits.

        Raises ZeromissError when the file cannot be judged, or cannot be laid over the bundle's reference: no such file is
        ever called normal.
        """
        return self.examine(path, alone=alone, companion=companion).verdict

    def inspect_image(self, image_CHW: np.ndarray | torch.Tensor, *, companion: Companion = Companion()) -> Verdict:
        """Judge an RGB image (3, H, W) in [0, 1] of the product's size; `path` is then empty, `sha256` that of its float32 bytes.

        Where the bundle turns parts at any angle, the image is the whole picture, of any size.

        It is laid over the bundle's reference, if there is one. Raises ZeromissError for another shape or range, or when it
        cannot be aligned.
        """
        tensor = self._checked(torch.as_tensor(image_CHW, dtype=torch.float32), any_size=self._reader.takes_any_size)
        digest = hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
        began = time.perf_counter()
        laid = self._reader.lay_image(tensor.numpy())
        image_CHW, context = torch.from_numpy(laid.image_CHW), self._context(companion)
        return self._examine(image_CHW, context, self._single, path="", sha256=digest, began=began, to_file=laid.to_file).verdict

    def examine(self, path: Path, *, alone: bool = True, companion: Companion | None = None) -> Examination:
        """Judge one image file as `inspect` does, and keep metrics, reconstruction, difference and boxes with the verdict.

        `companion`: its reference and design; None: as the index says of an image that lies in a product's raw folder.
        """
        return self._examine_file(path, companion, self._single if alone or self.one_at_a_time else self._measurer)

    def examine_many(
        self, paths: Iterable[Path], *, workers: int | None = None, companion_of: Callable[[Path], Companion | None] = lambda _: None
    ) -> Iterator[Examination | ZeromissError]:
        """Yield for each image file, in their order, its examination or the error that kept it from being judged.

        `workers` images (default: one a core) are judged at once, and at most twice as many wait, however many
        there are. Verdicts have the same bits as those of `examine`. Images judged in tiles come one at a time.
        `companion_of` gives what comes with a file, as for `examine`.
        """
        workers = workers or _cores()
        tiled = self.one_at_a_time

        def judge(path: Path) -> Examination | ZeromissError:
            """Judge one file; hand back the error instead of raising it."""
            try:
                return self._examine_file(path, companion_of(path), self._single if tiled else self._measurer)
            except ZeromissError as error:
                return error

        if tiled:  # as large as they are, one at a time
            yield from map(judge, paths)
            return

        waiting: deque[Future[Examination | ZeromissError]] = deque()
        with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="inspect") as pool:
            try:
                for path in paths:
                    waiting.append(pool.submit(judge, path))
                    if len(waiting) == 2 * workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _examine_file(self, path: Path, companion: Companion | None, measurer: Measures) -> Examination:
        """Read, check and judge one file."""
        began = time.perf_counter()
        laid = self._reader.lay(path)
        image_CHW = self._checked(torch.from_numpy(laid.image_CHW))
        context = self._context(companion or indexed(path)) if self.designs or self.needs_reference or companion else NO_CONTEXT
        return self._examine(image_CHW, context, measurer, path=str(path), sha256=sha256_file(path), began=began, to_file=laid.to_file)

    def _context(self, companion: Companion) -> Context:
        """Return the reference and design that an image is judged with; raises ZeromissError for one that lacks what is needed."""
        design, known = companion.design, ", ".join(self.designs)
        if self.designs and design not in self.designs:
            named = f"the design {design!r} is none of those" if design else "the image names no design, and must name one of those"
            raise ZeromissError(f"{named} that this model has learned ({known}): give it with --design, or the field design")
        if design and not self.designs:
            raise ZeromissError(f"this model has learned one design alone, without a name: leave {design!r} out")
        reference = companion.reference or self._references.get(design)
        if not self.needs_reference:
            return Context(design=design)
        if reference is None:
            raise ZeromissError(
                "this model compares each image with its own reference, and none was given: name it with --reference or --references, or send "
                "it in the field reference"
            )
        return self._context_of(Companion(reference=reference, design=design))

    def _examine(
        self,
        image_CHW: torch.Tensor,
        context: Context,
        measurer: Measures,
        *,
        path: str,
        sha256: str,
        began: float,
        to_file: np.ndarray | None = None,
    ) -> Examination:
        """Measure, score and decide."""
        measurement = measurer.measure(image_CHW, context=context)
        score = self.score(measurement.features)
        verdict = Verdict(
            path=path,
            verdict=decide(score, self.threshold),
            score=score,
            threshold=self.threshold,
            probability=None if self._calibration is None else self._calibration.probability(score),
            patches=to_patches(torch.as_tensor(measurement.boxes_Q4).tolist(), measurement.distances_Q.tolist()),
            model=self.model,
            sha256=sha256,
            width=self.size.width,
            height=self.size.height,
            to_file=None if to_file is None else plain_matrix(to_file),
        )
        return Examination(verdict=verdict, image_CHW=image_CHW, measurement=measurement, seconds=time.perf_counter() - began)

    def score(self, features: dict[str, float]) -> float:
        """Return the composite anomaly score of one row of features, in [0, 1] (higher = more abnormal).

        Raises ZeromissError when a feature is missing, or when a feature or the score is no finite number.
        """
        missing = [name for name in self.features if name not in features]
        if missing:
            raise ZeromissError(f"the measurements lack {missing[0]}, which the classifier reads: bundle anew")
        row_1F = np.array([[features[name] for name in self.features]], dtype=np.float64)
        strays = np.flatnonzero(~np.isfinite(row_1F[0]))
        if strays.size:
            raise ZeromissError(f"the measurement {self.features[strays[0]]} is not a finite number: the image cannot be judged")
        return float(defect_probability(self._classifier, pd.DataFrame(row_1F, columns=list(self.features)))[0])

    def _checked(self, image_CHW: torch.Tensor, *, any_size: bool = False) -> torch.Tensor:
        """Return the image if it has the right shape and values."""
        shape = tuple(image_CHW.shape)
        if len(shape) != 3 or shape[0] != 3 or (shape[1:] != self.size.shape and not any_size):
            raise ZeromissError(f"an image of shape {shape} cannot be judged: it must be {(3, *self.size.shape)}")
        low, high = image_CHW.numpy().min(), image_CHW.numpy().max()  # numpy: on one thread, and nan stays nan
        if not (low >= 0.0 and high <= 1.0):
            raise ZeromissError("an image with values outside [0, 1] cannot be judged: scale it first")
        return image_CHW


def _cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0))


def load_measurer(bundle: Path, record: BundleRecord) -> Stack:
    """Load networks and masks of a verified bundle."""
    return stack_of(
        [load_detector(bundle / name) for name in record.detectors],
        backbone=_load_backbone(bundle, record),
        params=record.metrics,
        masks={name: load_mask_file(bundle / file) for name, file in record.masks().items()},
        variations={name: load_variation(bundle / file) for name, file in record.variations().items()},
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
