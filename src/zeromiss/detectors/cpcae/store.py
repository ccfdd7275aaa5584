"""A trained CPCAE on disk: parameters and size as JSON; weights, backbone and embeddings as safetensors, loaded strictly."""

from pathlib import Path

from zeromiss.backbones.base import load_strictly
from zeromiss.backbones.load import build_backbone
from zeromiss.detector_params import CpcaeParams
from zeromiss.detectors.cpcae.cpcae import Cpcae
from zeromiss.detectors.store import CONFIG, MODEL, read_detector, stored_size, write_detector
from zeromiss.errors import ZeromissError


def save_cpcae(folder: Path, cpcae: Cpcae) -> None:
    """Write `config.json` and `model.safetensors` into `folder`."""
    write_detector(folder, cpcae, size=cpcae.size.plain, images=len(cpcae.memory_NF))


def load_cpcae(folder: Path) -> Cpcae:
    """Return the CPCAE in `folder`, on the CPU, in evaluation mode.

    Raises ZeromissError when a file is missing or damaged, or the tensors are not exactly those that `config.json`
    describes.
    """
    params, tensors, config = read_detector(folder, CpcaeParams)
    images = config.get("images")
    if not isinstance(images, int) or images < params.neighbors:
        raise ZeromissError(f"{folder / CONFIG} does not say the number of its training images: train the product anew")
    cpcae = Cpcae(params, build_backbone(params.backbone), size=stored_size(config, folder), images=images)
    load_strictly(cpcae, tensors, origin=str(folder / MODEL))
    return cpcae.eval()
