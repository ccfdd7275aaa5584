"""anomalib, imported when a detector needs it: silent, and with clear sentences for what it raises.

Only its torch models, losses and samplers are used, never its engine. Importing any of them imports all of anomalib and
Lightning: some 3,000 modules in 5 to 8 seconds, which opens no connection and keeps no file. So nothing here happens at import.
"""

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch

from zeromiss.errors import ZeromissError

_RAISED = (ValueError, TypeError, RuntimeError, IndexError, KeyError, AssertionError, AttributeError)


def anomalib(module: str) -> ModuleType:
    """Return `anomalib.<module>`, without the warnings of deprecation that its import prints.

    Raises ZeromissError where anomalib, or a package it needs, is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(f"anomalib.{module}")
        except ImportError as error:
            raise ZeromissError(
                f"this detector runs on anomalib, which cannot be imported ({error}): pip install 'zeromiss[peers]'"
            ) from None


@contextmanager
def clearly(doing: str, remedy: str) -> Iterator[None]:
    """Turn what anomalib, timm or torch raise inside into one ZeromissError: what was done, their words, what to do."""
    try:
        yield
    except _RAISED as error:
        words = " ".join(str(error).split())[:160] or type(error).__name__
        raise ZeromissError(f"{doing} failed ({words}): {remedy}") from None


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's own generators as from `seed` inside, and leave them as they were: anomalib takes no generator."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
