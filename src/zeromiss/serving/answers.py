"""What the server says, as it stands in the JSON: numbers keep every bit of theirs."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from zeromiss.inspection.verdict import Verdict


class Answer(BaseModel):
    """A frozen answer."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Box(Answer):
    """A square of the judged image; x, y, size in its pixels, distance >= 0 (higher = more abnormal)."""

    x: int
    y: int
    size: int
    distance: float


class Model(Answer):
    """The registered version that judged."""

    name: str
    version: str


class Judged(Answer):
    """The verdict on one image: abnormal where score >= threshold, both in [0, 1]."""

    name: str  # as the sender called it, empty where it had no name
    verdict: Literal["normal", "abnormal"]
    score: float
    threshold: float
    probability: float | None  # of a defect; null where the bundle has no calibration
    boxes: tuple[Box, ...]  # the most distant first
    width: int  # pixels of the image that was inspected: boxes refer to it
    height: int
    to_file: tuple[tuple[float, float, float], tuple[float, float, float]] | None  # takes a place (x, y, 1) of it to that in the file that was sent
    sha256: str  # of the image as it was sent
    model: Model
    seconds: float  # of judging, without waiting


class NotJudged(Answer):
    """An image of a batch without a verdict, to be looked at by a person or sent again: never to be taken for normal."""

    name: str
    verdict: Literal["error"] = "error"
    error: str
    status: int  # what it would have got alone


class Batch(Answer):
    """A result an image, in the order they were sent."""

    results: tuple[Judged | NotJudged, ...]
    seconds: float  # of the whole request


class Refused(Answer):
    """A version that is champion and was not taken: why, and since when (ISO 8601, UTC)."""

    version: str
    why: str
    at: str


class Rows(Answer):
    """How the rows of verdicts fare, since the server started."""

    kept: int  # added to the data set; an image that the same version judged before adds none
    waiting: int  # in memory, to be written next
    dropped: int  # gone, the oldest ones, because too many waited
    problem: str  # what keeps them from being written, empty where nothing does


class Health(Answer):
    """Whether requests are taken, by which version, and what keeps a newer one from being taken."""

    live: bool
    ready: bool  # false once told to stop
    model: Model
    since: str  # ISO 8601, UTC: when this version was taken
    images_in_flight: int  # judged or waiting
    images_most: int
    refused: Refused | None
    registry: str  # what is wrong with it, empty where it answers
    rows: Rows | None  # null where none are kept


class Version(Answer):
    """Which version judges and where it comes from."""

    product: str
    model: str
    version: str
    run: str
    commit: str
    threshold: float
    zeromiss: str


def judged(verdict: Verdict, *, name: str, boxes: int, seconds: float) -> Judged:
    """Return the answer to one image with its `boxes` most distant patches."""
    return Judged(
        name=name,
        verdict=verdict.verdict,
        score=verdict.score,
        threshold=verdict.threshold,
        probability=verdict.probability,
        boxes=tuple(Box(**vars(patch)) for patch in verdict.patches[:boxes]),
        width=verdict.width,
        height=verdict.height,
        to_file=verdict.to_file,
        sha256=verdict.sha256,
        model=Model(**vars(verdict.model)),
        seconds=seconds,
    )
