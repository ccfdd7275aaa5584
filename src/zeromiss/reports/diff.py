"""What changed between two versions of a product's model: parameters, images, figures, verdicts. Arithmetic only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

Kind = Literal["now missed", "now a false alarm", "now found", "now passed"]
KINDS: tuple[Kind, ...] = ("now missed", "now a false alarm", "now found", "now passed")  # the worst first


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One model's verdict: `score` and `threshold` in [0, 1], abnormal where score >= threshold."""

    score: float
    threshold: float

    @property
    def abnormal(self) -> bool:
        """Whether the part is called abnormal."""
        return self.score >= self.threshold

    def content(self) -> dict[str, Any]:
        """Return plain values."""
        return {"verdict": "abnormal" if self.abnormal else "normal", "score": self.score, "threshold": self.threshold}


@dataclass(frozen=True, kw_only=True)
class Flip:
    """An image whose verdict changed."""

    path: str
    label: str  # normal or defect
    before: Judged
    after: Judged

    @property
    def kind(self) -> Kind:
        """What the change means."""
        if self.label == "defect":
            return "now found" if self.after.abnormal else "now missed"
        return "now a false alarm" if self.after.abnormal else "now passed"

    def content(self) -> dict[str, Any]:
        """Return plain values."""
        return {"path": self.path, "label": self.label, "kind": self.kind, "before": self.before.content(), "after": self.after.content()}


def find_flips(judged: Iterable[tuple[str, str, Judged, Judged]]) -> list[Flip]:
    """Return the images whose verdict differs, defects that are now missed first, then by the change of score.

    judged: path, label, verdict before and after.
    """
    flips = [
        Flip(path=path, label=label, before=before, after=after)
        for path, label, before, after in judged
        if before.abnormal != after.abnormal
    ]
    return sorted(flips, key=lambda flip: (KINDS.index(flip.kind), -abs(flip.after.score - flip.before.score), flip.path))


def compare_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the keys whose values differ, in the order of `before`; a key that one side lacks has null there."""
    keys = [*before, *(key for key in after if key not in before)]
    return [{"key": key, "before": before.get(key), "after": after.get(key)} for key in keys if before.get(key) != after.get(key)]


def compare_figures(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every figure of both sides, with the difference after - before where both are numbers."""
    rows = []
    for key in [*before, *(key for key in after if key not in before)]:
        values = [before.get(key), after.get(key)]
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        rows.append({"figure": key, "before": values[0], "after": values[1], "difference": values[1] - values[0] if numbers else None})
    return rows


def compare_images(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return which images were added, removed, relabelled or moved to another split, told apart by their content.

    Both tables have the columns path, sha256, label and split; of files with the same content the first path counts.
    """
    old, new = (frame.sort_values("path").drop_duplicates("sha256").set_index("sha256") for frame in (before, after))
    both = old.join(new, how="inner", lsuffix="_before", rsuffix="_after")
    return {
        "added": _named(new.loc[~new.index.isin(old.index)]),
        "removed": _named(old.loc[~old.index.isin(new.index)]),
        "relabelled": _changed(both, "label"),
        "moved": _changed(both, "split"),
    }


def common_table(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return the images that both versions have in their metric table and neither in its locked audit set, ordered by path.

    Columns path, sha256 and label (that of `after`). An image whose content any audit set holds is left out.
    """
    locked = set(before.loc[before["split"] == "audit", "sha256"]) | set(after.loc[after["split"] == "audit", "sha256"])
    old, new = (frame.loc[frame["split"] == "table", ["path", "sha256", "label"]] for frame in (before, after))
    both = new.merge(old[["path", "sha256"]], on=["path", "sha256"], how="inner")
    return both.loc[~both["sha256"].isin(locked)].sort_values("path", ignore_index=True)


def _named(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return path, label and split of images that one side has, by path."""
    return rows.sort_values("path")[["path", "label", "split"]].to_dict("records")


def _changed(both: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    """Return the images of both sides in which a column differs, by path."""
    rows = both.loc[both[f"{column}_before"] != both[f"{column}_after"]].sort_values("path_after")
    named = rows[["path_after", f"{column}_before", f"{column}_after"]].to_numpy().tolist()
    return [{"path": path, "before": before, "after": after} for path, before, after in named]
