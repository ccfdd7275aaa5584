"""The promotion gate: a pure function from verdicts on the locked audit set to one answer.

No stage reads the audit set, so that what is counted here holds for parts nobody has seen: with none of
n audit defects missed, the true miss rate lies below 1 - (1 - confidence)^(1/n).
"""

from collections.abc import Iterable, Sequence

from zeromiss.errors import ZeromissError
from zeromiss.registry.verdict import AuditVerdict, Criterion, DecidingImage, GateVerdict


def judge(
    challenger: Sequence[AuditVerdict],
    champion: Sequence[AuditVerdict] | None,
    *,
    confidence: float,
    min_audit_defects: int,
    looks: int = 1,
    threshold_defects: int | None = None,
) -> GateVerdict:
    """Decide whether the challenger may become champion.

    `champion` holds the present champion's verdicts on the same images, None where there is no champion.
    `looks` counts the models judged on this audit set so far, this one included: the bound then spends
    (1 - confidence) / looks on each. `threshold_defects` is the number of defects that set the challenger's
    threshold. Raises ZeromissError when the two judged other images, an image is judged twice, or a
    parameter is out of range.
    """
    _check(challenger, champion, confidence=confidence, looks=looks)
    defects = [verdict for verdict in challenger if verdict.label == "defect"]
    normals = [verdict for verdict in challenger if verdict.label == "normal"]
    criteria = (
        _all_judged(challenger),
        _enough(len(defects), min_audit_defects),
        _none_missed(defects),
        _no_more_alarms(normals, champion),
    )
    missed = sum(verdict.normal for verdict in defects)
    found_all = bool(defects) and missed == 0 and not any(verdict.error for verdict in defects)
    bound = miss_rate_bound(len(defects), confidence=confidence, looks=looks) if found_all else None
    chance = refusal_chance(len(defects), threshold_defects) if defects and threshold_defects else None
    promoted = all(criterion.passed for criterion in criteria)
    return GateVerdict(
        promoted=promoted,
        criteria=criteria,
        n_defects=len(defects),
        n_normals=len(normals),
        missed=missed,
        false_positive_rate=false_positive_rate(normals),
        champion_false_positive_rate=None if champion is None else _champion_rate(champion),
        miss_rate_bound=bound,
        confidence=confidence,
        chance_of_refusal=chance,
        images=tuple(_deciding(challenger, champion, criteria)),
        advice=() if promoted else tuple(_advice(criteria, chance)),
        notes=tuple(_notes(len(defects), chance, threshold_defects, looks, champion)),
        statement=_statement(promoted, criteria, bound, len(defects), confidence, looks),
    )


def miss_rate_bound(defects: int, *, confidence: float, looks: int = 1) -> float:
    """Return the upper bound on the true miss rate after none of `defects` >= 1 was missed, in (0, 1).

    Clopper-Pearson for 0 of n, each of `looks` >= 1 comparisons given an equal share of the error.
    """
    return 1.0 - ((1.0 - confidence) / looks) ** (1.0 / defects)


def refusal_chance(audit_defects: int, threshold_defects: int) -> float:
    """Return a / (n + a): the chance that one of a further defects scores below the lowest of n.

    All n + a scores being exchangeable, the lowest of them is equally likely to be any one: a good model
    is refused with this probability too.
    """
    return audit_defects / (threshold_defects + audit_defects)


def false_positive_rate(normals: Sequence[AuditVerdict]) -> float | None:
    """Return the share of normal parts not passed as good, in [0, 1]; None without normal parts."""
    return sum(not verdict.normal for verdict in normals) / len(normals) if normals else None


def _champion_rate(champion: Sequence[AuditVerdict]) -> float | None:
    """Return the champion's false positive rate."""
    return false_positive_rate([verdict for verdict in champion if verdict.label == "normal"])


def _check(
    challenger: Sequence[AuditVerdict], champion: Sequence[AuditVerdict] | None, *, confidence: float, looks: int
) -> None:
    """Refuse what cannot be compared."""
    if not 0.0 < confidence < 1.0:
        raise ZeromissError(f"promotion.confidence is {confidence}: it must lie between 0 and 1")
    if looks < 1:
        raise ZeromissError(f"the gate was told of {looks} models on this audit set: this one counts, so at least 1")
    paths = [verdict.path for verdict in challenger]
    if len(set(paths)) != len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ZeromissError(f"{twice} is in the audit set twice: mend the manifest")
    if champion is None:
        return
    ours = {(verdict.path, verdict.label) for verdict in challenger}
    theirs = {(verdict.path, verdict.label) for verdict in champion}
    if ours != theirs or len(champion) != len(challenger):
        odd = sorted(ours ^ theirs)[0][0] if ours != theirs else "an image"
        raise ZeromissError(f"champion and challenger judged other images ({odd}): judge both on one audit set")


def _all_judged(challenger: Sequence[AuditVerdict]) -> Criterion:
    """Every audit image got a verdict."""
    failed = sum(bool(verdict.error) for verdict in challenger)
    sentence = f"every one of {len(challenger)} audit images was judged"
    if failed:
        sentence = f"{failed} of {len(challenger)} audit images could not be judged"
    return Criterion(name="every_image_judged", value=float(failed), limit=0.0, passed=not failed, sentence=sentence)


def _enough(found: int, needed: int) -> Criterion:
    """The audit set holds enough defects to say anything."""
    sentence = f"the audit set holds {found} defects, at least {needed} are needed"
    if found == 0:
        sentence = f"the audit set holds no defects, so there is nothing to judge on; at least {needed} are needed"
    return Criterion(
        name="enough_audit_defects", value=float(found), limit=float(needed), passed=found >= needed, sentence=sentence
    )


def _none_missed(defects: Sequence[AuditVerdict]) -> Criterion:
    """No audit defect was passed as good."""
    missed = sum(verdict.normal for verdict in defects)
    sentence = f"{missed} of {len(defects)} audit defects missed"
    passed = missed == 0 and bool(defects)
    return Criterion(name="no_missed_defect", value=float(missed), limit=0.0, passed=passed, sentence=sentence)


def _no_more_alarms(normals: Sequence[AuditVerdict], champion: Sequence[AuditVerdict] | None) -> Criterion:
    """The false positive rate does not lie above the champion's on the same images."""
    name, rate = "false_alarms", false_positive_rate(normals)
    ours = "no normal audit images" if rate is None else f"{_alarms(normals)} of {len(normals)} normal audit images raise a false alarm"
    if champion is None:
        return Criterion(name=name, value=rate, limit=None, passed=True, sentence=f"{ours}; there is no champion to compare with")
    limit = _champion_rate(champion)
    if rate is None or limit is None:
        return Criterion(
            name=name, value=rate, limit=limit, passed=False, sentence="the audit set holds no normal images to compare with the champion on"
        )
    theirs = _alarms([verdict for verdict in champion if verdict.label == "normal"])
    return Criterion(name=name, value=rate, limit=limit, passed=rate <= limit, sentence=f"{ours}, the champion raises {theirs} on the same")


def _alarms(normals: Sequence[AuditVerdict]) -> int:
    """Count the normal parts that were not passed as good."""
    return sum(not verdict.normal for verdict in normals)


def _deciding(
    challenger: Sequence[AuditVerdict], champion: Sequence[AuditVerdict] | None, criteria: Sequence[Criterion]
) -> Iterable[DecidingImage]:
    """Yield the images behind the criteria that failed: the lowest scored defects first."""
    failed = {criterion.name for criterion in criteria if not criterion.passed}
    for verdict in challenger:
        if verdict.error:
            yield _image(verdict, "not judged")
    for verdict in sorted((v for v in challenger if v.label == "defect" and v.normal), key=lambda v: v.score or 0.0):
        yield _image(verdict, "missed defect")
    if "false_alarms" in failed and champion is not None:
        passed = {verdict.path for verdict in champion if verdict.normal}
        for verdict in challenger:
            if verdict.label == "normal" and not verdict.normal and not verdict.error and verdict.path in passed:
                yield _image(verdict, "new false alarm")


def _image(verdict: AuditVerdict, why: str) -> DecidingImage:
    """Return an audit verdict as a deciding image."""
    return DecidingImage(
        path=verdict.path, why=why, score=verdict.score, threshold=verdict.threshold, defect_type=verdict.defect_type
    )


def _advice(criteria: Sequence[Criterion], chance: float | None) -> Iterable[str]:
    """Yield what an engineer can do about each criterion that failed."""
    failed = {criterion.name for criterion in criteria if not criterion.passed}
    if "every_image_judged" in failed:
        yield "mend or replace the files that could not be judged, and ingest again"
    if "enough_audit_defects" in failed:
        yield "give the audit set more defects: ingest more, or raise manifest.audit in params.yaml"
    elif "no_missed_defect" in failed:
        yield "look at the missed defects: a wrong label or an image unlike all others explains many refusals"
        yield "retrain with more defects of these kinds: the threshold lies at the lowest score of those known"
        yield "set threshold.rule: margin and threshold.margin, which puts the threshold below the lowest known score, at the price of more false alarms"
        if chance is not None:
            yield f"do not redraw the split until it passes: a good model is refused with probability {chance:.0%} on sets of this size"
    if "false_alarms" in failed:
        yield "train longer, or add normal images like those that raise a new false alarm"


def _notes(
    defects: int, chance: float | None, known: int | None, looks: int, champion: Sequence[AuditVerdict] | None
) -> Iterable[str]:
    """Yield what a reader needs to weigh the answer."""
    if chance is not None:
        yield (
            f"of a threshold at the lowest of {known} known defects: at least one of {defects} audit defects falls "
            f"below it with probability a/(n + a) = {defects}/({known} + {defects}) = {chance:.1%} even when all is well"
        )
    if looks > 1:
        yield f"{looks} models have been judged on this audit set: each bound spends 1/{looks} of the allowed error"
    missed = sum(verdict.label == "defect" and verdict.normal for verdict in champion or ())
    if missed:
        yield f"the present champion misses {missed} of these audit defects: consider taking it out of service"


def _statement(
    promoted: bool, criteria: Sequence[Criterion], bound: float | None, defects: int, confidence: float, looks: int
) -> str:
    """Return the answer in one sentence."""
    if not promoted:
        return "refused: " + "; ".join(criterion.sentence for criterion in criteria if not criterion.passed)
    share = f" shared among {looks} models" if looks > 1 else ""
    return (
        f"promoted: 0 of {defects} audit defects missed, so with {confidence:.0%} confidence{share} "
        f"the true miss rate lies below {bound:.1%} (valid: nothing was tuned on these images)"
    )
