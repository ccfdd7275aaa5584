"""A fitted PatchCore on disk: parameters, the images' size and the coreset's as JSON, backbone and coreset as safetensors."""

from pathlib import Path

from zeromiss.detector_params import PatchcoreParams
from zeromiss.detectors.patchcore.patchcore import Patchcore
from zeromiss.detectors.store import load_fitted, write_detector


def save_patchcore(folder: Path, detector: Patchcore) -> None:
    """Write `config.json` and `model.safetensors` into `folder`."""
    write_detector(folder, detector, size=detector.size.plain, kept=detector.kept)


def load_patchcore(folder: Path) -> Patchcore:
    """Return the PatchCore in `folder`, on the CPU, in evaluation mode.

    Raises ZeromissError when a file is missing or damaged, or the tensors are not those that `config.json` describes.
    """
    return load_fitted(folder, PatchcoreParams, Patchcore, facts=("size", "kept"))
