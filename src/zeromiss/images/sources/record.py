"""What a source tells about an image, before anything is copied."""

from dataclasses import dataclass, field
from pathlib import Path

from zeromiss.errors import ZeromissError
from zeromiss.images.load import MODES, SUFFIXES, UnreadableImage, open_image, read_mask

BESIDE = frozenset({".txt", ".md", ".csv", ".json", ".xml", ".yaml", ".yml", ".pdf", ".db", ".ini"})  # no images


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
    that decided which images there are: while they and the images are unchanged, the listing is the same.
    """

    records: list[Record]
    notes: list[str] = field(default_factory=list)
    incoming: list[tuple[Path, str]] = field(default_factory=list)
    read: list[Path] = field(default_factory=list)


def image_files(folder: Path) -> list[Path]:
    """Return the image files of one folder, by name.

    Hidden files and files that accompany images (text, tables) are passed over. Raises ZeromissError for a
    folder inside it or a file of another kind: an image that is skipped would be a defect that is missed.
    """
    files = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() in BESIDE or path.name == "Thumbs.db":
            continue
        if path.is_dir():
            raise ZeromissError(f"{path} is a folder where only images are expected: move its files up or away")
        if path.suffix.lower() not in SUFFIXES:
            raise ZeromissError(f"{path} is no image of a known kind ({known_kinds()}): convert it or move it away")
        files.append(path)
    return files


def known_kinds() -> str:
    """Return the known file endings, for a sentence."""
    return ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))


def check_mask(image: Path, mask: Path) -> None:
    """Raise ZeromissError when a mask is missing, unreadable, of another size than its image, or marks nothing.

    An image that cannot be decoded is left to the manifest's checks.
    """
    if not mask.is_file():
        raise ZeromissError(f"the mask {mask} of {image} is missing: add it, or take all masks away")
    marked_HW = read_mask(mask)
    try:
        width, height = open_image(image)[0].size
    except UnreadableImage:
        return
    if marked_HW.shape != (height, width):
        raise ZeromissError(
            f"the mask {mask} is {marked_HW.shape[1]} x {marked_HW.shape[0]} pixels and its image {image} is "
            f"{width} x {height}: a mask needs its image's size"
        )
    if not marked_HW.any():
        raise ZeromissError(f"the mask {mask} of {image} marks no pixel: mark the defect or remove the mask")


def check_reference(file: Path, *, of: str) -> None:
    """Raise ZeromissError when a reference is missing, or no picture that can be compared; `of` names what asks for it."""
    if not file.is_file():
        raise ZeromissError(f"{of}: the reference {file} is missing: add the file or mend its path")
    mode = open_image(file)[1]
    if mode not in MODES:
        raise ZeromissError(f"{of}: the reference {file} has the mode {mode}: save it as 8-bit grey or RGB")
