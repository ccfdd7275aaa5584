"""The manifest: one row an image, with the facts read from its file, what is known of it, and its split."""

from pathlib import Path

import pandas as pd

from zeromiss.images.facts import Facts
from zeromiss.images.raw import COLUMNS as INDEX_COLUMNS
from zeromiss.images.raw import Entry, values
from zeromiss.images.workers import work

SCHEMA_VERSION = 2
FILE = "manifest.parquet"
COUNTS_FILE = "counts.json"  # images by split and label
SPLITS = ("train", "mask", "abnormal", "table", "threshold", "audit")
COLUMNS = (
    "path", "sha256", "width", "height", "label", "defect_type", "part_id", "photographed_part", "mask", "source_split", "split", "seed",
    "reference", "design",
)  # fmt: skip


def read_facts(raw: Path, entries: list[Entry]) -> pd.DataFrame:
    """Return the index with facts of every file: sha256, width, height, mode, problem, mask_problem.

    Every image and mask is decoded to its last pixel. Sizes are of the upright image, in pixels. `problem` says in
    words why a file cannot be read ('' when it can); the sizes and mode are then missing, sha256 too when there is no
    file. `mask_problem` does the same for the mask.
    """
    items = [(str(raw), entry.path, entry.mask) for entry in entries]
    facts = work("zeromiss.images.facts:read", items, title="read images", unit="image")
    rows = [(*values(entry), *found) for entry, found in zip(entries, facts, strict=True)]
    return pd.DataFrame(rows, columns=[*INDEX_COLUMNS, *Facts._fields])


def manifest_rows(facts: pd.DataFrame, split: pd.Series, *, seed: int) -> pd.DataFrame:
    """Return the manifest's rows (columns as in COLUMNS) from checked facts and each image's split.

    `photographed_part` is the part as the index names it; `part_id` is the same, or one name for all parts of a group of near-duplicates.
    `path`, `mask` and `reference` are relative to the raw folder; `mask` is missing and `reference` and `design` are empty
    where there is none.
    """
    frame = facts.assign(split=split, seed=seed, mask=facts["mask"].where(facts["mask"] != "", None))
    return frame[list(COLUMNS)].astype({"width": "int32", "height": "int32", "seed": "int64"})
