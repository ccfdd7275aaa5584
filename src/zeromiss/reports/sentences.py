"""What the report says in words: the gate's answer, the bounds, the honest protocol, the cost in people's time.

Rates are fractions in [0, 1]; in the text they are per cent. No sentence speaks of misses without the number of defects.
"""

from datetime import UTC, datetime
from typing import Any

from zeromiss.registry.attach import Standing
from zeromiss.registry.promotion import WAITS
from zeromiss.reports.facts import InUse
from zeromiss.reports.families import percent
from zeromiss.reports.words import whole
from zeromiss.threshold.review_time import review_seconds
from zeromiss.threshold.statement import on_the_line, placement

NOT_COMPUTED = "This run was made before it was computed: run the product again."
NO_HONEST = (
    "Not computed: the honest protocol is off. Set selection.outer_repeats to 1 or more in params.yaml and run the product "
    "again; it repeats the whole selection in every outer fold."
)


def gate_word(standing: Standing) -> str:
    """Return the gate's answer in a word or two."""
    if standing.version is None:
        return "Not registered"
    if standing.gate is None:
        return "Not judged"
    if standing.gate.get("outcome") == WAITS:
        return "Waits for approval"
    return "Promoted" if standing.gate["promoted"] else "Refused"


def shown(standing: Standing) -> str:
    """Return which registered version the page is about, and which one is in charge where that is another."""
    if standing.version is None:
        words = "This page shows a model that is not in the registry"
    else:
        own = " and ".join(alias for alias, version in standing.aliases.items() if version == standing.version)
        words = f"This page shows {standing.model} version {standing.version}, {own or 'neither champion nor challenger'}"
    others = [f"version {version} is {alias}" for alias, version in standing.aliases.items() if version != standing.version]
    return "; ".join([words, *others]) + "."


def audit(standing: Standing) -> str:
    """Return what the locked audit set says of the model: the gate's sentence, or that it was never asked."""
    if standing.version is None:
        return "The gate has not been asked: the model is not registered, so that no figure here is valid for parts it has not met."
    if standing.gate is None:
        return (
            f"The gate has not been asked about version {standing.version}: no figure here is valid for parts it has not met. "
            "zeromiss promote asks it."
        )
    return whole(standing.gate.get("audit_sentence") or standing.gate["statement"])


def descriptive(threshold: dict[str, Any]) -> str:
    """Return what the table's own defects are worth as evidence."""
    images, parts = threshold["n_defects"], threshold.get("n_defect_parts", threshold["n_defects"])
    of = f"{images} defects" if images == parts else f"{images} images of {parts} defective parts"
    return f"Leave-one-out over {of}, on which the classifier was also chosen, is descriptive only."


def threshold(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return where the threshold lies, what its rule guarantees and under which assumption, as heading and text."""
    if "guarantee" not in facts:  # of a run made before rules said so
        return [("In words", facts["statement"])]
    return [
        ("Where it lies", placement(facts)),
        ("What the rule guarantees", facts["guarantee"]),
        ("What that means on the line", on_the_line(facts)),
        ("What it assumes", facts["assumption"]),
    ]


def opened(gate: dict[str, Any]) -> str:
    """Return how often the locked audit set was opened, and what that does to the bound."""
    openings, looks = gate.get("openings"), gate.get("looks")
    if openings is None or looks is None:
        return "How often the locked audit set had been opened was not recorded with this decision."
    words = f"The locked audit set had been opened {_times(openings)}, this one included, and {_models(looks)} on it."
    if gate.get("worn_out"):
        words += " It is worn out: ingest new defects, of which the audit set takes its share."
    return words


def when(at: str) -> str:
    """Return a moment in ISO 8601 as people write it."""
    return datetime.fromisoformat(at).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def honest(figures: dict[str, Any], paper: InUse) -> list[str]:
    """Return what the honest protocol found, and how that differs from the paper's protocol on the same images.

    figures: `honest` of threshold.json. paper: the winner's rates at the threshold in use under the paper's protocol.
    """
    folds = figures["repeats"] * figures["folds"]
    found = (
        f"In {folds} outer folds ({_times(figures['repeats'])} {figures['folds']}) preprocessing, search, family and threshold saw the "
        f"inner part only: {figures['missed']} of {figures['defects']} defects judged were missed."
    )
    gaps = [f"{name} {_points(figures[key]['mean'] - getattr(paper, key))}" for key, name in (("fnr", "FNR"), ("fpr", "FPR"))]
    return [found, f"Against the paper's protocol on the same images that is: {', '.join(gaps)}."]


def cost(fpr: float, manual: float) -> tuple[str, str]:
    """Return seconds of review a normal part, and by what misjudgements are divided; as text.

    A person looks at the parts called abnormal only, `manual` seconds each. What people misjudge is taken to be
    proportional to how much they look at (paper 1, section 4.3.1), so that it is divided by 1 / FPR.
    """
    return f"{manual:g} s to {review_seconds(fpr, manual):.2f} s", f"{1 / fpr:.2f}" if fpr else "no false alarm was seen"


def _points(difference: float) -> str:
    """Return a difference of two rates in percentage points."""
    if round(100 * difference, 2) == 0:
        return "the same"
    return f"{percent(abs(difference))} percentage points {'higher' if difference > 0 else 'lower'}"


def _times(number: int) -> str:
    """Return how often."""
    return "once" if number == 1 else f"{number} times"


def _models(number: int) -> str:
    """Return how many models were judged."""
    return "one model has been judged" if number == 1 else f"{number} models have been judged"
