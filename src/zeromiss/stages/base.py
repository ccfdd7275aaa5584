"""What a stage is given: the product, the paths, and somewhere to say what happened."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from zeromiss.detector_params import DETECTORS
from zeromiss.params import Product
from zeromiss.workspace import Workspace

COMPARE = "compare"
STAGES = ("manifest", *DETECTORS, "metrics", "selection", "threshold", "bundle", "report", COMPARE)


def stages_of(detectors: Sequence[str]) -> tuple[str, ...]:
    """Return the stages that lead to a bundle and its report with these detectors, in their order."""
    return tuple(stage for stage in STAGES if stage in detectors or stage not in (*DETECTORS, COMPARE))


class RunLog(Protocol):
    """Where a stage reports to; the tracking server's run, or nothing."""

    def metrics(self, values: dict[str, float], *, step: int | None = None) -> None:
        """Record finite numbers, as a point of a curve when `step` is given."""

    def artifact(self, path: Path) -> None:
        """Record a file (a figure, a table) with the run."""

    def tags(self, values: dict[str, str]) -> None:
        """Record short strings with the run."""


class NoLog:
    """A RunLog that keeps nothing: for tests and for stages run without tracking."""

    def metrics(self, values: dict[str, float], *, step: int | None = None) -> None:
        """Drop the numbers."""

    def artifact(self, path: Path) -> None:
        """Drop the file."""

    def tags(self, values: dict[str, str]) -> None:
        """Drop the strings."""


class Stage(Protocol):
    """A module of this room: `run` reads the product's files and writes its own folder."""

    def run(self, product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any] | None:
        """Do the stage's work."""
