"""A trained VQGAN on disk: its parameters as JSON, its weights as safetensors, loaded strictly."""

from pathlib import Path

from zeromiss.backbones.base import load_strictly
from zeromiss.detector_params import VqganParams
from zeromiss.detectors.store import MODEL, read_detector, write_detector
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.image_size import ImageSize


def save_vqgan(folder: Path, vqgan: Vqgan) -> None:
    """Write `config.json` and `model.safetensors` into `folder`."""
    write_detector(folder, vqgan)


def load_vqgan(folder: Path) -> Vqgan:
    """Return the VQGAN in `folder`, on the CPU, in evaluation mode.

    Raises ZeromissError when a file is missing or damaged, or the weights are not exactly those of
    the network that `config.json` describes.
    """
    params, weights, _ = read_detector(folder, VqganParams)
    template_CHW = weights.get("template_CHW")
    vqgan = Vqgan(params, size=None if template_CHW is None else ImageSize(template_CHW.shape[-1], template_CHW.shape[-2]))
    load_strictly(vqgan, weights, origin=str(folder / MODEL))
    return vqgan.eval()
