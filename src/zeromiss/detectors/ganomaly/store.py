"""A trained GANomaly on disk: its parameters as JSON, its networks as safetensors."""

from pathlib import Path

from zeromiss.detector_params import GanomalyParams
from zeromiss.detectors.ganomaly.ganomaly import Ganomaly
from zeromiss.detectors.store import load_fitted, write_detector


def save_ganomaly(folder: Path, detector: Ganomaly) -> None:
    """Write `config.json` and `model.safetensors` into `folder`."""
    write_detector(folder, detector)


def load_ganomaly(folder: Path) -> Ganomaly:
    """Return the GANomaly in `folder`, on the CPU, in evaluation mode.

    Raises ZeromissError when a file is missing or damaged, or the tensors are not those that `config.json` describes.
    """
    return load_fitted(folder, GanomalyParams, Ganomaly)
