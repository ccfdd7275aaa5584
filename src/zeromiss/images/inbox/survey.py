"""What lies in an inbox, by names and times alone: images with a label, and what waits, is left or cannot be taken.

Labels are folders: `good/`, and one folder for each kind of defect, at the top or below `train/` and `test/`; masks
lie in `ground_truth/KIND/NAME_mask.png`. Images without a label are left where they are: nothing learns from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from zeromiss.images.inbox.place import Found
from zeromiss.images.load import SUFFIXES
from zeromiss.images.sources.record import BESIDE, known_kinds

PARTIAL = frozenset({".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart", ".upload", ".uploading", ".writing"})
_NORMAL = frozenset({"good", "normal"})
_UNCLEAR = frozenset({"unlabelled", "unlabeled", "unknown", "unsure", "new", "ok", "pass", "fail", "defect_or_good"})
_MASKS = "ground_truth"
_SPLITS = ("train", "test")


class Image(NamedTuple):
    """An image that is complete as far as its times tell: `kind` is '' for a good one, `name` what raw data may call it."""

    found: Found
    kind: str
    split: str
    mask: Found | None
    name: str

    @property
    def label(self) -> str:
        """Return normal or defect."""
        return "defect" if self.kind else "normal"


@dataclass(kw_only=True)
class Survey:
    """An inbox's files: `images` to look into, `waiting` for their writer, `unlabelled`, and `strange` ones with a reason."""

    images: list[Image] = field(default_factory=list)
    waiting: list[Found] = field(default_factory=list)
    unlabelled: list[Found] = field(default_factory=list)
    strange: list[tuple[Found, str]] = field(default_factory=list)


def survey(files: Sequence[Found], *, now: float, settle_seconds: float) -> Survey:
    """Sort an inbox's files; a file changed less than `settle_seconds` before `now` (seconds since 1970) waits."""
    result, names = Survey(), {one.name for one in files}
    masks = {one.name: one for one in files if one.name.startswith(f"{_MASKS}/")}
    for found in files:
        path = PurePosixPath(found.name)
        if found.name in masks or _is_beside(path) or any(part.startswith(".") and part not in ("..", ".") for part in path.parts):
            continue
        label = _label(path)
        if _is_partial(found.name, names) or now - found.changed < settle_seconds:
            result.waiting.append(found)
        elif label is None:
            result.unlabelled.append(found)
        elif reason := _reason(found, label):
            result.strange.append((found, reason))
        else:
            _take(result, found, label, masks, now - settle_seconds)
    return result


def _take(result: Survey, found: Found, label: tuple[str, str, str], masks: dict[str, Found], latest: float) -> None:
    """Add an image; a defect waits for its mask where the inbox has masks at all."""
    split, kind, rest = label
    mask = masks.get(f"{_MASKS}/{kind}/{PurePosixPath(rest).with_suffix('')}_mask.png") if kind else None
    if kind and masks and (mask is None or mask.changed > latest):
        result.waiting.append(found)
        return
    folders = [split] if split else []
    result.images.append(Image(found, kind, split, mask, "/".join([*folders, kind or "good", rest])))


def _label(path: PurePosixPath) -> tuple[str, str, str] | None:
    """Return split, kind ('' for good) and the rest of the path; None without a label."""
    split = path.parts[0] if path.parts[0] in _SPLITS else ""
    parts = path.parts[1:] if split else path.parts
    if len(parts) < 2 or parts[0].lower() in _UNCLEAR:
        return None
    return split, "" if parts[0].lower() in _NORMAL else parts[0], "/".join(parts[1:])


def _reason(found: Found, label: tuple[str, str, str]) -> str:
    """Say why a complete file with a label cannot be taken, '' if it can."""
    path = PurePosixPath(found.name)
    if any(part in ("..", ".") or "\\" in part or not part.isprintable() for part in found.name.split("/")) or "//" in found.name:
        return "has a name that is no plain path: name it with letters, digits, dots and dashes"
    if path.suffix.lower() not in SUFFIXES:
        return f"is no image of a known kind ({known_kinds()})"
    if label[0] == "train" and label[1]:
        return "lies in train/ but is not good: put defects below test/"
    return "is empty" if found.size == 0 else ""


def _is_beside(path: PurePosixPath) -> bool:
    """Return whether a file accompanies images, as lists and notes do."""
    return path.suffix.lower() in BESIDE or path.name == "Thumbs.db"


def _is_partial(name: str, names: set[str]) -> bool:
    """Return whether a name is that of a file being written, or of one with such a file beside it."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in PARTIAL or name.endswith("~") or any(f"{name}{part}" in names for part in PARTIAL)
