"""Load any trained detector: its folder says which one it is."""

import importlib
from pathlib import Path

from zeromiss.detector_params import DETECTORS
from zeromiss.detectors.base import Detector
from zeromiss.detectors.store import CONFIG, SCHEMA_VERSION
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json


def load_detector(folder: Path) -> Detector:
    """Return the detector in `folder`, on the CPU, in evaluation mode.

    Raises ZeromissError when a file is missing or damaged, names no detector of this program, or holds other tensors
    than its parameters describe.
    """
    name = read_json(folder / CONFIG, schema_version=SCHEMA_VERSION).get("detector")
    if name not in DETECTORS:
        raise ZeromissError(f"{folder / CONFIG} names the detector {name!r}, which this program does not know: train the product anew")
    return getattr(importlib.import_module(f"zeromiss.detectors.{name}.store"), f"load_{name}")(folder)
