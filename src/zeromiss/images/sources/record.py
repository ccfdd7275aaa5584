"""What a source tells about an image, before anything is copied."""

from dataclasses import dataclass, field
from pathlib import Path

from zeromiss.errors import ZeromissError
from zeromiss.images.load import MODES, SUFFIXES, open_image
from zeromiss.images.masks import examine
from zeromiss.images.sources.account import Account


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One image of a source.

    `label` is normal or defect, `defect_type` its name ('' for a normal image), `part_id` the part it shows ('' :
    a part of its own), `mask` the file that marks the defect's pixels, `source_split` the folder the source keeps
    it in (train, test or ''), `name` the path suggested for it below the product's images. `reference` is the picture
    that this part is compared with (a golden sample, a CAD rendering), `design` the name of its layout.
    """

    file: Path
    label: str
    defect_type: str
    part_id: str
    mask: Path | None
    source_split: str
    name: str
    reference: Path | None = None
    design: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The image, its mask and its reference, where there are such."""
        return tuple(file for file in (self.file, self.mask, self.reference) if file is not None)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All that a source has: its records, sentences for the user, and images that nobody has judged.

    `incoming` pairs a file with the name it gets in the product's incoming folder. `read` are the files and folders
    that decided which images there are: while they and the images are unchanged, the listing is the same. `account` says
    what became of every file, None where the source draws its images.
    """

    records: list[Record]
    notes: list[str] = field(default_factory=list)
    incoming: list[tuple[Path, str]] = field(default_factory=list)
    read: list[Path] = field(default_factory=list)
    account: Account | None = None


def known_kinds() -> str:
    """Return the known file endings, for a sentence."""
    return ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))


def check_mask(image: Path, mask: Path) -> str:
    """Return a sentence about a mask that marks nearly all or nearly nothing of its image, '' for any other.

    Raises ZeromissError for a mask that is missing, or that `masks.examine` refuses.
    """
    if not mask.is_file():
        raise ZeromissError(f"the mask {mask} of {image} is missing: add it, or take all masks away")
    found = examine(mask, image=image)
    if found.problem:
        raise ZeromissError(f"the mask {mask} of {image} {found.problem}")
    return f"the mask {mask} of {image} {found.doubt}" if found.doubt else ""


def check_reference(file: Path, *, of: str) -> None:
    """Raise ZeromissError when a reference is missing, or no picture that can be compared; `of` names what asks for it."""
    if not file.is_file():
        raise ZeromissError(f"{of}: the reference {file} is missing: add the file or mend its path")
    mode = open_image(file)[1]
    if mode not in MODES:
        raise ZeromissError(f"{of}: the reference {file} has the mode {mode}: save it as 8-bit grey or RGB")
