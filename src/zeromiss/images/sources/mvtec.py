"""A folder as MVTec AD lays it out: train/good, test/good, test/<defect>, ground_truth/<defect>/*_mask.png."""

from collections.abc import Callable
from pathlib import Path

from zeromiss.errors import ZeromissError
from zeromiss.images.sources.record import Listing, Record, check_mask, image_files

GOOD = "good"


def list_mvtec(folder: Path, *, part_of: Callable[[Path], str] = lambda _: "") -> Listing:
    """List an MVTec AD style folder; `part_of` gives an image's part (default: each is a part of its own).

    Masks are either there for every defect (ground_truth/) or for none.

    Raises ZeromissError when a folder or mask is missing, a mask has another size, or a file is no image.
    """
    if not folder.is_dir():
        raise ZeromissError(f"the folder {folder} does not exist: give the folder that holds train/ and test/")
    masks = folder / "ground_truth" if (folder / "ground_truth").is_dir() else None
    records, read = [], [folder, *(folder / split for split in ("train", "test") if (folder / split).is_dir())]
    for split in ("train", "test"):
        for kind in _kinds(folder / split):
            read.append(kind)
            records += [_record(path, split, masks, part_of) for path in image_files(kind)]
    if not records:
        raise ZeromissError(f"{folder} holds no images: train/good, test/good or test/<defect> needs some")
    return Listing(records=records, read=read)


def _kinds(folder: Path) -> list[Path]:
    """Return the folders of `train` or `test`, by name; none where the folder itself is missing."""
    if not folder.is_dir():
        return []
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            raise ZeromissError(f"{path} lies directly in {folder.name}/: move it to {GOOD}/ or to its defect's folder")
        if path.is_dir() and folder.name == "train" and path.name != GOOD and not path.name.startswith("."):
            raise ZeromissError(f"{path} is not {GOOD}/: only normal images train, put defects below test/")
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def _record(path: Path, split: str, masks: Path | None, part_of: Callable[[Path], str]) -> Record:
    """Describe one image by the folders it lies in."""
    kind = path.parent.name
    mask = None
    if kind != GOOD and masks is not None:
        mask = masks / kind / f"{path.stem}_mask.png"
        check_mask(path, mask)
    return Record(
        file=path,
        label="normal" if kind == GOOD else "defect",
        defect_type="" if kind == GOOD else kind,
        part_id=part_of(path),
        mask=mask,
        source_split=split,
        name=f"{split}/{kind}/{path.name}",
    )
