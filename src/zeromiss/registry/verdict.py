"""What the promotion gate is given and what it answers."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from zeromiss.errors import ZeromissError


@dataclass(frozen=True, kw_only=True)
class AuditVerdict:
    """One model's verdict on one image of the locked audit set.

    `score` and `threshold` lie in [0, 1] (higher = more abnormal; abnormal at or above the threshold).
    A file that the model could not judge has `error` and a score of None: it is never called normal.
    """

    path: str
    label: Literal["normal", "defect"]
    score: float | None
    threshold: float
    defect_type: str = ""
    error: str = ""

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
class GateVerdict:
    """The gate's answer. Rates are fractions in [0, 1], None where there is nothing to count."""

    promoted: bool
    criteria: tuple[Criterion, ...]
    n_defects: int
    n_normals: int
    missed: int
    false_positive_rate: float | None
    champion_false_positive_rate: float | None
    miss_rate_bound: float | None  # valid upper bound on the true miss rate; None unless every defect was found
    confidence: float
    chance_of_refusal: float | None  # a / (n + a)
    images: tuple[DecidingImage, ...]
    advice: tuple[str, ...]
    notes: tuple[str, ...]
    statement: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a promotion record."""
        return asdict(self)
