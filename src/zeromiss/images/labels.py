"""Labels that people changed: a CSV file a product, kept in git, appended to and never rewritten by hand.

The raw images and their index stay as they came; the manifest stage lays these changes over them. Of several changes of one image
the latest counts. `unsure` takes an image out of every split: it is counted and listed, and never dropped silently.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path, sha256_file
from zeromiss.images.raw import Entry, read_index
from zeromiss.images.staging import locked
from zeromiss.images.words import counted

FILE, SCHEMA_VERSION = "labels.json", 1  # what the manifest stage writes about the changes that it applied
NORMAL, DEFECT, UNSURE = "normal", "defect", "unsure"
WORDS = (NORMAL, DEFECT, UNSURE)
UNNAMED = "defect"  # the type of a defect whose source names none


@dataclass(frozen=True, kw_only=True)
class LabelChange:
    """One line of the file: what an image is, who says so, when and why. A line that repeats the image's label confirms it."""

    at: str  # ISO 8601, UTC
    path: str  # as in index.csv
    sha256: str  # of the image file that was looked at
    label: str  # normal, defect or unsure
    by: str
    why: str


COLUMNS = tuple(field.name for field in fields(LabelChange))


def read_changes(file: Path) -> list[LabelChange]:
    """Return all changes, the latest last; none where nothing was ever changed.

    Raises ZeromissError, naming the line, for a file that is not as `append_changes` writes it.
    """
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if not text:
        return []
    reader = csv.reader(io.StringIO(text))
    if tuple(next(reader)) != COLUMNS:
        raise ZeromissError(f"{file} must have the columns {', '.join(COLUMNS)}: bring it back with git checkout")
    changes = []
    for line in filter(None, reader):
        if len(line) != len(COLUMNS) or not _is_time(line[0]) or line[COLUMNS.index("label")] not in WORDS:
            expected = f"{', '.join(COLUMNS)}, a label of {', '.join(WORDS)}"
            raise ZeromissError(f"{file}, line {reader.line_num}: expected {expected}: mend the line")
        changes.append(LabelChange(**dict(zip(COLUMNS, line, strict=True))))
    return sorted(changes, key=lambda change: datetime.fromisoformat(change.at))  # lines that git merged come in any order


def append_changes(file: Path, words: Mapping[str, str], raw: Path, *, by: str, why: str) -> list[LabelChange]:
    """Record a label, `words`, for each path of the raw folder: all or none, whole on the disk; return the new lines.

    Of two processes at once the second waits. Raises ZeromissError where an image is missing, or the file is not as it should be.
    """
    for path in words:
        if not (raw / path).is_file():
            raise ZeromissError(f"{raw / path} is not there, so that nobody can have looked at it: bring it back with dvc pull")
    digests = {path: sha256_file(raw / path) for path in words}
    said = {"by": " ".join(by.split()), "why": " ".join(why.split())}  # a change is one line, so that git can merge
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file.parent):
        before, now = read_changes(file), datetime.now(UTC)
        if before:  # a clock that was set back must not hide the new line behind an older one
            now = max(now, datetime.fromisoformat(before[-1].at) + timedelta(microseconds=1))
        at = now.isoformat(timespec="microseconds")
        new = [LabelChange(at=at, path=path, sha256=digests[path], label=word, **said) for path, word in words.items()]
        text = file.read_text(encoding="utf-8") if before else ",".join(COLUMNS) + "\n"
        with atomic_path(file) as temporary:
            temporary.write_text(text + _lines(new), encoding="utf-8")
    return new


def apply_changes(facts: pd.DataFrame, changes: Sequence[LabelChange], *, file: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the images that take part, relabelled, and what was done, the content of labels.json; `facts` as of `read_facts`.

    A change holds for every image of the same content. An image that becomes normal loses its mask and type; one that becomes a
    defect has the type `defect`, and counts as one of the source's test folder if it came in the train folder, where only
    normal images may lie. Raises ZeromissError for a change of an image that is not in the raw folder, or has other content there
    than was looked at.
    """
    by_content = _by_content(facts, changes, file)
    told: dict[str, list[dict[str, Any]]] = {"changed": [], "unsure": [], "confirmed": []}
    frame, unsure = facts.copy(), []
    for index, row in facts.iterrows():
        change = by_content.get(row["sha256"])
        if change is None:
            continue
        kind = UNSURE if change.label == UNSURE else "confirmed" if change.label == row["label"] else "changed"
        said = {key: value for key, value in asdict(change).items() if key not in ("path", "label")}
        told[kind].append({"path": row["path"], "before": row["label"], "label": change.label, **said})
        if kind == UNSURE:
            unsure.append(index)
        elif kind == "changed":
            for name, value in _relabelled(row).items():
                frame.at[index, name] = value
    return frame.drop(index=unsure).reset_index(drop=True), told | {"sentence": sentence(told)}


def _by_content(facts: pd.DataFrame, changes: Sequence[LabelChange], file: Path) -> dict[str, LabelChange]:
    """Return the latest change of each content; refuse those that fit no image."""
    known = dict(zip(facts["path"], facts["sha256"], strict=True))
    latest = {change.path: change for change in changes}
    for change in latest.values():
        told = f"{file} changes the label of {change.path}"
        if change.path not in known:
            raise ZeromissError(f"{told}, which is not among the raw images: bring them up to date with dvc pull")
        if known[change.path] != change.sha256:
            raise ZeromissError(f"{told}, whose content is not what {change.by} looked at: look again and record it with zeromiss labels")
    return {change.sha256: change for change in sorted(latest.values(), key=lambda change: datetime.fromisoformat(change.at))}


def apply_to_entries(entries: Sequence[Entry], changes: Sequence[LabelChange]) -> list[Entry]:
    """Return the entries of an index as the manifest will have them, by path alone: nothing is read or checked."""
    latest = {change.path: change.label for change in changes}
    found = []
    for entry in entries:
        word = latest.get(entry.path, entry.label)
        if word != UNSURE:
            found.append(entry if word == entry.label else Entry(**(asdict(entry) | _relabelled(asdict(entry)))))
    return found


def _relabelled(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what changes in an image's row when its label is the other one."""
    if row["label"] == DEFECT:
        checked = {"mask_problem": ""} if "mask_problem" in row else {}  # rows of the index have not been read yet
        return {"label": NORMAL, "defect_type": "", "mask": "", **checked}
    folder = "test" if row["source_split"] == "train" else row["source_split"]
    return {"label": DEFECT, "defect_type": UNNAMED, "source_split": folder}


def sentence(told: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Say in one line how many labels people changed, who did, and how many images are set aside; '' where nothing was said."""
    changed, unsure, confirmed = (told[kind] for kind in ("changed", "unsure", "confirmed"))
    parts = []
    if changed:
        to = ", ".join(
            f"{number} to {word}" for word in (NORMAL, DEFECT) if (number := sum(change["label"] == word for change in changed))
        )
        parts.append(f"{counted(len(changed), 'label')} changed ({to})")
    if unsure:
        parts.append(f"{counted(len(unsure), 'unsure image')} set aside, in no split")
    if confirmed:
        parts.append(f"{counted(len(confirmed), 'label')} confirmed")
    people = sorted({change["by"] for change in (*changed, *unsure, *confirmed)})
    return f"{', '.join(parts)}; by {', '.join(people)}" if parts else ""


def find_image(given: str, raw: Path, entries: Sequence[Entry]) -> Entry:
    """Return the image that a path of index.csv, a path of the file itself, or a file name that only one image has, names.

    Raises ZeromissError where no image, or more than one, fits.
    """
    name = given.strip()
    inside = Path(name).parent.resolve() / Path(name).name
    if inside.is_relative_to(raw):
        name = inside.relative_to(raw).as_posix()
    exact = [entry for entry in entries if entry.path == name]
    found = exact or [entry for entry in entries if entry.path.rpartition("/")[2] == name]
    if len(found) > 1:
        some = ", ".join(entry.path for entry in found[:3])
        raise ZeromissError(f"{given} is the name of {len(found)} images of {raw.name} ({some}): give the path as in index.csv")
    if not found:
        raise ZeromissError(f"{given} is no image of {raw.name}{_owner(name, raw)}: give a path of {raw / 'index.csv'}")
    return found[0]


def _owner(name: str, raw: Path) -> str:
    """Return which other product has the image, '' where none has."""
    for other in sorted(raw.parent.glob("*/index.csv")):
        if other.parent != raw and any(name in (entry.path, entry.path.rpartition("/")[2]) for entry in read_index(other.parent)):
            return f", but one of {other.parent.name}"
    return ""


def _lines(changes: Sequence[LabelChange]) -> str:
    """Return changes as lines of the file."""
    handle = io.StringIO()
    csv.writer(handle, lineterminator="\n").writerows([asdict(change)[name] for name in COLUMNS] for change in changes)
    return handle.getvalue()


def _is_time(text: str) -> bool:
    """Return whether a text is a moment with its time zone."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
