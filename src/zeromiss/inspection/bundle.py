"""What a bundle is: one folder with all that an inspection needs, each file under its SHA-256.

    bundle.json          what this page describes; its own SHA-256 identifies the whole bundle
    <detector>/          config.json and model.safetensors of each detector that the classifier reads, and taught.json,
                         the SHA-256 of every image that taught it
    <detector>/mask.safetensors   its normal-variation mask, where the product has one
    <detector>/variation.safetensors   what is known of normal images: levels of its maps, the covariance of its differences
    classifier.skops     preprocessing and the winning classifier, fitted
    references/<file>    the reference of a design that has one for all its training images, where a detector compares with references
    align/               align.json and reference.png, where images are laid over a reference before they are judged
    backbone/<file>      the feature extractor's weights, only if they were given by path
    summary.json         the figures of the run; no inspection reads it, so it isn't under a hash

Networks are safetensors, the classifier is skops. Weights given by path are copied as they are; of a .pth
file only tensors are ever read. A feature extractor that comes inside an installed package is not copied: the bundle
holds the SHA-256 of its loaded weights, and loading refuses when the installed ones differ.
"""

import hashlib
import platform
import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zeromiss.detectors import taught
from zeromiss.detectors.store import FILES
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, sha256_file, write_json
from zeromiss.image_size import ImageSize
from zeromiss.images.align import Aligner
from zeromiss.images.orientation import Orienter
from zeromiss.images.reference import PICTURE, RECORD, open_aligner
from zeromiss.inspection.calibration import CalibrationRecord
from zeromiss.inspection.folders import atomic_folder
from zeromiss.metrics.table import mask_file, variation_file
from zeromiss.sections import first_fault
from zeromiss.stage_params import MetricsParams

SCHEMA_VERSION = 1
MANIFEST = "bundle.json"
CLASSIFIER = "classifier.skops"
SUMMARY = "summary.json"
ALIGN, REFERENCES = "align", "references"
VQGAN = "vqgan"  # whose codebook the report and the audit speak of
LIBRARIES = (
    "torch", "torchvision", "timm", "numpy", "opencv-python-headless", "scipy", "pandas",
    "scikit-learn", "lightgbm", "xgboost", "skops", "safetensors", "anomalib", "zeromiss",
)  # fmt: skip


class _Record(BaseModel):
    """A frozen part of bundle.json; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ThresholdRecord(_Record):
    """The threshold as set: a score at or above `value`, in [0, 1], is abnormal."""

    value: float = Field(ge=0.0, le=1.0)
    rule: str
    statement: str  # what the threshold guarantees, with the number of defects behind it


class BackboneRecord(_Record):
    """The feature extractor: its name, SHA-256 of its loaded weights, and its file where it came by path."""

    name: str
    fingerprint: str
    file: str | None = None


class BundleRecord(_Record):
    """The content of bundle.json."""

    schema_version: Literal[1] = SCHEMA_VERSION
    product: str
    size: ImageSize  # of the image that is inspected
    seed: int
    metrics: MetricsParams
    features: tuple[str, ...] = Field(min_length=1)  # columns in the order the classifier reads them
    threshold: ThresholdRecord
    calibration: CalibrationRecord | None = None
    backbone: BackboneRecord
    detectors: tuple[str, ...] = Field(min_length=1)  # the first one's boxes are shown
    masked: tuple[str, ...] = ()  # detectors with a mask
    varied: tuple[str, ...] = ()  # detectors with a variation of normal images; of others the paper's metrics alone are measured
    align: bool = False  # images are laid over the reference in ALIGN
    designs: tuple[str, ...] = ()  # that normal images were learned of; an image must name one of them
    references: dict[str, str] = {}  # file in the bundle by design ('': there are no designs)
    versions: dict[str, str]
    files: dict[str, str]  # path inside the bundle -> SHA-256

    def masks(self) -> dict[str, str]:
        """Return the file of each detector's mask."""
        return {name: mask_file(name) for name in self.masked}

    def variations(self) -> dict[str, str]:
        """Return the file of what is known of each detector's normal images."""
        return {name: variation_file(name) for name in self.varied}


class Contents(_Record):
    """What goes into a bundle: paths of the stages' files, and what they were made with."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    product: str
    size: ImageSize
    seed: int
    metrics: MetricsParams
    features: tuple[str, ...]
    threshold: ThresholdRecord
    calibration: CalibrationRecord | None = None
    fingerprint: str  # of the backbone, see `fingerprint`
    detectors: dict[str, Path]  # folders by name, in the order of their columns
    classifier: Path
    masks: dict[str, Path]  # by detector
    variations: dict[str, Path] = Field(default_factory=dict)  # by detector
    align: Path | None = None  # folder of the reference; None: images are not aligned
    designs: tuple[str, ...] = ()
    references: dict[str, Path] = Field(default_factory=dict)  # files by design


def fingerprint(module: torch.nn.Module) -> str:
    """Return the SHA-256, in hexadecimal, over name, type, shape and bytes of every loaded tensor."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def pack(target: Path, contents: Contents, *, finish: Callable[[Path], None] | None = None) -> None:
    """Write a bundle at `target`, whole or not at all.

    `finish` is called with the written, not yet named folder: it may open and check the bundle and add
    summary.json. When it raises, no bundle appears. Raises ZeromissError when a file to pack is missing.
    """
    with atomic_folder(target) as draft:
        backbone = _copy_files(draft, contents)
        record = BundleRecord(
            **contents.model_dump(include={"product", "size", "seed", "features", "threshold", "calibration"}),
            metrics=contents.metrics.model_copy(update={"backbone_path": None}),  # no path of this machine
            backbone=backbone,
            detectors=tuple(contents.detectors),
            masked=tuple(contents.masks),
            varied=tuple(contents.variations),
            align=contents.align is not None,
            designs=contents.designs,
            references={design: _reference(design, file) for design, file in contents.references.items()},
            versions=library_versions(),
            files={path: sha256_file(draft / path) for path in _listing(draft)},
        )
        payload = record.model_dump(mode="json", exclude={"schema_version"})
        write_json(draft / MANIFEST, payload, schema_version=SCHEMA_VERSION)
        if finish is not None:
            finish(draft)


def open_bundle(folder: Path) -> BundleRecord:
    """Verify every file of a bundle and return what bundle.json says.

    Raises ZeromissError naming the file that is missing, not listed or not as it was packed.
    """
    if not folder.is_dir():
        raise ZeromissError(f"{folder} is not a folder: name the folder of a bundle")
    payload = read_json(folder / MANIFEST, schema_version=SCHEMA_VERSION)
    try:
        record = BundleRecord.model_validate(payload)
    except ValidationError as error:
        key, fault = first_fault(error)
        raise ZeromissError(f"{folder / MANIFEST}: {key}: {fault}: pack the bundle anew") from None
    for name in sorted(required_files(record) - set(record.files)):
        raise ZeromissError(f"{folder / MANIFEST} does not list {name}: pack the bundle anew")
    for name, expected in sorted(record.files.items()):
        _verify(folder, name, expected)
    return record


def taught_by(folder: Path, record: BundleRecord) -> dict[str, frozenset[str]]:
    """Return the SHA-256 of every image that each detector was trained on."""
    said = [name for name in record.detectors if f"{name}/{taught.FILE}" in record.files]
    return {name: taught.read_taught(folder / name) for name in said}


def required_files(record: BundleRecord) -> set[str]:
    """Return the files without which such a bundle can judge nothing."""
    names = {f"{detector}/{name}" for detector in record.detectors for name in FILES} | {CLASSIFIER, *record.masks().values(), *record.variations().values()}
    if record.backbone.file is not None:
        names.add(record.backbone.file)
    if record.align:
        names |= {f"{ALIGN}/{RECORD}", f"{ALIGN}/{PICTURE}"}
    return names | set(record.references.values())


def bundled_aligner(folder: Path, record: BundleRecord) -> Aligner | Orienter | None:
    """Return what lays images over the reference of an opened bundle, None where images are not aligned."""
    return open_aligner(folder / ALIGN, record.size) if record.align else None


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of every library that takes part in a score."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _copy_files(draft: Path, contents: Contents) -> BackboneRecord:
    """Copy the packed files into `draft`."""
    for detector, folder in contents.detectors.items():
        (draft / detector).mkdir()
        for name in (*FILES, taught.FILE):
            _copy(folder / name, draft / detector / name)
    _copy(contents.classifier, draft / CLASSIFIER)
    for detector, mask in contents.masks.items():
        _copy(mask, draft / mask_file(detector))
    for detector, variation in contents.variations.items():
        _copy(variation, draft / variation_file(detector))
    if contents.align is not None:
        (draft / ALIGN).mkdir()
        for name in (RECORD, PICTURE):
            _copy(contents.align / name, draft / ALIGN / name)
    for design, reference in contents.references.items():
        (draft / REFERENCES).mkdir(exist_ok=True)
        _copy(reference, draft / _reference(design, reference))
    given, file = contents.metrics.backbone_path, None
    if given is not None:
        file = f"backbone/{Path(given).name}"
        (draft / "backbone").mkdir()
        _copy(Path(given), draft / file)
    return BackboneRecord(name=contents.metrics.backbone, fingerprint=contents.fingerprint, file=file)


def _reference(design: str, file: Path) -> str:
    """Return where in a bundle the reference of a design lies."""
    return f"{REFERENCES}/{design or 'all'}{file.suffix}"


def _copy(source: Path, target: Path) -> None:
    """Copy one file, or say which one is missing."""
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        raise ZeromissError(f"{source} is missing: run the stage that writes it before bundling") from None


def _listing(folder: Path) -> list[str]:
    """Return every file below `folder`, relative, with forward slashes, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _verify(folder: Path, name: str, expected: str) -> None:
    """Raise ZeromissError unless the file `name` lies in the bundle with the expected SHA-256."""
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ZeromissError(f"{folder / MANIFEST} lists {name}, which lies outside the bundle: pack the bundle anew")
    if not path.is_file():
        raise ZeromissError(f"{path} is missing from the bundle: fetch or pack the bundle anew")
    if sha256_file(path) != expected:
        raise ZeromissError(f"{path} has changed since it was packed (SHA-256 differs): fetch or pack the bundle anew")
