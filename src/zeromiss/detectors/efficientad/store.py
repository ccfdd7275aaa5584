"""A trained EfficientAD on disk: its parameters as JSON, networks, statistics and quantiles as safetensors."""

from pathlib import Path

from zeromiss.detector_params import EfficientadParams
from zeromiss.detectors.efficientad.efficientad import Efficientad
from zeromiss.detectors.store import load_fitted, write_detector


def save_efficientad(folder: Path, detector: Efficientad) -> None:
    """Write `config.json` and `model.safetensors` into `folder`."""
    write_detector(folder, detector)


def load_efficientad(folder: Path) -> Efficientad:
    """Return the EfficientAD in `folder`, on the CPU, in evaluation mode.

    Raises ZeromissError when a file is missing or damaged, or the tensors are not those that `config.json` describes.
    """
    return load_fitted(folder, EfficientadParams, Efficientad)
