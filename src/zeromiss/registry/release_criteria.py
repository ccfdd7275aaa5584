"""The gate's conditions that no score decides: how fast a version judges, whether it can be made again, whether its report is there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from zeromiss.images.words import counted
from zeromiss.inspection.shadow import ShadowCount
from zeromiss.registry.hardest import Hardest
from zeromiss.registry.verdict import AuditVerdict, Criterion

_SHARE = 0.95  # of the images that must be judged within the limit


@dataclass(frozen=True, kw_only=True)
class Release:
    """What is known of a version besides its verdicts, and what the gate asks of it.

    `commit`, `data`: the commit and the hash of the raw images, None where there is none; `dirty`: whether the tree
    differed from the commit; `complete`: whether what is stored suffices to make it again, `missing`: what does not.
    None stands for not known. `withdrawn`: why it was taken out of service, empty where it was not. `hardest`: the defects that
    cost the most false alarms on its metric table.
    """

    alarm_level: float = 0.05
    min_passed: float = 0.2
    latency_ms: float | None = None
    clean: Literal["any", "stored", "committed"] = "any"
    report_needed: bool = False
    commit: str | None = None
    dirty: bool | None = None
    complete: bool | None = None
    missing: str = ""
    data: str | None = None
    report: bool = False
    withdrawn: str = ""
    hardest: Hardest | None = None
    shadow: ShadowCount | None = None


def of(release: Release, challenger: Sequence[AuditVerdict], champion: Sequence[AuditVerdict] | None) -> tuple[Criterion, ...]:
    """Return the conditions on latency, source, report and past of a version."""
    return (fast_enough(release.latency_ms, challenger, champion), clean(release), reported(release), not_withdrawn(release))


def fast_enough(limit: float | None, challenger: Sequence[AuditVerdict], champion: Sequence[AuditVerdict] | None) -> Criterion:
    """95 % of the audit images were judged within `limit` milliseconds, from file to verdict, one at a time.

    The first image is left out: it also pays for what is set up once. What could not be judged is left out too.
    """
    ours, theirs = milliseconds(challenger), milliseconds(champion or ())
    if not len(ours):
        return Criterion(name="latency", value=None, limit=limit, passed=limit is None, sentence="no image was timed")
    value = float(np.quantile(ours, _SHARE, method="higher"))
    beside = f", the champion's median {np.median(theirs):.1f} ms" if len(theirs) else ""
    sentence = f"95 % of {counted(len(ours), 'audit image')} are judged within {value:.1f} ms (median {np.median(ours):.1f} ms{beside})"
    sentence += f"; allowed {limit:g} ms" if limit is not None else "; promotion.latency_ms sets no limit"
    return Criterion(name="latency", value=value, limit=limit, passed=limit is None or value <= limit, sentence=sentence)


def milliseconds(verdicts: Sequence[AuditVerdict]) -> np.ndarray:
    """Return how long each image but the first took, (N,)."""
    return np.array([1000.0 * one.seconds for one in verdicts[1:] if one.seconds is not None])


def clean(release: Release) -> Criterion:
    """The version's code and data are those of a commit, or at least stored with it; as much as `release.clean` asks."""
    dirt = [
        "it has no commit" if release.commit is None else "",
        {True: "the tree had changes that were not committed", False: "", None: "whether the tree was clean is not stored"}[release.dirty],
        "the raw images have no version" if release.data is None else "",
    ]
    gaps = {True: "", False: release.missing or "its source is incomplete", None: "whether its source is complete is not stored"}[release.complete]
    dirt = [one for one in dirt if one]
    passed = {"any": True, "stored": not gaps, "committed": not dirt and not gaps}[release.clean]
    if not dirt and not gaps:
        sentence = f"code and data are those of commit {str(release.commit)[:12]} and data version {str(release.data)[:12]}"
    elif passed and not gaps:
        sentence = f"code and data are stored with the version ({'; '.join(dirt)})"
    else:
        sentence = f"code and data are not clean: {'; '.join([*dirt, gaps] if gaps else dirt)} (promotion.clean: {release.clean})"
    return Criterion(name="clean", value=float(len(dirt) + bool(gaps)), limit=None if release.clean == "any" else 0.0, passed=passed, sentence=sentence)


def reported(release: Release) -> Criterion:
    """The report of the very bundle was made."""
    sentence = "the report of this bundle was made" if release.report else "the report of this bundle was not made"
    limit = 1.0 if release.report_needed else None
    return Criterion(name="report", value=float(release.report), limit=limit, passed=release.report or not release.report_needed, sentence=sentence)


def not_withdrawn(release: Release) -> Criterion:
    """Nobody took the version out of service: the same model, registered again, must not undo a rollback."""
    sentence = f"it was taken out of service: {release.withdrawn}" if release.withdrawn else "it was never taken out of service"
    return Criterion(name="not_withdrawn", value=float(bool(release.withdrawn)), limit=0.0, passed=not release.withdrawn, sentence=sentence)


def notes(release: Release) -> Iterable[str]:
    """Yield what live images said of champion and challenger."""
    if release.shadow is not None:
        yield release.shadow.sentence()
