"""The solar cells of the package `elpv-dataset`: mono-crystalline cells, electroluminescence, 300 x 300 grey.

Experts gave each cell a probability of being defective: 0, 1/3, 2/3 or 1. Only the sure grades are judged; of the
two middle grades a draw is put aside as images that nobody has judged.
"""

import importlib.util
import random
from pathlib import Path

from zeromiss.errors import ZeromissError
from zeromiss.images.sources.record import Listing, Record

LABELS = "labels.csv"
_CRYSTAL = "mono"


def list_elpv(folder: Path | None, *, incoming: int, seed: int) -> Listing:
    """List the cells below `folder` (default: where the package keeps them).

    At most `incoming` cells of the middle grades, drawn by `seed`, go to the incoming folder; their names keep the
    grade (`cell0123_p033.png` for 1/3).

    Raises ZeromissError when the package or a file is missing, or a line of `labels.csv` is not understood.
    """
    root = folder or _package_data()
    cells = [(root / path, grade) for path, grade in _read_labels(root / LABELS)]
    records = [_record(path, defect=grade == 1.0) for path, grade in cells if grade in (0.0, 1.0)]
    unsure = [(path, f"{path.stem}_p{round(grade * 100):03d}{path.suffix}") for path, grade in cells if 0 < grade < 1]
    drawn = sorted(random.Random(seed).sample(unsure, min(incoming, len(unsure))))
    thirds = sum(grade < 0.5 for _, grade in cells if 0 < grade < 1)
    note = (
        f"{len(unsure)} mono-crystalline cells are left out because the experts were unsure of them "
        f"({thirds} of probability 1/3, {len(unsure) - thirds} of 2/3); "
        f"{len(drawn)} of these are drawn as images that nobody has judged"
    )
    return Listing(records=records, notes=[note], incoming=drawn, read=[root / LABELS])


def _package_data() -> Path:
    """Return the data folder of `elpv-dataset` without importing it."""
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or not spec.submodule_search_locations:
        raise ZeromissError("the package elpv-dataset is not installed: install it with pip, or give its folder")
    return Path(spec.submodule_search_locations[0]) / "data"


def _read_labels(path: Path) -> list[tuple[str, float]]:
    """Return (path, probability) of every mono-crystalline cell, in the file's order."""
    if not path.is_file():
        raise ZeromissError(f"{path} is missing: an elpv folder needs it beside its images")
    cells = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            name, grade, crystal = line.split()
            probability = float(grade)
        except ValueError:
            raise ZeromissError(f"{path}, line {number}: expected path, probability and type, found {line!r}") from None
        if not 0.0 <= probability <= 1.0:
            raise ZeromissError(f"{path}, line {number}: a probability lies in 0 to 1, found {grade}")
        if not (path.parent / name).is_file():
            raise ZeromissError(f"{path}, line {number}: {name} is missing beside it: add the file or remove the line")
        if crystal == _CRYSTAL:
            cells.append((name, probability))
    if not cells:
        raise ZeromissError(f"{path} names no mono-crystalline cell: it needs lines that end in {_CRYSTAL}")
    return cells


def _record(path: Path, *, defect: bool) -> Record:
    """Describe one cell: each is a part of its own, its kind of defect is not known."""
    return Record(
        file=path,
        label="defect" if defect else "normal",
        defect_type="defect" if defect else "",
        part_id=path.stem,
        mask=None,
        source_split="",
        name=path.name,
    )
