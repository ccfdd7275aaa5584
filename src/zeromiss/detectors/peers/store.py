"""A trained detector of anomalib on disk: parameters and what its shapes depend on as JSON, all tensors as safetensors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from zeromiss.backbones.base import load_strictly
from zeromiss.detectors.store import CONFIG, MODEL, read_detector
from zeromiss.errors import ZeromissError
from zeromiss.sections import Section

Params = TypeVar("Params", bound=Section)
Network = TypeVar("Network", bound=nn.Module)


def read_peer(folder: Path, params_type: type[Params], build: Callable[..., Network], *, facts: tuple[str, ...]) -> Network:
    """Return the detector in `folder`, made by `build(params, **facts)`, on the CPU, in evaluation mode.

    `facts` names the whole numbers above 0 that `config.json` holds beside the parameters. Raises ZeromissError when a
    file is missing or damaged, a fact is missing, or the tensors are not exactly those of the model it describes.
    """
    params, weights, config = read_detector(folder, params_type)
    detector = build(params, **{fact: _whole(config, fact, folder) for fact in facts})
    load_strictly(detector, weights, origin=str(folder / MODEL))
    return detector.eval()


def _whole(config: dict[str, Any], fact: str, folder: Path) -> int:
    value = config.get(fact)
    if type(value) is not int or value < 1:
        raise ZeromissError(f"{folder / CONFIG}: {fact} is {value!r}, not a whole number above 0: train the product anew")
    return value
