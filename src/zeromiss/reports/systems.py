"""The table of a product's detectors: how each ranks images and pixels, what it costs, how far seeds move it.

Fractions are in [0, 1]; what a detector does not have (masks of defects, a measured peak of memory) is None.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zeromiss.files import read_json
from zeromiss.selection.composites import native_figures

FILE, SCHEMA_VERSION = "compare.json", 2
RANKED = ("image_auroc", "average_precision", "pixel_auroc", "pro", "std_accuracy", "zfn_accuracy", "fpr_at_zero_missed")
COSTS = ("fit_seconds", "fit_images", "images_per_second", "peak_mib", "tensors_mib", "parameters")
TITLES = {
    "image_auroc": "image AUROC",
    "average_precision": "AP",
    "pixel_auroc": "pixel AUROC",
    "pro": "PRO",
    "std_accuracy": "STD accuracy",
    "zfn_accuracy": "ZFN accuracy",
    "fpr_at_zero_missed": "FPR at zero missed",
    "fit_seconds": "fit",
    "fit_images": "of images",
    "images_per_second": "images/s",
    "peak_mib": "memory",
    "tensors_mib": "tensors",
    "parameters": "numbers",
}
NOTES = (
    "STD accuracy: at the threshold that gives the highest accuracy on these very images (ACC of the poster). ZFN accuracy: at the "
    "lowest score of a defect. Both thresholds are chosen on the images they are judged by: optimistic.",
    "FPR at zero missed: share of the normal images at or above the lowest defect. PRO: overlap per defect region, up to an FPR of 0.3.",
    "images/s: judged on one thread, the image read already. memory: the most the fitting process held, libraries included. numbers: "
    "those of all tensors, a frozen backbone's too.",
)


def detector_entry(
    name: str, *, native: Mapping[str, Any], training: Mapping[str, Any], natives: pd.DataFrame, scores: pd.DataFrame, tensors_mib: float | None
) -> dict[str, Any]:
    """Return one detector's row.

    native: its figures of native.json; training: training.json; natives: columns label (normal or defect) and `name`;
    scores: its further scores of the metric table, one column each, in the same order, may be without columns; tensors_mib:
    of its stored tensors, None where they are not at hand.
    """
    y_N = (natives["label"] == "defect").to_numpy(np.int64)
    figures = native_figures(y_N, natives[name].to_numpy(np.float64))
    return {
        **{key: figures.get(key, native.get(key)) for key in RANKED},
        "fit_seconds": float(training["seconds"]),
        "fit_images": training.get("images"),
        "images_per_second": 1.0 / native["seconds_per_image"],
        "seconds_per_image": native["seconds_per_image"],
        "peak_mib": training.get("peak_mib"),
        "tensors_mib": tensors_mib,
        "parameters": training["parameters"],
        "scores": {column: native_figures(y_N, scores[column].to_numpy(np.float64)) for column in scores},
    }


def with_spread(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the first entry of a detector with `seeds`, how many there are, and `spread`, the ranked figures' mean and std over them.

    std: of a sample (n - 1); `spread` is empty for one seed. A figure that a seed lacks has none.
    """
    spread = {}
    for key in RANKED if len(entries) > 1 else ():
        values = [entry[key] for entry in entries]
        if None not in values:
            spread[key] = {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1))}
    return entries[0] | {"seeds": len(entries), "spread": spread}


def choose_images(natives: pd.DataFrame, first: str, count: int, seed: int) -> list[tuple[str, str]]:
    """Return path and reason of the images whose maps are shown, the same for every detector.

    Four tenths are the defects with the lowest scores of `first`, three tenths other defects, the rest normals, the
    latter two drawn by `seed`; fewer where there are too few. natives: columns path, label, and `first`.
    """
    hard, drawn = round(0.4 * count), round(0.3 * count)
    defects = natives[natives["label"] == "defect"].sort_values([first, "path"])
    normals = natives[natives["label"] == "normal"].sort_values("path")
    found = [(path, f"defect {rank + 1} of {len(defects)}, from {first}'s lowest score") for rank, path in enumerate(defects["path"].iloc[:hard])]
    rest = defects.iloc[hard:]
    for rows, wanted, why in ((rest, drawn, "defect drawn at random"), (normals, count - hard - drawn, "normal image drawn at random")):
        found += [(path, why) for path in rows.sample(n=min(wanted, len(rows)), random_state=seed).sort_values("path")["path"]]
    return found


def read_content(folder: Path) -> dict[str, Any]:
    """Return what the compare stage wrote into `folder`; raises ZeromissError when it is missing or of another version."""
    return read_json(folder / FILE, schema_version=SCHEMA_VERSION)
