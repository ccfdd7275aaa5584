"""When someone is told: every limit follows from a stated chance of telling them for nothing."""

from zeromiss.monitoring.drift import Drift
from zeromiss.monitoring.rates import Rates
from zeromiss.stage_params import MonitorParams

DRIFT, FPR, MISSED = "drift", "false alarms", "missed"


def fpr_limit(expected: float, rise: float) -> float:
    """Return the false-positive rate that is too high: `rise` times the expected one, at most halfway from it to 1."""
    return min(rise * expected, (1.0 + expected) / 2)


def reasons(drift: Drift | None, strict: Rates, *, expected_fpr: float, missed: int, params: MonitorParams) -> tuple[str, ...]:
    """Return what calls for retraining, nothing where all is well.

    `strict`: rates whose intervals have the confidence 1 - 2 * false_alarm, so that their lower ends are passed with
    that chance; `missed`: defects that the model in charge called normal, whenever.
    """
    found = []
    if drift is not None and drift.p <= params.false_alarm:
        found.append(DRIFT)
    if strict.fpr is not None and strict.fpr.low > fpr_limit(expected_fpr, params.fpr_rise):
        found.append(FPR)
    if missed > params.misses:
        found.append(MISSED)
    return tuple(found)
