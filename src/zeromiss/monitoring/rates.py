"""How often the model calls abnormal, how often wrongly, and what it missed, each with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import binomtest

from zeromiss.inspection.judgements import DEFECT, NORMAL
from zeromiss.inspection.verdict import ABNORMAL


@dataclass(frozen=True, kw_only=True)
class Share:
    """`count` of `of` with Clopper and Pearson's interval, all in [0, 1]."""

    count: int
    of: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What the verdicts of a window come to. `fpr` is None before a person judged an alarm of it."""

    abnormal: Share
    judged_alarms: int  # images called abnormal that a person judged
    fpr: Share | None
    missed: tuple[str, ...]  # SHA-256 of images called normal that are defects


def share_of(count: int, of: int, *, confidence: float = 0.95) -> Share:
    """Return a share with Clopper and Pearson's two-sided interval; `of` is at least 1."""
    interval = binomtest(count, of).proportion_ci(confidence_level=confidence, method="exact")
    return Share(count=count, of=of, share=count / of, low=float(interval.low), high=float(interval.high))


def rates(verdicts: Mapping[str, str], judgements: Mapping[str, str], *, confidence: float = 0.95) -> Rates:
    """Return a window's rates from each image's verdict and the last judgement about it, both by SHA-256.

    Good parts that were passed are seldom looked at again: an image called normal counts as a good part until someone
    calls it a defect. Where only some alarms were judged, they stand for all, and as many passed images count as
    belong to them: the interval knows no more than people looked at.
    """
    alarms = [one for one, verdict in verdicts.items() if verdict == ABNORMAL]
    judged = [judgements[one] for one in alarms if one in judgements]
    missed = tuple(sorted(one for one, verdict in verdicts.items() if verdict == NORMAL and judgements.get(one) == DEFECT))
    passed = len(verdicts) - len(alarms) - len(missed)
    return Rates(
        abnormal=share_of(len(alarms), len(verdicts), confidence=confidence), judged_alarms=len(judged),
        fpr=_fpr(judged, alarms=len(alarms), passed=passed, confidence=confidence), missed=missed,
    )  # fmt: skip


def _fpr(judged: Sequence[str], *, alarms: int, passed: int, confidence: float) -> Share | None:
    """Return the share of good parts that were called abnormal, None where nothing is known."""
    false = sum(one == NORMAL for one in judged)
    good = false + passed * len(judged) // max(alarms, 1)
    return share_of(false, good, confidence=confidence) if judged and good else None
