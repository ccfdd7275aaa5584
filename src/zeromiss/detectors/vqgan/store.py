"""A trained VQGAN on disk: its parameters as JSON, its weights as safetensors, loaded strictly."""

from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from zeromiss.backbones.base import load_strictly
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path, read_json, write_json
from zeromiss.params import VqganParams, first_fault

SCHEMA_VERSION = 1
CONFIG, MODEL = "config.json", "model.safetensors"


def save_vqgan(folder: Path, vqgan: Vqgan) -> None:
    """Write `config.json` and `model.safetensors` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / MODEL) as temporary:
        save_file({key: value.cpu().contiguous() for key, value in vqgan.state_dict().items()}, temporary)
    write_json(folder / CONFIG, {"detector": vqgan.name, "params": vqgan.params.model_dump(mode="json")}, schema_version=SCHEMA_VERSION)


def load_vqgan(folder: Path) -> Vqgan:
    """Return the VQGAN in `folder`, on the CPU, in evaluation mode.

    Raises ZeromissError when a file is missing or damaged, or the weights are not exactly those of
    the network that `config.json` describes.
    """
    config = read_json(folder / CONFIG, schema_version=SCHEMA_VERSION)
    try:
        params = VqganParams.model_validate(config.get("params"))
        weights = load_file(folder / MODEL)
    except ValidationError as error:
        key, fault = first_fault(error)
        raise ZeromissError(f"{folder / CONFIG}: params.{key}: {fault}; train the product anew") from None
    except (OSError, SafetensorError) as error:
        raise ZeromissError(f"{folder / MODEL} cannot be read ({error}): train the product anew") from None
    side = weights["template_CHW"].shape[-1] if "template_CHW" in weights else 0
    vqgan = Vqgan(params, side=side)
    load_strictly(vqgan, weights, origin=str(folder / MODEL))
    return vqgan.eval()
