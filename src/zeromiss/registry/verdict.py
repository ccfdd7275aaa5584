"""What the promotion gate is given and what it answers."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from zeromiss.errors import ZeromissError
from zeromiss.inspection.shadow import ShadowCount


@dataclass(frozen=True, kw_only=True)
class AuditVerdict:
    """One model's verdict on one image of the locked audit set.

    `score` and `threshold` lie in [0, 1] (higher = more abnormal; abnormal at or above the threshold).
    A file that the model could not judge has `error` and a score of None: it is never called normal. Images of one
    `part_id` show one part and count as one where independence counts; without it an image is a part. `seconds` is what
    the judging took, from file to verdict, None where nobody looked at the clock.
    """

    path: str
    label: Literal["normal", "defect"]
    score: float | None
    threshold: float
    defect_type: str = ""
    part_id: str = ""
    error: str = ""
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse a verdict that says neither what it found nor why it could not."""
        if (self.score is None) != bool(self.error):
            raise ZeromissError(f"{self.path}: an audit verdict has either a score or an error: judge it anew")
        if self.label not in ("normal", "defect"):
            raise ZeromissError(f"{self.path}: label {self.label!r} is not normal or defect: mend the manifest")

    @property
    def normal(self) -> bool:
        """Whether the model passed the part as good."""
        return self.score is not None and self.score < self.threshold

    @property
    def part(self) -> str:
        """The part that the image shows."""
        return self.part_id or self.path


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One condition of the gate: what was measured, its limit, and the outcome in a sentence."""

    name: str
    value: float | None
    limit: float | None
    passed: bool
    sentence: str


@dataclass(frozen=True, kw_only=True)
class DecidingImage:
    """An image that decided a refusal, for a person to look at."""

    path: str
    why: Literal["missed defect", "new false alarm", "not judged"]
    score: float | None
    threshold: float
    defect_type: str = ""


@dataclass(frozen=True, kw_only=True)
class TypeVerdict:
    """What the audit set says of one type of defect: images, images missed, and the bound by its parts alone."""

    defect_type: str
    n_defects: int
    missed: int
    miss_rate_bound: float | None  # None where the type has no part that bears a bound


@dataclass(frozen=True, kw_only=True)
class GateVerdict:
    """The gate's answer. Rates are fractions in [0, 1], None where there is nothing to count."""

    promoted: bool
    criteria: tuple[Criterion, ...]
    n_defects: int  # images, as `missed`
    n_defect_parts: int
    n_normals: int
    missed: int
    false_positive_rate: float | None
    champion_false_positive_rate: float | None
    miss_rate_bound: float | None  # valid upper bound on the true miss rate (of parts); None where none can be stated
    bound_parts: int  # parts with a defect that the bound counts
    bound_missed: int  # those of which an image was missed
    error_parts: int  # the bound takes 1/error_parts of the allowed error, 1 - confidence
    confidence: float
    looks: int  # different models judged on any of these images so far, this one included
    openings: int  # times any of these images was judged, this one included
    worn_out: bool
    audit_types: tuple[TypeVerdict, ...]
    audit_sentence: str
    chance_of_refusal: float | None  # a / (n + a); None where the threshold is not the lowest known score
    shadow: ShadowCount | None  # what live images said of champion and challenger, judged by both; None where nobody compared them
    images: tuple[DecidingImage, ...]
    advice: tuple[str, ...]
    notes: tuple[str, ...]
    statement: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a promotion record."""
        return asdict(self)
