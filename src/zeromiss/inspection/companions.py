"""Which reference and design come with each image that is inspected: as the caller names them.

One reference for all images, a folder with a file of each image's name, or a CSV file of path,reference[,design].
"""

import csv
from collections.abc import Callable
from pathlib import Path

from zeromiss.errors import ZeromissError
from zeromiss.images.load import SUFFIXES
from zeromiss.images.references import Companion

COLUMNS = ("path", "reference", "design")
CompanionOf = Callable[[Path], Companion | None]  # of an image file; None: nothing is said of it


def name_companions(*, reference: Path | None, references: Path | None, design: str) -> CompanionOf:
    """Return what comes with an image file by the options of an inspection.

    Raises ZeromissError for options that exclude each other, a file or folder that is missing, or a CSV file that names no
    references; what it returns raises it for an image that the folder or the CSV file says nothing of.
    """
    if reference is not None and references is not None:
        raise ZeromissError("--reference names one picture for all images and --references one for each: give one of the two")
    if reference is not None and not reference.is_file():
        raise ZeromissError(f"the reference {reference} is missing: name an image file")
    if references is None:
        return lambda _: Companion(reference=reference, design=design) if reference is not None or design else None
    if references.is_dir():
        return lambda path: Companion(reference=_of_the_same_name(path, references), design=design)
    rows = _read(references)

    def named(path: Path) -> Companion:
        """Return what the CSV file says of an image, by its path or else its file name."""
        found = rows.get(path.resolve()) or rows.get(Path(path.name))
        if found is None:
            raise ZeromissError(f"{references} has no line for {path}: add one with its path and reference")
        if design and found.design and design != found.design:
            raise ZeromissError(f"{references} gives {path} the design {found.design} and --design is {design}: give one of the two")
        return found if found.design else Companion(reference=found.reference, design=design)

    return named


def _of_the_same_name(path: Path, folder: Path) -> Path:
    """Return the image file of a folder that has the name of `path`, whatever its ending."""
    found = sorted(file for file in folder.iterdir() if file.stem == path.stem and file.suffix.lower() in SUFFIXES)
    if len(found) != 1:
        raise ZeromissError(f"{folder} holds {len(found)} references with the name {path.stem}: put one there")
    return found[0]


def _read(table: Path) -> dict[Path, Companion]:
    """Return the lines of a CSV file by the image's path, and by its file name where only one image has it."""
    try:
        lines = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines(), skipinitialspace=True))
    except (OSError, UnicodeDecodeError) as error:
        raise ZeromissError(f"{table} cannot be read ({error}): give a folder of references, or a CSV file of path,reference") from None
    found: dict[Path, Companion] = {}
    names: dict[Path, list[Companion]] = {}
    for number, line in enumerate(lines, start=2):
        if not {"path", "reference"} <= set(line) <= set(COLUMNS):
            raise ZeromissError(f"{table} must have the columns path and reference, and may have design: mend its first line")
        file = table.parent / (line["reference"] or "")
        if not line["path"] or not line["reference"] or not file.is_file():
            raise ZeromissError(f"{table}, line {number}: the reference {line['reference']!r} is missing beside it: add the file or mend its path")
        companion = Companion(reference=file, design=(line.get("design") or "").strip())
        found[(table.parent / line["path"]).resolve()] = companion
        names.setdefault(Path(Path(line["path"]).name), []).append(companion)
    return {name: some[0] for name, some in names.items() if len(some) == 1} | found
