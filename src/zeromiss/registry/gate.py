"""The promotion gate: a pure function from verdicts on the locked audit set to one answer.

No stage reads the audit set, so that what is counted here holds for parts nobody has seen: with none of n defective
parts missed by the first model judged on them, the true miss rate lies below 1 - (1 - confidence)^(1/n).
"""

from collections.abc import Iterable, Sequence

from zeromiss.errors import ZeromissError
from zeromiss.registry import criteria as conditions
from zeromiss.registry import release_criteria
from zeromiss.registry.criteria import false_positive_rate
from zeromiss.registry.release_criteria import Release
from zeromiss.registry.verdict import AuditVerdict, Criterion, DecidingImage, GateVerdict, TypeVerdict
from zeromiss.registry.wear import Evidence, Seen, error_parts, find_evidence
from zeromiss.registry.wording import Finding, advice, audit_sentence, notes, statement
from zeromiss.threshold.bounds import clopper_pearson_upper


def judge(
    challenger: Sequence[AuditVerdict],
    champion: Sequence[AuditVerdict] | None,
    *,
    confidence: float,
    min_audit_defects: int,
    chance: float,
    audit_uses: int,
    seen: Seen | None = None,
    openings: int = 1,
    threshold_defects: int | None = None,
    release: Release | None = None,
) -> GateVerdict:
    """Decide whether the challenger may become champion.

    `champion` holds the present champion's verdicts on the same images, None where there is no champion. `chance`: the
    highest p-value at which scores count as better than chance. `seen` names the other models judged on each image
    before, and `audit_uses` how many different ones a bound may rest on, this one included. `openings` counts how often
    these images were judged, this time included. `threshold_defects` is the number of defective parts at whose lowest score the
    challenger's threshold lies, None where it lies elsewhere. `release` says what is known of the version besides its verdicts and
    what is asked of it (None: nothing). Raises ZeromissError when the two judged other images, an
    image is judged twice, or a parameter is out of range.
    """
    _check(challenger, champion, confidence=confidence, chance=chance)
    defects = [verdict for verdict in challenger if verdict.label == "defect"]
    normals = [verdict for verdict in challenger if verdict.label == "normal"]
    evidence = find_evidence(defects, seen or {}, confidence=confidence, audit_uses=audit_uses, fewest=min_audit_defects)
    found, release = _finding(challenger, evidence, seen or {}, confidence=confidence), release or Release()
    criteria = (
        conditions.all_judged(challenger),
        conditions.enough(found.n_parts, min_audit_defects),
        conditions.not_worn(found.looks, audit_uses, worn_out=found.worn_out),
        *_of_scores(challenger, champion, chance, confidence, release),
        *release_criteria.of(release, challenger, champion),
    )
    refusal = refusal_chance(found.n_parts, threshold_defects) if defects and threshold_defects else None
    promoted = all(criterion.passed for criterion in criteria)
    return GateVerdict(
        promoted=promoted,
        criteria=criteria,
        n_defects=len(defects),
        n_defect_parts=found.n_parts,
        n_normals=len(normals),
        missed=found.missed,
        false_positive_rate=false_positive_rate(normals),
        champion_false_positive_rate=None if champion is None else _champion_rate(champion),
        miss_rate_bound=found.bound,
        bound_parts=found.bound_parts,
        bound_missed=_missed_parts(defects, evidence),
        error_parts=error_parts(found.look),
        confidence=confidence,
        looks=found.looks,
        openings=openings,
        worn_out=found.worn_out,
        audit_types=tuple(_types(defects, evidence, confidence)),
        audit_sentence=audit_sentence(found),
        chance_of_refusal=refusal,
        shadow=release.shadow,
        images=tuple(_deciding(challenger, champion, criteria)),
        advice=() if promoted else tuple(advice(criteria, refusal, fewest=min_audit_defects, audit_uses=audit_uses)),
        notes=(*notes(found.n_parts, threshold_defects, refusal, found, champion), *release_criteria.notes(release)),
        statement=statement(promoted, criteria, found),
    )


def refusal_chance(audit_defects: int, threshold_defects: int) -> float:
    """Return a / (n + a): the chance that one of a further defects scores below the lowest of n.

    All n + a scores being exchangeable, the lowest of them is equally likely to be any one: a good model
    is refused with this probability too.
    """
    return audit_defects / (threshold_defects + audit_defects)


def _of_scores(
    challenger: Sequence[AuditVerdict], champion: Sequence[AuditVerdict] | None, chance: float, confidence: float, release: Release
) -> tuple[Criterion, ...]:
    """Return the conditions that the model's own scores decide."""
    normals = [verdict for verdict in challenger if verdict.label == "normal"]
    sure = None if champion is None else confidence
    return (
        conditions.none_missed([verdict for verdict in challenger if verdict.label == "defect"]),
        conditions.better_than_chance(challenger, chance),
        conditions.enough_normals_pass(challenger, release.min_passed, confidence=sure, hardest=release.hardest),
        conditions.no_more_alarms(normals, champion, release.alarm_level),
    )


def _finding(challenger: Sequence[AuditVerdict], evidence: Evidence | None, seen: Seen, *, confidence: float) -> Finding:
    """Count what the audit set says of misses."""
    defects = [verdict for verdict in challenger if verdict.label == "defect"]
    shown = frozenset().union(*(seen.get(verdict.path, frozenset()) for verdict in challenger))
    unjudged = sum(bool(verdict.error) for verdict in defects)
    return Finding(
        n_images=len(defects),
        n_parts=len({verdict.part for verdict in defects}),
        missed=sum(verdict.normal for verdict in defects),
        unjudged=unjudged,
        bound=None if unjudged else _bound(defects, evidence, confidence),
        bound_parts=len(evidence.parts) if evidence else 0,
        look=evidence.look if evidence else 1 + len(shown),
        looks=1 + len(shown),
        confidence=confidence,
        worn_out=bool(defects) and evidence is None,
    )


def _bound(defects: Sequence[AuditVerdict], evidence: Evidence | None, confidence: float) -> float | None:
    """Return the upper bound on the rate of missed parts, in (0, 1], from those of `defects` that bear it; None without any."""
    parts = {verdict.part for verdict in defects} & (evidence.parts if evidence else frozenset())
    if evidence is None or not parts:
        return None
    missed = _missed_parts(defects, evidence)
    return clopper_pearson_upper(missed, len(parts), confidence=confidence, n_candidates=error_parts(evidence.look))


def _missed_parts(defects: Sequence[AuditVerdict], evidence: Evidence | None) -> int:
    """Count the parts that bear the bound and of which an image with a defect was passed as good."""
    return len({verdict.part for verdict in defects if verdict.normal} & (evidence.parts if evidence else frozenset()))


def _types(defects: Sequence[AuditVerdict], evidence: Evidence | None, confidence: float) -> Iterable[TypeVerdict]:
    """Yield what the audit set says of every named type of defect, by name."""
    for name in sorted({verdict.defect_type for verdict in defects} - {""}):
        own = [verdict for verdict in defects if verdict.defect_type == name]
        bound = None if any(verdict.error for verdict in own) else _bound(own, evidence, confidence)
        yield TypeVerdict(defect_type=name, n_defects=len(own), missed=sum(verdict.normal for verdict in own), miss_rate_bound=bound)


def _champion_rate(champion: Sequence[AuditVerdict]) -> float | None:
    """Return the champion's false positive rate."""
    return false_positive_rate([verdict for verdict in champion if verdict.label == "normal"])


def _check(challenger: Sequence[AuditVerdict], champion: Sequence[AuditVerdict] | None, *, confidence: float, chance: float) -> None:
    """Refuse what cannot be compared."""
    for name, value in (("confidence", confidence), ("chance", chance)):
        if not 0.0 < value < 1.0:
            raise ZeromissError(f"promotion.{name} is {value}: it must lie between 0 and 1")
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
