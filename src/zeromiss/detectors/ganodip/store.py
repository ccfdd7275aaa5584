"""A trained GanoDIP on disk: its parameters as JSON, its weights as safetensors, loaded strictly."""

from pathlib import Path

from zeromiss.detector_params import GanodipParams
from zeromiss.detectors.ganodip.ganodip import Ganodip
from zeromiss.detectors.store import load_fitted, write_detector


def save_ganodip(folder: Path, ganodip: Ganodip) -> None:
    """Write `config.json` and `model.safetensors` into `folder`."""
    write_detector(folder, ganodip)


def load_ganodip(folder: Path) -> Ganodip:
    """Return the detector in `folder`, on the CPU, in evaluation mode.

    Raises ZeromissError when a file is missing or damaged, or the weights are not exactly those that `config.json` describes.
    """
    return load_fitted(folder, GanodipParams, Ganodip).requires_grad_(False)
