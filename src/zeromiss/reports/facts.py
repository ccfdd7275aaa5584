"""`report.json`: all that the stage `report` found out, with the names of its pictures.

The stage writes it before the gate is asked; the page is made of it afterwards, together with the gate's record.
Names of pictures are relative to the folder that `report.json` lies in.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zeromiss import schemas
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, write_json
from zeromiss.sections import first_fault

FILE = "report.json"
Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Record(BaseModel):
    """A frozen part of the report; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Shown(_Record):
    """An image of the metric table that the page shows, and why."""

    path: str
    label: Literal["normal", "defect"]
    defect_type: str = ""
    score: Fraction  # the winner's, out of fold
    abnormal: bool  # the score is at or above the threshold
    why: str
    panels: dict[str, str]  # pictures by title (original, reconstruction, difference, patches), each above its worst region


class Metric(_Record):
    """How much the classifier leans on one column: rise of the log loss when it is shuffled, over repeats."""

    name: str
    mean: Finite
    std: Finite


class Codebook(_Record):
    """How the table's normal images use the network's codes."""

    codes: int = Field(ge=1)
    used: int = Field(ge=0)
    perplexity: Finite
    images: int = Field(ge=1)


class InUse(_Record):
    """The winner at the threshold in use, on its pooled out-of-fold scores of the table."""

    missed: int = Field(ge=0)  # images of known defects below the threshold
    accuracy: Fraction
    precision: Fraction
    fpr: Fraction
    fnr: Fraction


class Gallery(_Record):
    """The images shown, in the page's order."""

    hardest: tuple[Shown, ...] = ()
    alarms: tuple[Shown, ...] = ()
    normals: tuple[Shown, ...] = ()


class ReportFacts(_Record):
    """The whole file. What an earlier stage did not compute is null."""

    schema_version: Literal[4] = schemas.REPORT
    product: str
    bundle: str  # SHA-256 of bundle.json: which model this is about
    summary: dict[str, Any]  # summary.json
    threshold: dict[str, Any]  # threshold.json
    families: dict[str, Any]  # families.json: `winner` and `families`
    in_use: InUse
    composition: tuple[dict[str, Any], ...]  # rows: split, normal, defect, parts
    honest: dict[str, Any] | None = None  # threshold.json: honest
    hardest: dict[str, Any]  # hardest.json; each of `defects` with its `picture`
    labels: dict[str, Any]  # labels.json: labels that people changed
    calibration: dict[str, Any] | None = None  # calibration.json
    duplicates: dict[str, Any] | None = None  # duplicates.json; the first pairs with the `pictures` of their images
    shortcuts: dict[str, Any] | None = None  # shortcuts.json; each pair with the `pictures` of its images
    trainings: dict[str, dict[str, Any]]  # training.json of each detector that the bundle holds
    codebook: Codebook | None = None
    influence: tuple[Metric, ...] = ()
    influence_repeats: int = 0
    gallery: Gallery = Gallery()
    figures: dict[str, str] = {}  # name -> picture
    samples: dict[str, str] = {}  # pictures of what the detectors make of normal images
    params: dict[str, Any] = {}
    files: dict[str, str] = {}  # what -> SHA-256
    versions: dict[str, str] = {}


def write_facts(folder: Path, facts: ReportFacts) -> None:
    """Write `report.json` into `folder`, atomically."""
    payload = facts.model_dump(mode="json", exclude={"schema_version"})
    write_json(folder / FILE, payload, schema_version=schemas.REPORT)


def read_facts(folder: Path) -> ReportFacts:
    """Return the `report.json` in `folder`.

    Raises ZeromissError when it is missing, or names the first key that does not fit.
    """
    payload = read_json(folder / FILE, schema_version=schemas.REPORT)
    try:
        return ReportFacts.model_validate(payload)
    except ValidationError as error:
        key, fault = first_fault(error)
        raise ZeromissError(f"{folder / FILE}: {key}: {fault}: run the report stage anew") from None
