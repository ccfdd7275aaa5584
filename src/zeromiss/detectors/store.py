"""A trained detector on disk: its parameters as JSON, all its tensors as safetensors, nothing else needed to judge.

Feature extractors are part of the tensors: what a detector was fitted with is what it judges with.
"""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path, read_json, write_json
from zeromiss.sections import Section, first_fault

SCHEMA_VERSION = 1
CONFIG, MODEL = "config.json", "model.safetensors"
FILES = (CONFIG, MODEL)
Params = TypeVar("Params", bound=Section)


def write_detector(folder: Path, name: str, params: Section, network: nn.Module, **facts: Any) -> None:
    """Write `config.json` (parameters and further JSON `facts`) and `model.safetensors` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / MODEL) as temporary:
        save_file({key: value.detach().cpu().contiguous().clone() for key, value in network.state_dict().items()}, temporary)
    write_json(folder / CONFIG, {"detector": name, "params": params.model_dump(mode="json"), **facts}, schema_version=SCHEMA_VERSION)


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
