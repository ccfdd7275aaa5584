"""Resume checkpoints: one safetensors file, replaced atomically, with step and history in its header.

The state of a training is its weights, its optimisers and its step: batches and revived codes are
drawn from the seed and the step (see `batches`), so no generator's state needs to be kept.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path
from zeromiss.image_size import ImageSize, Size
from zeromiss.sections import Section

SCHEMA_VERSION = 1
History = list[dict[str, float]]
_HOW = {"devices", "gradient_checkpointing", "compile"}  # parameters that say how, not what: a training may go on otherwise


class Learner(Protocol):
    """A training: what it learns and how far its optimisers are, each part by its name."""

    modules: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]


def checkpoint_key(params: Section, *, size: Size, seed: int, manifest_sha256: str) -> str:
    """Return the name of a training: the same for the same parameters, images and seed, else another."""
    learned = params.model_dump(exclude=_HOW)
    parts = {"params": learned, "size": ImageSize.of(size).plain, "seed": seed, "manifest": manifest_sha256}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def save_checkpoint(path: Path, learner: Learner, *, step: int, seconds: float, history: History) -> None:
    """Write the state after `step` steps; whatever stood at `path` stays until the new one is whole."""
    tensors = {f"{name}.{key}": value for name, module in learner.modules.items() for key, value in module.state_dict().items()}
    for name, optimiser in learner.optimisers.items():
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{name}.{index}.{key}": value for key, value in state.items()}
    header = {"schema_version": SCHEMA_VERSION, "step": step, "seconds": seconds, "history": history}
    with atomic_path(path) as temporary:
        save_file({key: value.cpu().contiguous() for key, value in tensors.items()}, temporary, {"zeromiss": json.dumps(header)})


def load_checkpoint(path: Path, learner: Learner) -> tuple[int, float, History]:
    """Put the state at `path` into `learner`; return its steps done, seconds and history.

    Without a file: (0, 0.0, []), nothing changed. Raises ZeromissError when the file is damaged.
    """
    if not path.is_file():
        return 0, 0.0, []
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["zeromiss"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        if header["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema version {header['schema_version']}")
        for name, module in learner.modules.items():
            prefix = f"{name}."
            module.load_state_dict({key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}, strict=True)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ZeromissError(f"checkpoint {path} cannot be resumed ({reason}): delete it to train anew") from None
    for name, optimiser in learner.optimisers.items():
        _load_optimiser(optimiser, tensors, f"optimiser.{name}.")
    return int(header["step"]), float(header["seconds"]), header["history"]


def _load_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], prefix: str) -> None:
    """Put an optimiser's moments back, each in the memory layout of its weight: the fused step reads both as they lie."""
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        if key.startswith(prefix):
            index, name = key.removeprefix(prefix).split(".")
            laid = torch.empty_like(weights[int(index)]).copy_(value) if value.ndim else value
            state.setdefault(int(index), {})[name] = laid.detach()
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
