"""Does a bundle judge as the table was measured? Asked of every bundle before it gets its name."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zeromiss.errors import ZeromissError
from zeromiss.inspection.inspector import Inspector


@dataclass(frozen=True, kw_only=True)
class Check:
    """What a passed check has found."""

    images: int
    seconds_per_image: float  # median, from file to verdict


def check_against_table(inspector: Inspector, table: pd.DataFrame, *, features: tuple[str, ...], raw: Path) -> Check:
    """Judge the images of `table` (columns path, sha256 and the features) and compare every feature bit for bit.

    Raises ZeromissError naming the first image or feature that differs.
    """
    seconds = []
    for row in table.to_dict(orient="records"):
        started = time.perf_counter()
        examination = inspector.examine(raw / row["path"])
        seconds.append(time.perf_counter() - started)
        if examination.verdict.sha256 != row["sha256"]:
            raise ZeromissError(f"{raw / row['path']} has changed since it was measured: run the pipeline from the manifest on")
        name = first_difference(row, examination.measurement.features, features)
        if name is not None:
            raise ZeromissError(
                f"the bundle measures {name} of {row['path']} as {examination.measurement.features.get(name)!r}, the table "
                f"holds {row[name]!r}: run the metrics stage anew on this machine, with the libraries installed here"
            )
    return Check(images=len(seconds), seconds_per_image=float(np.median(seconds)))


def handful(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return up to `count` rows of each label, spread evenly over the table's order."""
    groups = (group.iloc[_spread(len(group), count)] for _, group in table.groupby("label", sort=True))
    return pd.concat(groups)


def first_difference(left: dict[str, float], right: dict[str, float], names: Iterable[str]) -> str | None:
    """Return the first name under which the two do not hold the same 64 bits, None where all agree."""
    for name in names:
        if name not in right or np.float64(left[name]).tobytes() != np.float64(right[name]).tobytes():
            return name
    return None


def _spread(length: int, count: int) -> np.ndarray:
    """Return up to `count` different positions from 0 to length - 1."""
    return np.unique(np.rint(np.linspace(0, length - 1, min(count, length))).astype(int))
