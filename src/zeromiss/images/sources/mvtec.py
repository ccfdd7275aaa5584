"""A folder as MVTec AD lays it out: train/good, test/good, test/<defect>, ground_truth/<defect>/*_mask.png.

The names of good/ and of other folders of images are labels, read by the vocabulary; those of train/, test/ and ground_truth/ are
compared without capitals.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zeromiss.errors import ZeromissError
from zeromiss.images.load import SUFFIXES
from zeromiss.images.masks import read_mask
from zeromiss.images.sources.account import UNLABELLED, Account, Tree, list_tree, refuse
from zeromiss.images.sources.record import Listing, Record, check_mask, known_kinds
from zeromiss.images.vocabulary import NORMAL, Label, Vocabulary, fold
from zeromiss.images.vocabulary import UNLABELLED as UNLABELLED_LABEL
from zeromiss.images.words import counted

GOOD, MASKS, SPLITS = "good", "ground_truth", ("train", "test")
_EMPTY_MASKS, _UNUSED_MASKS, _LONE_MASKS = "masks without a mark of normal images", "masks of images without a label", "masks without an image"


@dataclass(kw_only=True)
class _Sorted:
    """The files of a folder by what they are: images with split and label, masks by folder and name, and what is refused."""

    images: list[tuple[Path, str, Label]] = field(default_factory=list)
    masks: dict[tuple[str, str], Path] = field(default_factory=dict)
    unlabelled: set[tuple[str, str]] = field(default_factory=set)  # as masks name them
    ignored: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[Path, str]] = field(default_factory=list)


def list_mvtec(
    folder: Path, *, vocabulary: Vocabulary | None = None, part_of: Callable[[Path], str] = lambda _: "", beside: Mapping[str, str] | None = None
) -> Listing:
    """List an MVTec AD style folder; `part_of` gives an image's part (default: each is a part of its own).

    `beside`: names of folders beside train/ and test/ that hold no images to learn from or to inspect, and what they hold.

    Masks are either there for every defect (ground_truth/) or for none. Every file is an image, a mask, or is counted with the reason
    why it is none; a mask without an image is told by name.

    Raises ZeromissError, with the first of the files that cannot be taken: no image, in no folder that gives a label, with a label that is
    asked about, a defect in train/, a mask that is missing, cannot be used or marks a defect in a normal image.
    """
    if not folder.is_dir():
        raise ZeromissError(f"the folder {folder} does not exist: give the folder that holds train/ and test/")
    tree = list_tree(folder)
    found = _sort(tree, vocabulary or Vocabulary(), beside or {})
    masks = next((path for path in tree.folders if path.parent == folder and path.name.casefold() == MASKS), None)
    records = []
    for path, split, label in found.images:
        mask = None
        if label.label != NORMAL and masks is not None:
            mask = found.masks.pop((fold(path.parent.name), path.stem), masks / path.parent.name / f"{path.stem}_mask.png")
        records.append(_record(path, split, label, mask, part_of(path)))
    notes = _sort_masks(found, {(fold(record.file.parent.name), record.file.stem) for record in records if record.label == NORMAL})
    refuse(found.refused, total=len(tree.files) + tree.ignored.total())
    if not records:
        raise ZeromissError(f"{folder} holds no images: train/good, test/good or test/<defect> needs some")
    notes += [note for record in records if record.mask and (note := check_mask(record.file, record.mask))]
    account = Account(
        place=str(folder),
        images=Counter(record.defect_type for record in records),
        masks=len({record.mask for record in records if record.mask}),
        ignored=tree.ignored + found.ignored,
    )
    return Listing(records=records, notes=notes, read=tree.folders, account=account)


def _sort(tree: Tree, vocabulary: Vocabulary, beside: Mapping[str, str]) -> _Sorted:
    """Sort the files of a folder by where they lie, the folder train/ first."""
    found, labels = _Sorted(), dict[Path, Label | str]()
    for path in sorted(tree.files, key=lambda path: (path.relative_to(tree.folder).parts[0].casefold() != "train", path)):
        parts = path.relative_to(tree.folder).parts
        top = parts[0].casefold()
        known_kind = path.suffix.lower() in SUFFIXES
        if not known_kind:
            found.refused.append((path, f"{path} is no image of a known kind ({known_kinds()}): convert it or move it away"))
        elif top == MASKS and len(parts) == 3 and path.stem.endswith("_mask") and (fold(parts[1]), path.stem.removesuffix("_mask")) not in found.masks:
            found.masks[fold(parts[1]), path.stem.removesuffix("_mask")] = path
        elif top == MASKS:
            found.refused.append((path, f"{path} is no mask of an image: name it {MASKS}/<defect>/<name of the image>_mask.png, or move it away"))
        elif parts[0] in beside and len(parts) > 1:
            found.ignored[beside[parts[0]]] += 1
        elif top not in SPLITS or len(parts) == 1:
            place = f"{path} lies" if len(parts) == 1 else f"{tree.folder / parts[0]} with {path.relative_to(tree.folder / parts[0])} lies"
            found.refused.append((path, f"{place} beside train/ and test/, where nothing says what an image is: move it below one of them, or away"))
        elif len(parts) == 2:
            found.refused.append((path, f"{path} lies directly in {parts[0]}/: move it to {GOOD}/ or to its defect's folder"))
        elif len(parts) > 3:
            found.refused.append((path, f"{path.parent} is a folder where only images are expected: move its files up or away"))
        else:
            _sort_image(found, path, top, labels.setdefault(path.parent, _label(path.parent, vocabulary)))
    return found


def _label(folder: Path, vocabulary: Vocabulary) -> Label | str:
    """Return what a folder's name means, or the sentence that asks about it."""
    try:
        return vocabulary.read(folder.name, where=str(folder), folder=True)
    except ZeromissError as question:
        return str(question)


def _sort_image(found: _Sorted, path: Path, split: str, label: Label | str) -> None:
    """Put an image with those that are taken, that have no label yet, or that are refused."""
    if isinstance(label, str):
        found.refused.append((path, label))
    elif label.label == UNLABELLED_LABEL:
        found.ignored[UNLABELLED] += 1
        found.unlabelled.add((fold(path.parent.name), path.stem))
    elif split == "train" and label.label != NORMAL:
        found.refused.append((path, f"{path.parent} is not {GOOD}/: only normal images train, put defects below test/"))
    else:
        found.images.append((path, split, label))


def _sort_masks(found: _Sorted, normal: set[tuple[str, str]]) -> list[str]:
    """Count or refuse the masks that no defect took; `normal` are the folders and names of normal images. Return what there is to say."""
    lone = []
    for key, mask in found.masks.items():
        if key in found.unlabelled:
            found.ignored[_UNUSED_MASKS] += 1
        elif key not in normal:
            found.ignored[_LONE_MASKS] += 1
            lone.append(mask)
        elif read_mask(mask).any():
            found.refused.append((mask, f"the mask {mask} marks a defect in an image that is labelled normal: correct the label or remove the mask"))
        else:
            found.ignored[_EMPTY_MASKS] += 1
    return [f"{counted(len(lone), 'mask')} without an image, {lone[0]} first: is the image of a defect missing?"] if lone else []


def _record(path: Path, split: str, label: Label, mask: Path | None, part_id: str) -> Record:
    """Describe one image by the folders it lies in."""
    return Record(
        file=path,
        label=label.label,
        defect_type=label.kind,
        part_id=part_id,
        mask=mask,
        source_split=split,
        name=f"{split}/{GOOD if label.label == NORMAL else path.parent.name}/{path.name}",
    )
