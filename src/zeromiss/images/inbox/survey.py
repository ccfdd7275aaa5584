"""What lies in an inbox, by names and times alone: images with a label, and what waits, is left or cannot be taken.

Labels are folders, read by the vocabulary: `good/`, and one folder for each kind of defect, at the top or below `train/` and `test/`;
masks lie in `ground_truth/KIND/NAME_mask.png`. Images without a label are left where they are: nothing learns from them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from zeromiss.errors import ZeromissError
from zeromiss.images.inbox.place import Found
from zeromiss.images.load import SUFFIXES
from zeromiss.images.passed_over import reason_to_pass_over
from zeromiss.images.sources.record import known_kinds
from zeromiss.images.vocabulary import NORMAL, UNLABELLED, Label, Vocabulary, fold
from zeromiss.stage_params import IngestParams

PARTIAL = frozenset({".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart", ".upload", ".uploading", ".writing"})
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
    """An inbox's files, each in one place.

    `images` to look into, with their `masks`; `waiting` for their writer, and `maskless` defects for their mask; `unlabelled`; `strange`
    ones with a reason; `asked` by the sentence that asks what their label means; numbers of `ignored` ones by reason. Of the images,
    `late` are defects whose mask did not come in time.
    """

    images: list[Image] = field(default_factory=list)
    waiting: list[Found] = field(default_factory=list)
    maskless: list[Found] = field(default_factory=list)
    unlabelled: list[Found] = field(default_factory=list)
    strange: list[tuple[Found, str]] = field(default_factory=list)
    asked: dict[str, list[Found]] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    late: list[Found] = field(default_factory=list)


class _Labelled(NamedTuple):
    """Where a file lies: its split ('' for none), the folder that is its label, what that means, and the path below it."""

    split: str
    folder: str
    label: Label
    rest: str


def survey(
    files: Sequence[Found], *, now: float, settle_seconds: float, mask_wait_seconds: float = IngestParams().mask_wait_seconds, vocabulary: Vocabulary | None = None
) -> Survey:
    """Sort an inbox's files; a file changed less than `settle_seconds` before `now` (seconds since 1970) waits.

    Where there are masks, a defect waits `mask_wait_seconds` for its own; then it is an image without one.
    """
    result, names, vocabulary = Survey(), {one.name for one in files}, vocabulary or Vocabulary()
    masks: dict[tuple[str, str], Found] = {}
    others: list[Found] = []
    for found in files:
        path = PurePosixPath(found.name)
        if reason := reason_to_pass_over(path.parts):
            result.ignored[reason] += 1
        elif path.parts[0].casefold() == _MASKS and not _is_partial(found.name, names):
            masks[_mask_key(path)] = found
        else:
            others.append(found)
    for found in others:
        try:
            place = _labelled(PurePosixPath(found.name), vocabulary)
        except ZeromissError as question:
            result.asked.setdefault(str(question), []).append(found)
            continue
        if _is_partial(found.name, names) or now - found.changed < settle_seconds:
            result.waiting.append(found)
        elif place is None or place.label.label == UNLABELLED:
            result.unlabelled.append(found)
        elif reason := _reason(found, place):
            result.strange.append((found, reason))
        else:
            _take(result, found, place, masks, settled=now - settle_seconds, patient=now - mask_wait_seconds)
    used = {image.mask for image in result.images}
    result.ignored["masks whose image is not taken"] += sum(mask not in used for mask in masks.values())
    return result


def mask_of(name: str) -> str:
    """Return the name of the mask of an image of an inbox."""
    path = PurePosixPath(name)
    below = path.relative_to(path.parts[0]) if path.parts[0].casefold() in _SPLITS else path
    return f"{_MASKS}/{below.with_suffix('')}_mask.png"


def _take(result: Survey, found: Found, place: _Labelled, masks: Mapping[tuple[str, str], Found], *, settled: float, patient: float) -> None:
    """Add an image; a defect waits for its mask where the inbox has masks at all, but not for ever."""
    kind = place.label.kind
    mask = masks.get((fold(place.folder), str(PurePosixPath(place.rest).with_suffix("")))) if kind else None
    if mask is not None and mask.changed > settled:
        result.waiting.append(found)
        return
    if kind and masks and mask is None:
        if found.changed > patient:
            result.maskless.append(found)
            return
        result.late.append(found)
    folders = [place.split] if place.split else []
    result.images.append(Image(found, kind, place.split, mask, "/".join([*folders, place.folder if kind else "good", place.rest])))


def _mask_key(path: PurePosixPath) -> tuple[str, str]:
    """Return the folder and the image's path below it, without its ending, that a mask belongs to; its own path for any other file."""
    if len(path.parts) < 3 or not path.stem.endswith("_mask") or path.suffix.lower() not in SUFFIXES:
        return "", str(path)
    return fold(path.parts[1]), str(PurePosixPath(*path.parts[2:-1], path.stem.removesuffix("_mask")))


def _labelled(path: PurePosixPath, vocabulary: Vocabulary) -> _Labelled | None:
    """Return where a file lies, None in no folder that could be a label; raises ZeromissError for a label that is asked about."""
    split = path.parts[0].casefold() if path.parts[0].casefold() in _SPLITS else ""
    parts = path.parts[1:] if split else path.parts
    if len(parts) < 2 or parts[0] in ("..", "."):
        return None
    folder = f"{path.parts[0]}/{parts[0]}" if split else parts[0]
    return _Labelled(split, parts[0], vocabulary.read(parts[0], where=f"the folder {folder}/ of the inbox", folder=True), "/".join(parts[1:]))


def _reason(found: Found, place: _Labelled) -> str:
    """Say why a complete file with a label cannot be taken, '' if it can."""
    path = PurePosixPath(found.name)
    if any(part in ("..", ".") or "\\" in part or not part.isprintable() for part in found.name.split("/")) or "//" in found.name:
        return "has a name that is no plain path: name it with letters, digits, dots and dashes"
    if path.suffix.lower() not in SUFFIXES:
        return f"is no image of a known kind ({known_kinds()})"
    if place.split == "train" and place.label.label != NORMAL:
        return "lies in train/ but is not good: put defects below test/"
    return "is empty" if found.size == 0 else ""


def _is_partial(name: str, names: set[str]) -> bool:
    """Return whether a name is that of a file being written, or of one with such a file beside it."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in PARTIAL or name.endswith("~") or any(f"{name}{part}" in names for part in PARTIAL)
