"""A trained detector on disk: its parameters as JSON, all its tensors as safetensors, nothing else needed to judge.

Feature extractors are part of the tensors: what a detector was fitted with is what it judges with.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zeromiss.backbones.base import load_strictly
from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path, read_json, write_json
from zeromiss.image_size import ImageSize
from zeromiss.sections import Section, first_fault

SCHEMA_VERSION = 1
CONFIG, MODEL = "config.json", "model.safetensors"
FILES = (CONFIG, MODEL)
Params = TypeVar("Params", bound=Section)
Network = TypeVar("Network", bound=nn.Module)


def write_detector(folder: Path, detector: nn.Module, **facts: Any) -> None:
    """Write `config.json` (name, parameters and further JSON `facts`) and `model.safetensors` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / MODEL) as temporary:
        save_file({key: value.detach().cpu().contiguous().clone() for key, value in detector.state_dict().items()}, temporary)
    described = {"detector": detector.name, "params": detector.params.model_dump(mode="json"), **facts}
    write_json(folder / CONFIG, described, schema_version=SCHEMA_VERSION)


def read_detector(folder: Path, params_type: type[Params]) -> tuple[Params, dict[str, Tensor], dict[str, Any]]:
    """Return the parameters, the tensors and the whole of `config.json`.

    Raises ZeromissError when a file is missing or damaged, or a parameter does not fit.
    """
    config = read_json(folder / CONFIG, schema_version=SCHEMA_VERSION)
    try:
        return params_type.model_validate(config.get("params")), load_file(folder / MODEL), config
    except ValidationError as error:
        key, fault = first_fault(error)
        raise ZeromissError(f"{folder / CONFIG}: params.{key}: {fault}; train the product anew") from None
    except (OSError, SafetensorError) as error:
        raise ZeromissError(f"{folder / MODEL} cannot be read ({error}): train the product anew") from None


def load_fitted(folder: Path, params_type: type[Params], build: Callable[..., Network], *, facts: tuple[str, ...] = ()) -> Network:
    """Return the detector in `folder`, made by `build(params, **facts)`, on the CPU, in evaluation mode.

    `facts` names what `config.json` holds beside the parameters: `size`, and whole numbers above 0. Raises ZeromissError when a
    file is missing or damaged, a fact is missing, or the tensors are not exactly those of the model it describes.
    """
    params, weights, config = read_detector(folder, params_type)
    detector = build(params, **{fact: stored_size(config, folder) if fact == "size" else _whole(config, fact, folder) for fact in facts})
    load_strictly(detector, weights, origin=str(folder / MODEL))
    return detector.eval()


def stored_size(config: dict[str, Any], folder: Path) -> ImageSize:
    """Return the `size` that `config.json` holds; raises ZeromissError where it holds none."""
    try:
        return ImageSize.of(config.get("size"))
    except ValueError as error:
        raise ZeromissError(f"{folder / CONFIG}: {error}: train the product anew") from None


def _whole(config: dict[str, Any], fact: str, folder: Path) -> int:
    value = config.get(fact)
    if type(value) is not int or value < 1:
        raise ZeromissError(f"{folder / CONFIG}: {fact} is {value!r}, not a whole number above 0: train the product anew")
    return value
