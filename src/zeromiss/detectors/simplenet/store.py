"""A trained SimpleNet on disk: its parameters as JSON, its weights and the backbone's as safetensors, loaded strictly."""

from pathlib import Path

from zeromiss.backbones.base import load_strictly
from zeromiss.backbones.load import build_backbone
from zeromiss.detector_params import SimplenetParams
from zeromiss.detectors.simplenet.simplenet import Simplenet
from zeromiss.detectors.store import MODEL, read_detector, write_detector

_BACKBONE = "backbone."


def save_simplenet(folder: Path, detector: Simplenet) -> None:
    """Write `config.json` and `model.safetensors` into `folder`."""
    write_detector(folder, detector)


def load_simplenet(folder: Path) -> Simplenet:
    """Return the SimpleNet in `folder`, on the CPU, in evaluation mode.

    Raises ZeromissError when a file is missing or damaged, or the weights are not exactly those of the network that
    `config.json` describes.
    """
    params, weights, _ = read_detector(folder, SimplenetParams)
    origin = str(folder / MODEL)
    backbone = build_backbone(params.backbone)
    named = {key.removeprefix(_BACKBONE): value for key, value in weights.items() if key.startswith(_BACKBONE)}
    load_strictly(backbone, named, origin=origin)
    detector = Simplenet(params, backbone)
    load_strictly(detector, weights, origin=origin)
    return detector.eval()
