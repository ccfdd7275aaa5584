"""Shortcuts: do properties that have nothing to do with defects tell the groups of images apart?

Two questions are asked of every property. `label`: does it tell the table's defects from its normal images, so that
a classifier may learn the lamp, not the defect? `split`: does it tell the images that train the network from the
table's normal images, so that the network takes that difference for a defect? Audit images are never looked at.

A property is found where its AUC lies above the question's limit and the interval leaves out chance. That does not
prove that a detector uses it; it tells where to look. Of the second question nothing excuses an answer, since both
groups are normal; of the first a defect may that darkens the whole part: each has a limit of its own.

All properties together put the table's images into strata (`zeromiss.images.strata`), within which scores are compared
later on: how far a detector ranks right where the properties are alike.

Not asked: file numbers, which sources give after sorting by label, and the time at which a file was written, which
is that of ingest. Folders are asked for labels only, and where one at least holds both: otherwise they are the labels.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pandas as pd

from zeromiss.images.strata import Strata, strata_of
from zeromiss.images.telling import Telling, tell
from zeromiss.images.traits import Traits
from zeromiss.images.workers import work

SCHEMA_VERSION = 2
FILE = "shortcuts.json"
PROPERTIES_FILE = "properties.parquet"
KEYS = ("path", "part_id", "group", "stratum", "log_odds")  # the columns of properties.parquet that are no properties
CONFIDENCE = 0.95  # of all intervals together
SAMPLE = 500  # images of a group that are looked at: more would hardly narrow the intervals
PAIRS = 3
FEW = 10  # images below which a folder is counted among the others
Question = Literal["label", "split"]

_FIELDS = ("property", "question", "auc", "low", "high", "n_a", "n_b", "found")
_LAYOUT = frozenset({"images", "train", "test", "good", "normal", "defect"})
_NAMES = {  # of a property: in sentences, and what a detector may learn by it
    "brightness": ("brightness", "the lamp"),
    "contrast": ("contrast", "the lamp"),
    "sharpness": ("sharpness", "the focus"),
    "red": ("the balance of red and green", "the lamp's colour"),
    "blue": ("the balance of blue and green", "the lamp's colour"),
    "resolution": ("resolution", "the camera's settings"),
    "file_size": ("file size", "the files"),
    "bytes_per_pixel": ("compression", "the files"),
    "jpeg_step": ("JPEG quality", "the files"),
    "time_stamp": ("the time stamp", "the day"),
    "folder": ("the folder", "the place"),
}


@dataclass(frozen=True, kw_only=True)
class Check(Telling):
    """How well one property answers one question; `found` where the AUC is above the limit and more than chance."""

    property: str
    question: Question
    found: bool


def read_properties(rows: pd.DataFrame, raw: Path) -> pd.DataFrame:
    """Return the content of properties.parquet for the manifest's rows: KEYS and one column a property, see `properties`.

    Of each group (defect, normal: both of the table; train) the images of lowest SHA-256 are looked at, at most
    `SAMPLE`. `stratum` and `log_odds` (of a defect): the table's images' by all properties but the folder, which is made of
    labels; missing for training images, and for all where a label has fewer than two parts. Paths are relative to `raw`.
    """
    seen = _sample(rows)
    traits = work("zeromiss.images.traits:read", [str(raw / path) for path in seen["path"]], title="look for shortcuts", unit="image")
    values = properties(seen, pd.DataFrame(traits, columns=Traits._fields, index=seen.index))
    table = (seen["group"] != "train").to_numpy()
    strata = _strata(seen, values)
    stratum, log_odds = pd.Series(pd.NA, index=seen.index, dtype="Int64"), pd.Series(np.nan, index=seen.index)
    if strata is not None:
        stratum[table], log_odds[table] = strata.stratum_N, strata.log_odds_N
    return seen[["path", "part_id", "group"]].assign(stratum=stratum, log_odds=log_odds).join(values).reset_index(drop=True)


def find_shortcuts(seen: pd.DataFrame, *, limits: Mapping[Question, float]) -> dict[str, Any]:
    """Return the content of shortcuts.json for images with their properties, `seen` (see `read_properties`).

    All intervals hold together with 95 % confidence: the doubt is divided among them (Bonferroni). `together_auc`: how
    well all properties tell defects from normal images, None without strata. `limits`: AUCs in [0.5, 1], one a question.
    """
    values = seen.drop(columns=list(KEYS))
    strata = _strata(seen, values)
    asked = [(name, question) for name in values for question in limits if _can_ask(seen, values[name], question)]
    checks = [_check(seen, values[name], question, doubt=(1.0 - CONFIDENCE) / len(asked), limit=limits[question]) for name, question in asked]
    findings = [_finding(seen, values[check.property], check) for check in sorted(checks, key=lambda check: -check.low) if check.found]
    return {
        "limit": limits["label"],
        "split_limit": limits["split"],
        "together_auc": None if strata is None else strata.auc,
        "checked": [_entry(check) for check in checks],
        "findings": findings,
        "sentence": _sentence(checks, findings, limits),
    }


def _strata(seen: pd.DataFrame, values: pd.DataFrame) -> Strata | None:
    """Return the strata of the table's images by all properties that no label went into."""
    table = seen["group"] != "train"
    y_N = (seen.loc[table, "group"] == "defect").to_numpy(dtype=np.int64)
    return strata_of(values[table].drop(columns="folder", errors="ignore"), y_N, seen.loc[table, "part_id"].astype(str).to_numpy(dtype=object))


def properties(seen: pd.DataFrame, traits: pd.DataFrame) -> pd.DataFrame:
    """Return one column a property, NaN where an image lacks it.

    Left out where they can tell nothing: colours of grey images, JPEG quality without a JPEG, the time stamp where no
    file has one, folders as `_folders` says, and compression where all images have one size (it is the file size then).
    """
    values = traits[["brightness", "contrast", "sharpness"]].assign(resolution=traits["pixels"], file_size=traits["bytes"])
    optional = {
        "red": traits["red"],
        "blue": traits["blue"],
        "bytes_per_pixel": traits["bytes"] / traits["pixels"] if traits["pixels"].nunique() > 1 else None,
        "jpeg_step": traits["step"],
        "time_stamp": traits["taken"],
        "folder": _folders(seen),
    }
    for name, column in optional.items():
        if column is not None and column.nunique() > 1:
            values[name] = column
    return values


def _sample(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the images to look at, with their group: defect, normal (both of the table) or train."""
    table = rows["split"] == "table"
    group = pd.Series("", index=rows.index).mask(table, rows["label"]).mask(rows["split"] == "train", "train")
    chosen = rows.assign(group=group)[group != ""].sort_values(["sha256", "path"])
    return chosen.groupby("group").head(SAMPLE).sort_index()


def _folders(seen: pd.DataFrame) -> pd.Series | None:
    """Return each image's folder as the share of defects that the table has in it; None where folders say nothing.

    What lays out a source (train, test, good, a defect's name) is taken out of the path; folders of fewer than
    `FEW` images count as one.
    """
    stripped = [
        "/".join(part for part in PurePosixPath(path).parent.parts if part.lower() not in _LAYOUT and part != kind)
        for path, kind in zip(seen["path"], seen["defect_type"], strict=True)
    ]
    folder = pd.Series(stripped, index=seen.index)
    folder = folder.where(folder.groupby(folder).transform("size") >= FEW, "(others)")
    table = seen["group"] != "train"
    share = (seen.loc[table, "group"] == "defect").groupby(folder[table]).mean()
    return folder.map(share) if share.between(0.0, 1.0, inclusive="neither").any() else None


def _can_ask(seen: pd.DataFrame, value: pd.Series, question: Question) -> bool:
    """Return whether both groups of a question have images with the property."""
    if value.name == "folder" and question == "split":
        return False
    return all(value[seen["group"] == group].notna().any() for group in _groups(question))


def _groups(question: Question) -> tuple[str, str]:
    """Return the groups that a question compares."""
    return ("defect", "normal") if question == "label" else ("train", "normal")


def _check(seen: pd.DataFrame, value: pd.Series, question: Question, *, doubt: float, limit: float) -> Check:
    """Answer one question by one property; a part's images in one group count as one, their mean."""
    a, b = (value[seen["group"] == group].dropna().groupby(seen["part_id"]).mean().to_numpy() for group in _groups(question))
    told = tell(a, b, confidence=1.0 - doubt)
    return Check(**asdict(told), property=str(value.name), question=question, found=told.auc > limit and told.low > 0.5)


def _entry(check: Check) -> dict[str, Any]:
    """Return a check as the file holds it."""
    return {name: getattr(check, name) for name in _FIELDS}


def _finding(seen: pd.DataFrame, value: pd.Series, check: Check) -> dict[str, Any]:
    """Return a finding: the check, its sentence, and pairs of images that are typical of their groups."""
    name, learned = _NAMES[check.property]
    counts = f"{check.n_a} against {check.n_b} {'images' if seen['part_id'].is_unique else 'parts'}"
    figures = f"with AUC {check.auc:.2f} ({check.low:.2f} to {check.high:.2f}, {counts})"
    if check.question == "label":
        sentence = f"{name} alone tells defects from normal images {figures}: a detector may learn {learned}, not the defect"
    else:
        sentence = (
            f"{name} alone tells training images from the table's normal images {figures}: "
            f"a detector may take {learned} for a defect"
        )
    return _entry(check) | {"sentence": sentence, "pairs": list(_pairs(seen, value, check.question))}


def _pairs(seen: pd.DataFrame, value: pd.Series, question: Question) -> Iterator[dict[str, Any]]:
    """Yield pairs of images, one of each group, whose values lie closest to their group's median."""
    typical = []
    for group in _groups(question):
        of_group = value[seen["group"] == group].dropna()
        order = np.argsort(np.abs(of_group.to_numpy() - np.median(of_group)), kind="stable")[:PAIRS]
        typical.append([(seen.loc[index, "path"], float(of_group[index])) for index in of_group.index[order]])
    for (a, value_a), (b, value_b) in zip(*typical, strict=False):
        yield {"a": a, "b": b, "value_a": value_a, "value_b": value_b}


def _sentence(checks: list[Check], findings: list[dict[str, Any]], limits: Mapping[Question, float]) -> str:
    """Say in one sentence what was found."""
    if not findings:
        number = len({check.property for check in checks})
        return (
            f"none of {number} trivial properties tells defects from normal images (AUC above {limits['label']:g}), "
            f"or training images from the table's (above {limits['split']:g})"
        )
    more = f"; {len(findings) - 1} more are in {FILE}" if len(findings) > 1 else ""
    return findings[0]["sentence"] + more
