"""The schema of `summary.json`: the figures of one product's run that other programs read.

All shares are fractions in [0, 1]; a figure that needs defect masks is null where there are none.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zeromiss.errors import ZeromissError
from zeromiss.sections import first_fault

SCHEMA_VERSION = 3
Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Finite = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]  # or 0
Count = Annotated[int, Field(ge=0)]


class _Record(BaseModel):
    """A frozen part of the summary; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Interval(_Record):
    """A mean over outer folds, or repeats, with its 95 % interval."""

    mean: Fraction
    low: Fraction
    high: Fraction


class MatchedAuroc(_Record):
    """The image AUROC over all pairs of a defect and a normal image, and over those alike by their trivial properties."""

    auroc: Interval
    matched: Interval | None  # null where no stratum of like properties holds both labels
    n_defects: Count
    n_normals: Count
    n_pairs: Count  # that are matched
    pair_share: Fraction  # of all pairs


class DetectorFigures(_Record):
    """A detector's native score on the table: the mean distance of the q patches, masked where the mask is on."""

    image_auroc: Fraction
    average_precision: Fraction
    fpr_at_zero_missed: Fraction
    pixel_auroc: Fraction | None  # null where there are no defect masks
    pro: Fraction | None
    matched: MatchedAuroc | None  # null where there are no strata


class Rates(_Record):
    """Figures at one threshold (paper 1, Table 1)."""

    accuracy: Fraction
    precision: Fraction  # 0 where nothing was called abnormal
    fpr: Fraction
    fnr: Fraction


class PaperProtocol(_Record):
    """The winner at 0.5 (std) and at the zero-false-negative threshold (zfn), on pooled out-of-fold scores."""

    std: Rates
    zfn: Rates


class CalibrationFigures(_Record):
    """Brier scores of the pooled scores, raw and by a cross-fitted curve (lower is better); `helps`: beyond noise."""

    brier: Fraction
    brier_calibrated: Fraction
    helps: bool


class HonestProtocol(_Record):
    """The threshold's rule on outer folds, of which preprocessing, search, choice and threshold knew nothing."""

    fnr: Interval
    fpr: Interval
    accuracy: Interval
    missed: Count  # images of defects, over all repeats: one that is missed in two repeats counts twice
    defects: Count  # images of defects judged, over all repeats
    repeats: Count
    folds: Count  # a repeat


class RankingFigures(_Record):
    """How the winner ranks the table on cross-validation folds."""

    image_auroc: Fraction
    fpr_at_zero_missed: Fraction


class NearDuplicates(_Record):
    """The winner with near-duplicate photographs of a part in one fold (grouped) and in several (spread); see selection/grouping.py."""

    grouped: RankingFigures
    spread: RankingFigures
    groups: Count  # of the table, with two photographed parts or more
    images: Count  # of these groups
    repeats: Count
    folds: Count  # a repeat


class Price(_Record):
    """The false-positive rate if some of the hardest defects were not there."""

    fpr: Fraction  # the mean over repeats
    std: Fraction | None  # over repeats; null for a single one


class HardDefect(_Record):
    """One of the hardest defects, the hardest first, and what it costs; spreads over repeats are null for a single one."""

    rank: Annotated[int, Field(ge=1)]
    path: str
    part_id: str
    defect_type: str
    score: Fraction  # out of fold, the mean over repeats
    score_std: Fraction | None
    fpr: Fraction  # normal images that score as high as it or higher: what catching it costs
    fpr_std: Fraction | None
    fpr_without: Fraction | None  # the false-positive rate if it and all harder ones were not there; null where no defect is left


class HardestDefects(_Record):
    """What the hardest defects cost, by scores of classifiers that never saw the images; see threshold/price.py."""

    protocol: Literal["nested cross-validation", "leave-one-out"]
    repeats: Count
    n_defects: Count
    n_normals: Count
    prices: dict[str, Price]  # by how many of the hardest are not there
    defects: tuple[HardDefect, ...]


class Passed(Interval):
    """The share of good parts that pass when at most the share `missed` of the defects is missed, mean over repeats."""

    missed: Fraction
    std: Fraction | None  # over repeats; null for a single one


class UnseenType(_Record):
    """What is found of a type of defect by a classifier that was chosen without it, at the zero-miss threshold of the others."""

    defect_type: str
    n_defects: Count
    n_parts: Count
    found: Count
    share: Fraction
    low: Fraction
    high: Fraction
    family: str
    fpr: Fraction  # of normal images, out of fold


class SkippedType(_Record):
    """A type of defect that was not left out, and why."""

    defect_type: str
    why: str


class UnseenTypes(_Record):
    """Types of defects left out one at a time; `sentence` says why where there is none."""

    types: tuple[UnseenType, ...]
    skipped: tuple[SkippedType, ...]
    sentence: str


class SizeCurve(_Record):
    """Sizes in pixels that are found with 50 and 90 % probability; null where the data fix none, and `sentence` says why."""

    missed: Finite  # marked defects that are missed, the mean over repeats
    a50: Finite | None
    a90: Finite | None
    a90_95: Finite | None  # upper end of the one-sided 95 % interval of a90
    sentence: str


class DetectionBySize(_Record):
    """Probability of detection by the size of marked defects, by threshold; see threshold/detection_by_size.py."""

    n_defects: Count
    curves: dict[str, SizeCurve]


class CompositeFigures(_Record):
    """The composite score of the winning family."""

    family: str
    image_auroc: Fraction
    paper: PaperProtocol
    honest: HonestProtocol | None = None  # null where the protocol was left out; summaries made before have no such key
    near_duplicates: NearDuplicates | None = None  # null where the table has none
    hardest: HardestDefects
    passed: dict[str, Passed]  # PG0, PG2 and PG5
    matched: MatchedAuroc | None  # null where there are no strata
    unseen_types: UnseenTypes
    by_size: DetectionBySize | None  # null where there are no defect masks
    calibration: CalibrationFigures | None = None  # missing in files made before there was one


class Escapes(_Record):
    """Defective parts that pass as good, at most, by the threshold's bounds; null where the line's share of defects is not known."""

    defect_share: Fraction | None  # of the line's parts
    per_million_defective: Positive
    per_million: Positive | None  # of all parts
    next_parts: Count
    next_misses: Positive | None  # expected among the next parts, at the bound that holds with confidence
    next_misses_mean: Positive | None  # the same at the bound that holds on average


class ThresholdFigures(_Record):
    """The threshold and what is known about misses; see the statement in bundle.json."""

    value: Fraction
    rule: str
    n_defects: Count
    n_candidates: Count
    miss_rate_bound_95: Fraction
    next_defect_miss_bound: Fraction
    bound_is: Literal["descriptive", "valid"]
    defects_behind: Count  # defective parts that the bounds rest on
    escapes: Escapes


class SecondsSpent(_Record):
    """Wall-clock seconds; `inspect_per_image` is from file to verdict, without drawing."""

    train: Seconds
    extract: Seconds
    select: Seconds
    inspect_per_image: Seconds


class Summary(_Record):
    """The whole file. `n_normal` and `n_defects` count the metric table's rows."""

    schema_version: Literal[3] = SCHEMA_VERSION
    product: str
    n_train_normal: Count
    n_normal: Count
    n_defects: Count
    detectors: dict[str, DetectorFigures]
    composite: CompositeFigures
    properties: MatchedAuroc | None  # of the trivial properties alone; null where there are no strata
    threshold: ThresholdFigures
    seconds: SecondsSpent


def check_summary(payload: dict[str, Any]) -> Summary:
    """Return the checked summary; raise ZeromissError naming the first key that does not fit."""
    try:
        return Summary.model_validate(payload)
    except ValidationError as error:
        key, fault = first_fault(error)
        raise ZeromissError(f"summary.json: {key}: {fault}: see inspection/summary.py") from None
