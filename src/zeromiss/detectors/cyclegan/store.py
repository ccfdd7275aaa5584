"""A trained CycleGAN-AD on disk: what judges (the way into the normal domain and the backbone), loaded strictly."""

from pathlib import Path

from zeromiss.detector_params import CycleganParams
from zeromiss.detectors.cyclegan.cyclegan import Cyclegan
from zeromiss.detectors.store import load_fitted, write_detector


def save_cyclegan(folder: Path, detector: Cyclegan) -> None:
    """Write `config.json` and `model.safetensors` into `folder`."""
    write_detector(folder, detector)


def load_cyclegan(folder: Path) -> Cyclegan:
    """Return the detector in `folder`, on the CPU, in evaluation mode.

    Raises ZeromissError when a file is missing or damaged, or the weights are not exactly those of the networks that
    `config.json` describes.
    """
    return load_fitted(folder, CycleganParams, Cyclegan)
