"""The loop in which detectors learn by gradients: seeded batches, curves, checkpoints, a bar with rate and time left."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Protocol, TypedDict

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from zeromiss.detectors.base import Detector
from zeromiss.detectors.checkpoint import History, Learner, load_checkpoint, save_checkpoint
from zeromiss.errors import ZeromissError

_LOG_EVERY = 25  # steps


class Curves(Protocol):
    """Where points of the training curves go (a stage's RunLog is one)."""

    def metrics(self, values: dict[str, float], *, step: int | None = None) -> None:
        """Take finite numbers at a step."""


class Stepper(Learner, Protocol):
    """A training that learns one batch at a time; a checkpoint holds all its state."""

    def step(self, batch: Tensor, step: int) -> dict[str, Tensor]:
        """Learn from the batch of `step` (from 0) and return scalars for the curves, the same names at every step."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished training."""

    detector: Detector  # on the CPU, in evaluation mode
    history: History  # one row every 25 steps; empty where nothing was learned by steps
    seconds: float  # of training, over all the runs it took


class How(TypedDict, total=False):
    """How a training goes, which changes nothing of what it learns: the same for every detector, see `learn`.

    A fit without steps takes all of it, as every `train` does, and uses none: it has no curve, keeps no checkpoint, cannot
    end early and reads each image once itself.
    """

    log: Curves | None
    checkpoint: Path | None
    workers: int  # processes that read images
    stop_after: int | None


def device() -> torch.device:
    """Return what learns here: the GPU if there is one, told to calculate as a CPU does.

    That is: fp32 of full width, because what is kept of frozen features is compared with an inspection's, which runs on
    a CPU; and sums in a fixed order, because the same seed must give the same weights. An operation that has no
    repeatable form on a GPU goes on with torch's warning.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for to repeat itself
    torch.backends.cudnn.allow_tf32 = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.device("cuda")


def low_precision(precision: str, where: torch.device) -> torch.autocast:
    """Return the context in which a training step computes: bf16 for `precision` bf16, or for auto where `where` has instructions for it.

    A processor without them emulates bf16 in several times the time of fp32.
    """
    native = where.type != "cpu" or any(torch.cpu.get_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    return torch.autocast(where.type, dtype=torch.bfloat16, enabled=precision == "bf16" or (precision == "auto" and native))


def learn(
    learner: Stepper,
    batches: Dataset[Tensor],
    *,
    name: str,
    steps: int,
    checkpoint_every: int,
    log: Curves | None = None,
    checkpoint: Path | None = None,
    workers: int = 0,
    stop_after: int | None = None,
) -> tuple[History, float]:
    """Take `steps` steps, item i of `batches` at step i; return the curves and the seconds over all the runs it took.

    With `checkpoint`, the state is written there every `checkpoint_every` steps and taken up from there: the same
    weights come out as without a stop, if `step` draws from seed and step alone. `stop_after` ends early, as a kill
    would, after that many steps (for tests). Raises ZeromissError when a scalar is no longer finite.
    """
    done, before, history = load_checkpoint(checkpoint, learner) if checkpoint else (0, 0.0, [])
    started = monotonic()
    own = torch.Generator()  # a loader draws a number at its start: not from the program's generator
    remaining = DataLoader(Subset(batches, range(done, steps)), batch_size=None, num_workers=workers, generator=own)
    with tqdm(total=steps, initial=done, desc=name, unit="step", dynamic_ncols=True) as bar:
        for step, batch in enumerate(remaining, start=done):
            values = learner.step(batch, step)
            bar.update()
            if (step + 1) % _LOG_EVERY == 0 or step + 1 == steps:
                history.append(_point(values, name, step))
                bar.set_postfix({key: f"{value:.4f}" for key, value in list(history[-1].items())[1:3]})
                if log:
                    log.metrics({key: value for key, value in history[-1].items() if key != "step"}, step=step + 1)
            if checkpoint and (step + 1) % checkpoint_every == 0:
                save_checkpoint(checkpoint, learner, step=step + 1, seconds=before + monotonic() - started, history=history)
            if step + 1 == stop_after:
                break
    return history, before + monotonic() - started


def _point(values: Mapping[str, Tensor], name: str, step: int) -> dict[str, float]:
    """Return one row of the history; refuse to go on with a value that is not finite."""
    row = {key: float(value.detach()) for key, value in values.items()}
    for key, value in row.items():
        if not math.isfinite(value):
            raise ZeromissError(f"training of {name} lost its way at step {step + 1} ({key} is {value}): lower {name}.learning_rate")
    return {"step": float(step + 1), **row}
