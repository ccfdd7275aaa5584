"""What a threshold guarantees, under which assumption, in plain sentences with the number of defects behind them."""

from typing import Any

from zeromiss.images.words import counted

DRIFT = "as long as the parts, the camera and the light stay as they were: drift breaks it"


def statement(facts: dict[str, Any]) -> str:
    """Return the whole paragraph: where the threshold lies, what that guarantees, what it means on the line, the assumption, what outer folds found."""
    found = outer_folds_found(facts["honest"], rule=facts["rule"])
    return " ".join(filter(None, (placement(facts), guarantee(facts), on_the_line(facts), assumption(facts), found)))


def placement(facts: dict[str, Any]) -> str:
    """Return where the threshold lies among the known defects, and how many of these it misses."""
    known, rule = _known(facts), facts["rule"]
    if rule == "zfn":
        place = f"at the lowest score of {known}"
    elif rule == "margin":
        place = f"{percent(facts['margin'])} below the lowest score of {known}"
    elif rule == "umbrella":
        lowest = "lowest" if facts["rank"] == 1 else f"{_ordinal(facts['rank'])} lowest"
        place = f"at the {lowest} score of {counted(facts['defects_behind'], 'defective part')} put aside for it, which no detector, search or fold has seen"
    else:
        place = (
            f"at {facts['multiplier']:.4g} times the lowest score of {known}, which is the ratio of score to threshold that "
            f"ranks {_ordinal(facts['rank'])} from below among {counted(facts['defects_behind'], 'defective part')} judged in outer folds"
        )
        place += ", clipped to 1, the highest score there is" if facts["clipped"] else ""
    others = f"{known}, on which the classifier was chosen," if rule == "umbrella" else "the known defects"
    return f"The threshold lies {place}; {facts['missed_known'] or 'none'} of {others} scored below it in leave-one-out."


def guarantee(facts: dict[str, Any]) -> str:
    """Return what the rule guarantees and on how many defects, or that its figures are descriptive."""
    following, share = percent(facts["next_defect_miss_bound"]), percent(facts["miss_rate_bound"])
    confidence, behind = f"{percent(facts['confidence'])} confidence shared among", facts["defects_behind"]
    if facts["bound_is"] == "descriptive":
        margin = " The margin lowers the miss rate by an amount that depends on the defects and is not claimed." if facts["rule"] == "margin" else ""
        return (
            f"Were the leave-one-out scores of {_known(facts)} independent and the classifier fixed beforehand, the next defective part "
            f"would be missed with probability up to {following} and, with {confidence} "
            f"{counted(facts['n_candidates'], 'compared classifier')}, the share of misses would be up to {share}; both were chosen on the "
            f"same defects: these figures are descriptive, not a guarantee.{margin}"
        )
    if facts["rule"] == "umbrella":
        return (
            f"With {percent(facts['confidence'])} confidence the share of misses is up to {share}, within the target of {percent(facts['target'])}, "
            f"and the next defective part is missed with probability up to {following}; this is a theorem (Neyman-Pearson umbrella algorithm) "
            f"and rests on {counted(behind, 'defective part')}, whatever the classifier."
        )
    confidence = f"{confidence} {facts['doubt_shared_among']}, twice the outer folds,"
    rest = f"this rests on {counted(behind, 'defective part')}, each judged in outer folds by models that knew nothing of it"
    if facts["rule"] == "conformal":
        return (
            f"The next defective part is missed with probability up to {following}, within the target of {percent(facts['target'])}, and "
            f"with {confidence} the share of misses is up to {share}; {rest}."
        )
    return (
        f"With {confidence} the share of misses is up to {share}, within the budget of {facts['budget_ppm']:g} per million, and "
        f"the next defective part is missed with probability up to {following}; {rest}."
    )


def on_the_line(facts: dict[str, Any]) -> str:
    """Return what the bounds mean on the line: escapes per million, and misses among the next parts where the share of defects is known."""
    found = facts["escapes"]
    verb = "would be" if facts["bound_is"] == "descriptive" else "is"
    defective = f"{number(found['per_million_defective'])} escapes per million defective parts"
    if found["defect_share"] is None:
        return (
            f"On the line that {verb} up to {defective}; set inspection.defect_share to the line's share of defective parts to have it "
            f"per million parts, and for the next {number(found['next_parts'])}."
        )
    return (
        f"On a line with {percent(found['defect_share'])} defective parts that {verb} up to {number(found['per_million'])} escapes per million parts "
        f"({defective}): up to {number(found['next_misses'])} misses to be expected among the next {number(found['next_parts'])} parts with this "
        f"confidence, {number(found['next_misses_mean'])} on average."
    )


def assumption(facts: dict[str, Any]) -> str:
    """Return what must be true for the guarantee, or for the descriptive figures, to hold."""
    if facts["bound_is"] == "descriptive":
        return f"Even then they would hold for defects like the known ones only, and {DRIFT}."
    if facts["rule"] == "umbrella":
        return f"It holds for defects drawn as these were, independently of each other, and for no others; and {DRIFT}."
    return (
        "It holds where the scores of defects to come stand to this threshold as those of the outer folds stood to the thresholds of "
        f"their own folds, for defects like the known ones, and {DRIFT}."
    )


def outer_folds_found(honest: dict[str, Any] | None, *, rule: str) -> str:
    """Return what the honest protocol found of the rule, empty without it; images are counted over all repeats."""
    if honest is None:
        return ""
    rate, repeats = honest["fnr"], counted(honest["repeats"], "repeat")
    aside = ", each fold's classifier with a threshold of its own by the same parts put aside" if rule == "umbrella" else ""
    return (
        f"In outer folds the same rule missed {honest['missed']} of {counted(honest['defects'], 'defect')} judged in {repeats} of "
        f"{honest['folds']} folds{aside}: a miss rate of {percent(rate['mean'])}, 95 % interval {percent(rate['low'])} to {percent(rate['high'])}."
    )


def percent(share: float) -> str:
    """Return a share as per cent with three significant digits."""
    return f"{100.0 * share:.3g} %"


def number(value: float) -> str:
    """Return a count with three significant digits, thousands apart: 35,200, 3.52."""
    return f"{float(f'{value:.3g}'):,.10g}"


def _known(facts: dict[str, Any]) -> str:
    """Return the number of known defects, with their parts where images and parts differ."""
    images, parts = facts["n_defects"], facts["n_defect_parts"]
    return counted(images, "known defect") + (f" ({counted(parts, 'part')})" if parts != images else "")


def _ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th, 11th, ..."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
