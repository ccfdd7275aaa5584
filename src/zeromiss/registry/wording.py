"""The gate's answer in words: the audit set's sentence, the statement, what to do, what to know."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zeromiss.images.words import counted
from zeromiss.lines import rounded_up
from zeromiss.registry.verdict import AuditVerdict, Criterion


_OF_RELEASE = {
    "latency": "measure on the machine that will inspect, choose a faster detector (zeromiss compare) or raise promotion.latency_ms",
    "clean": "commit code, parameters and DVC's pointer to the images, run the product again, or set promotion.clean lower",
    "report": "run zeromiss run, which makes the report, or set promotion.report to false",
    "not_withdrawn": "train another model, or put this one back in charge with zeromiss rollback PRODUCT --to VERSION",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the audit set says of the true miss rate. `bound` is None where nothing can be said."""

    n_images: int
    n_parts: int
    missed: int  # images
    unjudged: int
    bound: float | None
    bound_parts: int
    look: int
    looks: int
    confidence: float
    worn_out: bool


def audit_sentence(found: Finding) -> str:
    """Return what the locked audit set says of misses, in one or two plain sentences with the number of defects."""
    if not found.n_images:
        return "The locked audit set holds no defects, so that nothing can be said of the true miss rate."
    of = f"of the {_defects(found.n_images, found.n_parts)} in the locked audit set"
    words = f"None {of} is missed" if not found.missed else f"{found.missed} {of} {'is' if found.missed == 1 else 'are'} missed"
    if found.unjudged:
        return f"{words}, but {found.unjudged} could not be judged, so that no bound on the true miss rate holds."
    if found.bound is None:
        models = f"{found.looks} different models were judged on it"
        return f"{words}, but the set is worn out: {models}, so that no bound on the true miss rate holds."
    words += f": with {percent(found.confidence)} confidence the true miss rate is {below(found.bound)}"
    if found.bound_parts < found.n_parts:
        words += f", counted on the {found.bound_parts} defects that were shown to the fewest models"
    if found.look > 1:
        words += f", corrected for the {found.look} different models judged on these so far"
    return words + "."


def statement(promoted: bool, criteria: Sequence[Criterion], found: Finding) -> str:
    """Return the answer in one sentence."""
    if not promoted:
        return "refused: " + "; ".join(criterion.sentence for criterion in criteria if not criterion.passed)
    if found.bound is None:
        raise ValueError("a model is promoted on a bound only")
    corrected = f", corrected for {found.look} models," if found.look > 1 else ""
    return (
        f"promoted: 0 of {found.n_images} audit defects missed, so with {percent(found.confidence)} confidence{corrected} "
        f"the true miss rate is {below(found.bound)} (valid: nothing was tuned on these images)"
    )


def advice(criteria: Sequence[Criterion], chance: float | None, *, fewest: int, audit_uses: int) -> Iterable[str]:
    """Yield what an engineer can do about each criterion that failed."""
    failed = {criterion.name: criterion for criterion in criteria if not criterion.passed}
    if "every_image_judged" in failed:
        yield "mend or replace the files that could not be judged, and ingest again"
    if "enough_audit_defects" in failed:
        yield "give the audit set more defects: ingest more, or raise manifest.audit in params.yaml"
        return
    if "audit_not_worn" in failed:
        yield (
            f"ingest new defects, a share of which joins the audit set: with at least {fewest} there that fewer than {audit_uses} models "
            "were judged on, the gate states a bound from those again"
        )
    if "no_missed_defect" in failed:
        yield from _after_misses(chance)
    if "better_than_chance" in failed:
        yield _against_chance(failed["better_than_chance"])
    if "enough_normals_pass" in failed and failed["enough_normals_pass"].value is not None:
        yield from _after_alarms()
    if "false_alarms" in failed:
        yield "train longer, or add normal images like those that raise a new false alarm"
    yield from (text for name, text in _OF_RELEASE.items() if name in failed)


def _after_misses(chance: float | None) -> Iterable[str]:
    """Yield what to do about missed defects."""
    yield "look at the missed defects: a wrong label or an image unlike all others explains many refusals"
    yield "retrain with more defects of these kinds: the threshold lies at the lowest score of those known"
    yield (
        "set threshold.rule: margin and threshold.margin, which puts the threshold below the lowest known score, at the price of more "
        "false alarms"
    )
    if chance is not None:
        yield f"do not redraw the split until it passes: a good model is refused with probability {chance:.0%} on sets of this size"


def _after_alarms() -> Iterable[str]:
    """Yield what to do about good parts that raise an alarm."""
    yield (
        "look at the known defects with the lowest scores, which set the threshold: zeromiss labels PRODUCT shows them, the costliest first; "
        "a wrong label or a defect that cannot be seen at this size pulls the threshold below normal parts (--set FILE=normal mends a label)"
    )
    yield "take better pictures of parts with such defects (light, angle, a larger size in params.yaml), if a person cannot see them either"
    yield "add normal images: what is normal for this product is learned from them; a lower promotion.min_passed accepts more alarms"


def _against_chance(criterion: Criterion) -> str:
    """Return what to do about scores that could be chance."""
    if criterion.value is None:
        return "give the audit set more images: ingest more, or raise manifest.audit in params.yaml"
    return (
        "look whether the labels are right, whether the defects can be seen at the product's size (raise it), and whether normal parts "
        "look alike: the scores say nothing of the label yet"
    )


def notes(audit: int, known: int | None, chance: float | None, found: Finding, champion: Sequence[AuditVerdict] | None) -> Iterable[str]:
    """Yield what a reader needs to weigh the answer."""
    if chance is not None:
        yield (
            f"of a threshold at the lowest of {known} known defects: at least one of {audit} audit defects falls "
            f"below it with probability a/(n + a) = {audit}/({known} + {audit}) = {chance:.1%} even when all is well"
        )
    if found.looks > 1:
        yield f"{found.looks} different models have been judged on this audit set: every further one makes the bound weaker"
    missed = sum(verdict.label == "defect" and verdict.normal for verdict in champion or ())
    if missed:
        yield f"the present champion misses {missed} of these audit defects: consider taking it out of service"


def below(bound: float) -> str:
    """Return an upper bound in (0, 1] as `below 4.7 %`."""
    return "not bounded" if bound >= 1.0 else f"below {rounded_up(bound)} %"


def percent(share: float) -> str:
    """Return a share in [0, 1] as per cent."""
    return f"{100.0 * share:.4g} %"


def _defects(images: int, parts: int) -> str:
    """Return a number of defects, with their parts where these are fewer."""
    return counted(images, "defect") + (f" ({counted(parts, 'part')})" if parts != images else "")
