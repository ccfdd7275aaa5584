"""A trained f-AnoGAN on disk: its parameters as JSON, its weights as safetensors, loaded strictly."""

from pathlib import Path

from zeromiss.detector_params import FAnoganParams
from zeromiss.detectors.f_anogan.f_anogan import FAnogan
from zeromiss.detectors.store import load_fitted, write_detector


def save_f_anogan(folder: Path, f_anogan: FAnogan) -> None:
    """Write `config.json` and `model.safetensors` into `folder`."""
    write_detector(folder, f_anogan)


def load_f_anogan(folder: Path) -> FAnogan:
    """Return the detector in `folder`, on the CPU, in evaluation mode.

    Raises ZeromissError when a file is missing or damaged, or the weights are not exactly those that `config.json` describes.
    """
    return load_fitted(folder, FAnoganParams, FAnogan).requires_grad_(False)
