"""The manifest's checks, by Great Expectations: what is wrong stops the run in one sentence, with a page of it all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from zeromiss.errors import ZeromissError
from zeromiss.image_size import SMALLEST_SIDE
from zeromiss.images.load import MODES
from zeromiss.images.manifest import SPLITS
from zeromiss.images.raw import LABELS
from zeromiss.images.words import counted
from zeromiss.quality import Failure, validate
from zeromiss.stage_params import ManifestParams

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

Sentence = Callable[[pd.DataFrame, Failure], str]

_IDENTIFY = ("path", "part_id", "label", "split")
FEWEST_IN_TABLE = 2  # defects


@dataclass(frozen=True, kw_only=True)
class Check:
    """An expectation and the sentence that tells its failure to the user, made of the frame and the failure."""

    expectation: "Expectation"
    sentence: Sentence


def check_images(
    facts: pd.DataFrame, split: pd.Series | None, *, params: ManifestParams, docs: Path, folder: Path
) -> None:
    """Check the images and, where they could be split, their splits; `folder` is the raw folder as sentences name it.

    Raises ZeromissError: an image listed twice or without a part, a label that is neither normal nor defect, a file
    that cannot be read, a mode that cannot be judged, a side out of bounds, a mask that is missing or of another
    size, the same content under two labels, too few defects; a part in two splits, near-duplicates in two splits, the same content in
    two splits, fewer than two defects in the metric table. The first in this order is told, all are on the page in `docs`.
    """
    frame, checks = _derived(facts), _fact_checks(params, folder)
    if split is not None:
        frame = frame.assign(split=split)
        frame["splits_of_content"] = _distinct(frame, "split", of="sha256")
        frame["splits_of_photographed"] = _distinct(frame, "split", of="photographed_part")
        frame["splits_of_part"] = _distinct(frame, "split", of="part_id")
        frame["is_table_defect"] = ((frame["split"] == "table") & (frame["label"] == "defect")).astype(int)
        checks += _split_checks(folder)
    expectations = [check.expectation for check in checks]
    failures = validate(frame, expectations, name="manifest", docs=docs, identify=_IDENTIFY)
    for failure in failures[:1]:
        told = checks[failure.position].sentence(frame.reset_index(drop=True), failure)
        raise ZeromissError(f"{told}; all checks are in {docs / 'index.html'}")


def _derived(facts: pd.DataFrame) -> pd.DataFrame:
    """Add the columns that the checks count with."""
    return facts.assign(
        is_defect=(facts["label"] == "defect").astype(int),
        labels_of_content=_distinct(facts, "label", of="sha256"),
        has_part=(facts["part_id"] != "").astype(int),
        times_listed=facts.groupby("path")["path"].transform("size"),
    )


def _distinct(frame: pd.DataFrame, column: str, *, of: str) -> pd.Series:
    """Return how many values of `column` share a row's value in `of` (1 where that is missing)."""
    return frame.groupby(of)[column].transform("nunique").fillna(1).astype(int)


def _fact_checks(params: ManifestParams, folder: Path) -> list[Check]:
    """Return the checks that need no split, the one to tell first in front."""

    def row(column: str, allowed: Sequence[object], what: Callable[[pd.Series], str]) -> Check:
        """Check one column row by row."""
        return _in_set(column, allowed, _of_row(folder, what))

    twins = _of_twins(folder, "sha256", "label", "are the same image with the labels", "correct one of them")
    return [
        row("times_listed", [1], lambda _: "is listed more than once: keep one of its lines in the index"),
        row("label", LABELS, lambda image: f"has the label {image['label']!r}: it must be normal or defect"),
        row("has_part", [1], lambda _: "has no part_id: name the part that it shows in the index"),
        row("problem", [""], lambda image: image["problem"]),
        row("mode", sorted(MODES), lambda image: f"has the mode {image['mode']}: save it as 8-bit grey or RGB"),
        *_size_checks(params, folder),
        row("mask_problem", [""], lambda image: image["mask_problem"]),
        _in_set("labels_of_content", [1], twins),
        _at_least(
            "is_defect",
            params.min_defects,
            lambda _, failure: (
                f"{folder} holds {counted(failure.observed, 'image')} with a defect and at least {params.min_defects} are "
                "needed: add defects (manifest.min_defects sets how few will do)"
            ),
        ),
    ]


def _size_checks(params: ManifestParams, folder: Path) -> list[Check]:
    """Return the checks of width and height; below 32 pixels an image cannot be judged whatever params say."""
    import great_expectations.expectations as gxe

    smallest, largest = max(params.min_side, SMALLEST_SIDE), params.max_side
    bounds = f"a side must have {smallest} to {largest} (manifest.min_side, manifest.max_side): replace it"
    told = _of_row(folder, lambda image: f"is {image['width']:.0f} x {image['height']:.0f} pixels, {bounds}")
    return [
        Check(
            expectation=gxe.ExpectColumnValuesToBeBetween(column=side, min_value=smallest, max_value=largest),
            sentence=told,
        )
        for side in ("width", "height")
    ]


def _split_checks(folder: Path) -> list[Check]:
    """Return the checks of the splits, the one to tell first in front."""
    known = ", ".join(SPLITS)
    part = _of_twins(
        folder, "photographed_part", "split", "show the same part but lie in the splits",
        "keep a part in one folder, or set manifest.split to paper",
    )  # fmt: skip
    group = _of_twins(
        folder, "part_id", "split", "show the same part, or are joined by photographs that do, but lie in the splits",
        "set manifest.split to paper, remove one of them, or set manifest.near_duplicates to tell",
    )  # fmt: skip
    content = _of_twins(
        folder, "sha256", "split", "are the same image but lie in the splits",
        "remove one of them, or give both the same part_id",
    )  # fmt: skip
    return [
        _in_set("split", SPLITS, _of_row(folder, lambda row: f"is in the split {row['split']!r}: known are {known}")),
        _in_set("splits_of_photographed", [1], part),
        _in_set("splits_of_part", [1], group),
        _in_set("splits_of_content", [1], content),
        _at_least(
            "is_table_defect",
            FEWEST_IN_TABLE,
            lambda _, failure: (
                f"only {counted(failure.observed, 'image')} with a defect {'is' if failure.observed == 1 else 'are'} "
                f"left for the metric table and {FEWEST_IN_TABLE} "
                "are needed: lower manifest.audit or manifest.abnormal, or add defects"
            ),
        ),
    ]


def _in_set(column: str, allowed: Sequence[object], sentence: Sentence) -> Check:
    """Check that every value of a column is one of `allowed`."""
    import great_expectations.expectations as gxe

    return Check(
        expectation=gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(allowed)), sentence=sentence
    )


def _at_least(column: str, fewest: int, sentence: Sentence) -> Check:
    """Check that a column of zeros and ones sums to at least `fewest`."""
    import great_expectations.expectations as gxe

    return Check(expectation=gxe.ExpectColumnSumToBeBetween(column=column, min_value=fewest), sentence=sentence)


def _of_row(folder: Path, what: Callable[[pd.Series], str]) -> Sentence:
    """Return a sentence about the first failing image that counts the others."""

    def sentence(frame: pd.DataFrame, failure: Failure) -> str:
        """Tell it."""
        row, others = frame.iloc[failure.rows[0]], len(failure.rows) - 1
        more = f" (and {others} more like it)" if others else ""
        return f"{folder / row['path']} {what(row)}{more}"

    return sentence


def _of_twins(folder: Path, shared: str, differing: str, what: str, remedy: str) -> Sentence:
    """Return a sentence about the first two failing images that share one value and differ in another."""

    def sentence(frame: pd.DataFrame, failure: Failure) -> str:
        """Tell it."""
        failing = frame.iloc[list(failure.rows)]
        first = failing.iloc[0]
        twins = failing[(failing[shared] == first[shared]) & (failing[differing] != first[differing])]
        second = twins.iloc[0]
        files = f"{folder / first['path']} and {folder / second['path']}"
        return f"{files} {what} {first[differing]} and {second[differing]}: {remedy}"

    return sentence
