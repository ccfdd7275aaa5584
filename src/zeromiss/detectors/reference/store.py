"""A fitted detector on disk: its parameters and sizes as JSON, all tensors and the backbone's as safetensors, loaded strictly."""

from dataclasses import asdict, fields
from pathlib import Path

from zeromiss.backbones.base import load_strictly
from zeromiss.backbones.load import build_backbone
from zeromiss.detector_params import ReferenceParams
from zeromiss.detectors.reference.reference import Reference, Sizes
from zeromiss.detectors.store import CONFIG, MODEL, read_detector, write_detector
from zeromiss.errors import ZeromissError

_BACKBONE = "backbone."


def save_reference(folder: Path, detector: Reference) -> None:
    """Write `config.json` and `model.safetensors` into `folder`."""
    write_detector(folder, detector, sizes=asdict(detector.sizes), placed=list(detector.placed))


def load_reference(folder: Path) -> Reference:
    """Return the detector in `folder`, on the CPU, in evaluation mode.

    Raises ZeromissError when a file is missing or damaged, or the tensors are not exactly those that `config.json` describes.
    """
    params, tensors, config = read_detector(folder, ReferenceParams)
    origin, sizes, placed = str(folder / MODEL), config.get("sizes"), config.get("placed")
    names = {field.name for field in fields(Sizes)}
    if not isinstance(sizes, dict) or set(sizes) != names or any(type(size) is not int or not 0 <= size < 2**31 for size in sizes.values()):
        raise ZeromissError(f"{folder / CONFIG}: sizes must name {', '.join(sorted(names))} as whole numbers: train the product anew")
    if not isinstance(placed, list) or not placed or not all(isinstance(design, str) for design in placed):
        raise ZeromissError(f"{folder / CONFIG}: placed must name designs: train the product anew")
    backbone = build_backbone(params.backbone)
    named = {key.removeprefix(_BACKBONE): value for key, value in tensors.items() if key.startswith(_BACKBONE)}
    load_strictly(backbone, named, origin=origin)
    detector = Reference(params, backbone, Sizes(**sizes), placed=placed)
    load_strictly(detector, tensors, origin=origin)
    return detector.eval()
