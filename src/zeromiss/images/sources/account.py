"""What became of every file of a source: the numbers add up to what lies there."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zeromiss.errors import ZeromissError
from zeromiss.images.passed_over import is_passed_over, reason_to_pass_over
from zeromiss.images.words import counted

UNLABELLED, UNREADABLE = "without a label", "in folders that cannot be listed"  # reasons why files are ignored


@dataclass(frozen=True, kw_only=True)
class Account:
    """Files of `place` by what became of each: images by kind of defect ('' for normal), masks, files that wait, are ignored or refused by reason."""

    place: str
    images: Mapping[str, int] = field(default_factory=dict)
    masks: int = 0
    waiting: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Return the number of all files."""
        return sum(self.images.values()) + self.masks + self.waiting + sum(self.ignored.values()) + sum(self.refused.values())

    def sentence(self) -> str:
        """Say how many files lie there and what became of them."""
        defects = {kind: number for kind, number in self.images.items() if kind and number}
        total = sum(defects.values())
        parts = [f"{self.images.get('', 0)} normal", f"{counted(total, 'defect')}{_listed(defects)}"]
        parts += [counted(self.masks, "mask")] if self.masks else []
        parts += [f"{self.waiting} not complete yet"] if self.waiting else []
        parts += [f"{sum(of.values())} {name}{_listed(of)}" for name, of in (("ignored", self.ignored), ("refused", self.refused)) if sum(of.values())]
        return f"{counted(self.total, 'file')} in {self.place}: {', '.join(parts)}"


@dataclass(frozen=True, kw_only=True)
class Tree:
    """All files below a folder by name, links followed; the folders that were listed; and by reason how many files are no images."""

    folder: Path
    files: list[Path]
    folders: list[Path]
    ignored: Counter[str]


def list_tree(folder: Path) -> Tree:
    """List a folder of images with all folders below it.

    Raises ZeromissError for a folder that cannot be listed, a link to nothing, a link that leads back to a folder above it, and what is
    neither file nor folder.
    """
    tree = Tree(folder=folder, files=[], folders=[], ignored=Counter())
    _list(tree, folder, (), (os.path.realpath(folder),))
    return tree


def refuse(refused: Iterable[tuple[Path, str]], *, total: int) -> None:
    """Raise ZeromissError with the first sentence about files that cannot be taken, and how many of `total` there are; nothing for none."""
    sentences = [sentence for _, sentence in refused]
    if sentences:
        more = f" ({len(sentences)} of {counted(total, 'file')} are refused, and nothing was taken)" if len(sentences) > 1 else ""
        raise ZeromissError(f"{sentences[0]}{more}")


def _list(tree: Tree, folder: Path, parts: tuple[str, ...], above: tuple[str, ...]) -> None:
    """Add what lies in one folder, then in those below it."""
    passed = any(is_passed_over(part) for part in parts)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        if passed:  # such as lost+found, which belongs to the system
            tree.ignored[UNREADABLE] += 1
            return
        raise ZeromissError(f"{folder} cannot be listed ({error.strerror}): allow reading it, or move it away") from None
    tree.folders.append(folder)
    for entry in entries:
        path, here = folder / entry.name, (*parts, entry.name)
        reason = reason_to_pass_over(here)
        if entry.is_dir(follow_symlinks=not passed):
            real = os.path.realpath(path)
            if real in above:
                raise ZeromissError(f"{path} is a link to a folder above it: remove it")
            _list(tree, path, here, (*above, real))
        elif reason:
            tree.ignored[reason] += 1
        elif entry.is_file():
            tree.files.append(path)
        else:
            raise ZeromissError(f"{path} is {'a link to nothing' if entry.is_symlink() else 'no plain file'}: bring its file back, or remove it")


def _listed(numbers: Mapping[str, int]) -> str:
    """Return numbers with what they count, in brackets; '' for none."""
    told = ", ".join(f"{number} {name}" for name, number in sorted(numbers.items()) if number)
    return f" ({told})" if told else ""
