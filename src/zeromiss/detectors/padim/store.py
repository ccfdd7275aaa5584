"""A fitted PaDiM on disk: its parameters and the images' size as JSON, backbone and statistics as safetensors."""

from pathlib import Path

from zeromiss.detector_params import PadimParams
from zeromiss.detectors.padim.padim import Padim
from zeromiss.detectors.store import load_fitted, write_detector


def save_padim(folder: Path, detector: Padim) -> None:
    """Write `config.json` and `model.safetensors` into `folder`."""
    write_detector(folder, detector, size=detector.size.plain)


def load_padim(folder: Path) -> Padim:
    """Return the PaDiM in `folder`, on the CPU, in evaluation mode.

    Raises ZeromissError when a file is missing or damaged, or the tensors are not those that `config.json` describes.
    """
    return load_fitted(folder, PadimParams, Padim, facts=("size",))
