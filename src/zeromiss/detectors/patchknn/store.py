"""A fitted patchknn on disk: its parameters and sizes as JSON, all tensors and the backbone's as safetensors, loaded strictly."""

from dataclasses import asdict, fields
from pathlib import Path

from zeromiss.backbones.base import load_strictly
from zeromiss.backbones.load import build_backbone
from zeromiss.detector_params import PatchknnParams
from zeromiss.detectors.patchknn.patchknn import Bank, Patchknn
from zeromiss.detectors.store import CONFIG, MODEL, read_detector, write_detector
from zeromiss.errors import ZeromissError

_BACKBONE = "backbone."


def save_patchknn(folder: Path, detector: Patchknn) -> None:
    """Write `config.json` and `model.safetensors` into `folder`."""
    write_detector(folder, detector, bank=asdict(detector.bank), designs=detector.designs, placed=list(detector.placed))


def load_patchknn(folder: Path) -> Patchknn:
    """Return the patchknn in `folder`, on the CPU, in evaluation mode.

    Raises ZeromissError when a file is missing or damaged, or the tensors are not exactly those that `config.json` describes.
    """
    params, tensors, config = read_detector(folder, PatchknnParams)
    origin, sizes = str(folder / MODEL), config.get("bank")
    names = {field.name for field in fields(Bank)}
    if not isinstance(sizes, dict) or set(sizes) != names or any(type(size) is not int or not 0 <= size < 2**31 for size in sizes.values()):
        raise ZeromissError(f"{folder / CONFIG}: bank must name {', '.join(sorted(names))} as whole numbers: train the product anew")
    designs, placed = config.get("designs"), config.get("placed")
    counted = isinstance(designs, dict) and all(type(count) is int and count > 0 for count in designs.values())
    if not counted or not isinstance(placed, list) or sum(designs.values()) != sizes["kept"] or not set(placed) <= {"", *designs}:
        raise ZeromissError(f"{folder / CONFIG}: designs and placed must name the designs of the kept images: train the product anew")
    backbone = build_backbone(params.backbone)
    named = {key.removeprefix(_BACKBONE): value for key, value in tensors.items() if key.startswith(_BACKBONE)}
    load_strictly(backbone, named, origin=origin)
    detector = Patchknn(params, backbone, Bank(**sizes), designs=designs, placed=placed)
    load_strictly(detector, tensors, origin=origin)
    return detector.eval()
