"""The manifest: one row an image, with the facts read from its file, what is known of it, and its split."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file
from zeromiss.images.load import UnreadableImage, open_image, read_mask, refuse_transparency
from zeromiss.images.raw import Entry

SCHEMA_VERSION = 1
FILE = "manifest.parquet"
SPLITS = ("train", "mask", "table", "audit")
COLUMNS = (
    "path", "sha256", "width", "height", "label", "defect_type", "part_id", "mask", "source_split", "split", "seed",
)  # fmt: skip


def read_facts(raw: Path, entries: list[Entry]) -> pd.DataFrame:
    """Return the index with facts of every file: sha256, width, height, mode, problem, mask_problem.

    Every image and mask is decoded to its last pixel. Sizes are of the upright image, in pixels. `problem` says in
    words why a file cannot be read ('' when it can); the sizes and mode are then missing, sha256 too when there is no
    file. `mask_problem` does the same for the mask.
    """
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = pool.map(lambda entry: _facts(raw, entry), entries)
        facts = list(tqdm(found, total=len(entries), desc="read images", unit="image"))
    return pd.DataFrame([asdict(entry) | read for entry, read in zip(entries, facts, strict=True)])


def manifest_rows(facts: pd.DataFrame, split: pd.Series, *, seed: int) -> pd.DataFrame:
    """Return the manifest's rows (columns as in COLUMNS) from checked facts and each image's split.

    `path` and `mask` are relative to the raw folder; `mask` is missing where there is none.
    """
    frame = facts.assign(split=split, seed=seed, mask=facts["mask"].where(facts["mask"] != "", None))
    return frame[list(COLUMNS)].astype({"width": "int32", "height": "int32", "seed": "int64"})


def _facts(raw: Path, entry: Entry) -> dict[str, object]:
    """Read one image's facts, and its mask's."""
    path = raw / entry.path
    facts: dict[str, object] = {"sha256": None, "width": None, "height": None, "mode": None, "problem": ""}
    try:
        image, mode = open_image(path)
        facts |= {"sha256": sha256_file(path), "width": image.width, "height": image.height, "mode": mode}
        refuse_transparency(path, image)
    except ZeromissError as error:
        return facts | {"problem": str(error).removeprefix(f"{path} "), "mask_problem": ""}
    return facts | {"mask_problem": _mask_problem(raw, entry, (image.height, image.width))}


def _mask_problem(raw: Path, entry: Entry, shape: tuple[int, int]) -> str:
    """Say what is wrong with an image's mask, '' when nothing is; `shape` is the image's (height, width)."""
    if not entry.mask:
        return ""
    path = raw / entry.mask
    if not path.is_file():
        return f"names the mask {entry.mask}, which is missing: restore it or take it out of the index"
    try:
        marked_HW = read_mask(path)
    except UnreadableImage as error:
        return f"has a mask that cannot be read: {entry.mask} {str(error).removeprefix(f'{path} ')}"
    except ZeromissError as error:
        return f"has a mask that cannot be used: {entry.mask} {str(error).removeprefix(f'{path} ')}"
    if marked_HW.shape != shape:
        found, needed = (f"{width} x {height}" for height, width in (marked_HW.shape, shape))
        return f"is {needed} pixels but its mask {entry.mask} is {found}: draw the mask at the image's size"
    return ""
