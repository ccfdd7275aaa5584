"""Load any trained detector: its folder says which one it is."""

import importlib
import math
from pathlib import Path
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from zeromiss.detector_params import DETECTORS
from zeromiss.detectors.base import Detector
from zeromiss.detectors.store import CONFIG, SCHEMA_VERSION
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json

MOST_OPERATIONS = 200_000  # of building a network: the largest takes some thousands
LARGEST_TENSOR, MOST_NUMBERS = 1 << 28, 1 << 30  # numbers of one tensor, and of all that building makes: 1 and 4 GiB


def load_detector(folder: Path) -> Detector:
    """Return the detector in `folder`, on the CPU, in evaluation mode.

    Raises ZeromissError when a file is missing or damaged, names no detector of this program, or holds other tensors
    than its parameters describe.
    """
    name = read_json(folder / CONFIG, schema_version=SCHEMA_VERSION).get("detector")
    if name not in DETECTORS:
        raise ZeromissError(f"{folder / CONFIG} names the detector {name!r}, which this program does not know: train the product anew")
    load = getattr(importlib.import_module(f"zeromiss.detectors.{name}.store"), f"load_{name}")
    try:
        with _Bounded():
            return load(folder)
    except _TooLargeError as error:
        raise ZeromissError(f"{folder / CONFIG} describes a network that {error}: train the product anew") from None


class _TooLargeError(Exception):
    """A network under construction passes a bound: which, in a clause."""


class _Bounded(TorchDispatchMode):
    """Stops the construction of a network of absurd size before its memory is taken."""

    def __init__(self) -> None:
        """Begin to count."""
        super().__init__()
        self._operations = self._numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count an operation and what it is about to make, then let it happen."""
        made = math.prod(args[0]) if args and isinstance(args[0], list | tuple) and all(isinstance(side, int) for side in args[0]) else 0
        self._operations, self._numbers = self._operations + 1, self._numbers + made
        if self._operations > MOST_OPERATIONS:
            raise _TooLargeError(f"takes more than {MOST_OPERATIONS} steps to build")
        if made > LARGEST_TENSOR or self._numbers > MOST_NUMBERS:
            raise _TooLargeError(f"holds more than {MOST_NUMBERS if made <= LARGEST_TENSOR else LARGEST_TENSOR} numbers")
        return func(*args, **(kwargs or {}))
