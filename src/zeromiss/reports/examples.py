"""Which images of the table the report shows, and their pictures (paper 1, Figs. 6, 11 and 13).

An image is shown as original, reconstruction, difference and patches, or, where the first detector does not redraw, as
original, anomaly map and patches; under each lies its worst region, the one
around the most distant patch, enlarged.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from zeromiss.images.enlarge import enlarge
from zeromiss.inspection.inspector import Examination
from zeromiss.inspection.overlay import apart, draw_panels, draw_patches, plain_panels
from zeromiss.inspection.verdict import Patch
from zeromiss.reports.pictures import save_jpeg

SIDE, GAP = 320, 6  # pixels of a panel, and between a panel and its enlarged region


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A row of the pooled scores and why it is shown."""

    path: str
    label: str  # normal or defect
    defect_type: str
    score: float  # pooled out-of-fold score in [0, 1]
    why: str


@dataclass(frozen=True, kw_only=True)
class Window:
    """A square region of the judged image, in its pixels."""

    x: int
    y: int
    side: int


def hardest_defects(pooled: pd.DataFrame, count: int) -> list[Choice]:
    """Return the `count` defects with the lowest scores, the lowest first; it sets the threshold. Ties: by path.

    pooled: columns path, label, defect_type, probability (the winner's out-of-fold score, higher = more abnormal).
    """
    rows = _sorted(pooled, "defect")
    first = "the lowest score of all defects: the threshold is set by it"
    return [_choice(row, first if rank == 0 else f"defect {rank + 1} of {len(rows)}, from the lowest score") for rank, row in _head(rows, count)]


def worst_alarms(pooled: pd.DataFrame, threshold: float, count: int) -> list[Choice]:
    """Return the `count` normal images with the highest scores among those at or above `threshold`, the highest first."""
    rows = _sorted(pooled, "normal").iloc[::-1]
    rows = rows[rows["probability"] >= threshold]
    return [_choice(row, f"false alarm {rank + 1} of {len(rows)}, from the highest score") for rank, row in _head(rows, count)]


def random_normals(pooled: pd.DataFrame, count: int, *, seed: int, skip: set[str]) -> list[Choice]:
    """Return up to `count` normal images drawn by `seed`, by their scores; none of the paths in `skip`."""
    rows = _sorted(pooled, "normal")
    rows = rows[~rows["path"].isin(skip)]
    drawn = rows.sample(n=min(count, len(rows)), random_state=seed).sort_values(["probability", "path"])
    return [_choice(row, "drawn at random") for _, row in _head(drawn, count)]


def worst_window(examination: Examination) -> Window:
    """Return the region around the most distant patch: a sixth of the image's shorter side, at least three times the patch."""
    verdict = examination.verdict
    patch, shorter = verdict.patches[0], min(verdict.width, verdict.height)
    side = min(max(shorter // 6, 3 * patch.size), shorter)
    places = ((patch.x, verdict.width), (patch.y, verdict.height))
    x, y = (min(max(start + patch.size // 2 - side // 2, 0), length - side) for start, length in places)
    return Window(x=x, y=y, side=side)


def columns(examination: Examination, *, boxes: int) -> dict[str, np.ndarray]:
    """Return the panels by title, each above its worst region enlarged: uint8 RGB, 320 pixels wide."""
    window = worst_window(examination)
    scale = SIDE / max(examination.verdict.width, examination.verdict.height)
    whole, zoomed = draw_panels(examination, boxes=boxes, side=SIDE), _zoomed(examination, window, boxes)
    return {title: _stacked(_framed(panel, window, scale), zoomed[title]) for title, panel in whole.items()}


def write_columns(folder: Path, stem: str, examination: Examination, *, boxes: int) -> dict[str, str]:
    """Write the columns as JPEG files into `folder`, atomically, and return the files' names by title."""
    names = {}
    for title, picture in columns(examination, boxes=boxes).items():
        names[title] = f"{stem}-{title.replace(' ', '-')}.jpg"
        save_jpeg(folder / names[title], picture)
    return names


def _zoomed(examination: Examination, window: Window, boxes: int) -> dict[str, np.ndarray]:
    """Return the region of each panel by title, enlarged to a panel's side."""
    cut = {title: enlarge(_cut(picture, window), SIDE) for title, picture in plain_panels(examination).items()}
    moved = tuple(_moved(patch, window) for patch in apart(examination.verdict.patches, boxes))
    return cut | {"patches": draw_patches(cut["original"], moved, scale=SIDE / window.side)}


def _cut(picture: np.ndarray, window: Window) -> np.ndarray:
    """Return the region of a picture (H, W, 3)."""
    return np.ascontiguousarray(picture[window.y : window.y + window.side, window.x : window.x + window.side])


def _moved(patch: Patch, window: Window) -> Patch:
    """Return a patch in the region's own pixels."""
    return replace(patch, x=patch.x - window.x, y=patch.y - window.y)


def _framed(panel: np.ndarray, window: Window, scale: float) -> np.ndarray:
    """Return a panel with a white frame in a black rim around the region."""
    canvas = Image.fromarray(panel)
    brush = ImageDraw.Draw(canvas)
    box = [round(value * scale) for value in (window.x, window.y, window.x + window.side, window.y + window.side)]
    left, top, right, bottom = box[0], box[1], min(box[2], canvas.width) - 1, min(box[3], canvas.height) - 1
    brush.rectangle((left, top, right, bottom), outline=(0, 0, 0), width=4)
    brush.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=(255, 255, 255), width=2)
    return np.asarray(canvas)


def _stacked(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Return two panels above each other with white between."""
    beside = lower.shape[1] - upper.shape[1]  # of a narrow image
    upper = np.pad(upper, ((0, GAP), (beside // 2, beside - beside // 2), (0, 0)), constant_values=255)
    return np.concatenate((upper, lower))


def _sorted(pooled: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the rows of one label by score, then by path."""
    return pooled[pooled["label"] == label].sort_values(["probability", "path"])


def _head(rows: pd.DataFrame, count: int) -> list[tuple[int, pd.Series]]:
    """Return the first rows with their ranks from 0."""
    return [(rank, rows.iloc[rank]) for rank in range(min(count, len(rows)))]


def _choice(row: pd.Series, why: str) -> Choice:
    """Return one row as a choice."""
    return Choice(path=row["path"], label=row["label"], defect_type=row["defect_type"] or "", score=float(row["probability"]), why=why)
