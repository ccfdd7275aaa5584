"""What the data set is made of, counted from the manifest."""

from typing import Any

import pandas as pd

SPLITS = ("train", "mask", "abnormal", "table", "threshold", "audit")
_MEANING = {
    "train": "train: teaches the network",
    "mask": "mask: makes the normal-variation mask",
    "abnormal": "abnormal: teaches what is to be redrawn",
    "table": "table: chooses the classifier, sets the threshold",
    "threshold": "threshold: sets the threshold and does nothing else",
    "audit": "audit: locked away for the promotion gate",
}


def composition(manifest: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one row a split, in the order of use, with its images by label and its parts; then the sum of all.

    `abnormal` and `threshold`, which most products have not, are left out where they are empty.
    manifest: columns split, label (normal or defect), part_id.
    """
    shown = [split for split in SPLITS if split not in ("abnormal", "threshold") or (manifest["split"] == split).any()]
    rows = [_count(_MEANING[split], manifest[manifest["split"] == split]) for split in shown]
    return [*rows, _count("all", manifest)]


def _count(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Return one row of the table."""
    labels = rows["label"]
    return {
        "split": name,
        "normal": int((labels == "normal").sum()),
        "defect": int((labels == "defect").sum()),
        "parts": int(rows["part_id"].nunique()),
    }
