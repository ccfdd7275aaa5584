"""Which images of the table the report shows, and their strips of panels (paper 1, Figs. 6, 11 and 13)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from zeromiss.files import atomic_path
from zeromiss.inspection.inspector import Examination
from zeromiss.inspection.overlay import draw_panels

SIDE, GAP = 384, 6  # pixels of a panel and between panels
_QUALITY = 90


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A row of the pooled scores and why it is shown."""

    path: str
    label: str  # normal or defect
    score: float  # pooled out-of-fold score in [0, 1]
    why: str


def hardest_defect(pooled: pd.DataFrame) -> Choice:
    """Return the defect with the lowest score: it sets the threshold. Ties: the first path."""
    defects = _sorted(pooled, "defect")
    return _choice(defects.iloc[0], "the lowest score of all defects: it sets the threshold")


def spread(pooled: pd.DataFrame, label: str, count: int, *, skip: int = 0) -> list[Choice]:
    """Return up to `count` images of a label, spread evenly over its ranks from lowest to highest score.

    pooled: columns path, label, probability (the winner's out-of-fold score, higher = more abnormal).
    skip: how many of the lowest are left out, because they are shown elsewhere.
    """
    rows = _sorted(pooled, label)
    count = min(count, max(len(rows) - skip, 0))
    ranks = np.unique(np.rint(np.linspace(skip, len(rows) - 1, count)).astype(int))
    return [_choice(rows.iloc[rank], _rank_text(rank, len(rows), label)) for rank in ranks]


def write_strip(path: Path, examination: Examination, *, boxes: int) -> None:
    """Write original, reconstruction, difference and patches side by side as JPEG, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        Image.fromarray(strip(draw_panels(examination, boxes=boxes, side=SIDE))).save(
            temporary, format="JPEG", quality=_QUALITY, subsampling=0
        )


def strip(panels: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return uint8 panels (side, side, 3) in a row on white, 6 pixels apart: (side, n * side + (n - 1) * 6, 3)."""
    side, count = panels[0].shape[0], len(panels)
    canvas = np.full((side, count * side + (count - 1) * GAP, 3), 255, dtype=np.uint8)
    for index, panel in enumerate(panels):
        left = index * (side + GAP)
        canvas[:, left : left + side] = panel
    return canvas


def _sorted(pooled: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the rows of one label by score, then by path."""
    return pooled[pooled["label"] == label].sort_values(["probability", "path"])


def _choice(row: pd.Series, why: str) -> Choice:
    """Return one row as a choice."""
    return Choice(path=row["path"], label=row["label"], score=float(row["probability"]), why=why)


def _rank_text(rank: int, count: int, label: str) -> str:
    """Return the place of an image among those of its label."""
    if rank == count - 1:
        return f"the highest score of {count} {label} images"
    return f"the lowest score of {count} {label} images" if rank == 0 else f"score {rank + 1} of {count}, from the lowest"
