"""The model card: a version's description in Markdown, for people who browse MLflow's pages."""

from collections.abc import Mapping
from typing import Any

_RATES = (("std", "at 0.5"), ("zfn", "no known defect missed (ZFN)"))
_FIGURES = ("accuracy", "precision", "fpr", "fnr")


def card(product: str, tags: Mapping[str, str], summary: Mapping[str, Any]) -> str:
    """Return the card; `tags` are those of the version, `summary` is the content of summary.json, parts of it may be missing."""
    return "\n\n".join(block for block in (_verdict(product, tags), _figures(summary), _origin(tags), _use(product)) if block)


def _verdict(product: str, tags: Mapping[str, str]) -> str:
    """Return what the threshold is and rests on."""
    return (
        f"{product}: abnormal at a score of {tags['threshold.value']} or above (rule {tags['threshold.rule']}, "
        f"{tags['threshold.n_defects']} known defects, miss rate below {tags['threshold.miss_rate_bound_95']} with 95 % "
        f"confidence, {tags['threshold.bound_is']}). Commit {tags['git.commit'][:12]}, data {tags['data.md5'][:12]}."
    )


def _figures(summary: Mapping[str, Any]) -> str:
    """Return a table of the figures on the metric table, on which the classifier was chosen too; nothing without a composite."""
    composite = summary.get("composite")
    if not composite:
        return ""
    counts = f"{summary['n_normal']} normal and {summary['n_defects']} defect images" if "n_normal" in summary else "the metric table"
    head = f"Family {composite['family']}, image AUROC {composite['image_auroc']:.4f}, on {counts}, on which it was also chosen:"
    rows = [f"| {title} | " + " | ".join(f"{composite['paper'][kind][name]:.4f}" for name in _FIGURES) + " |" for kind, title in _RATES]
    return "\n".join([head, "", "| | " + " | ".join(_FIGURES) + " |", "|---|" + "---|" * len(_FIGURES), *rows])


def _origin(tags: Mapping[str, str]) -> str:
    """Return who registered the version and whether it can be made again."""
    again = "its source is stored" if tags.get("source.complete") == "true" else f"it cannot be made again: {tags.get('source.missing', 'no source')}"
    return f"Registered by {tags['registered.by']} on {tags['registered.host']}; {again}."


def _use(product: str) -> str:
    """Return what the model is for and how its story is asked for."""
    return (
        f"Made to inspect {product} as its training images were taken, with a person to look at what it calls abnormal. Other parts, "
        f"cameras or lamps are outside of what was tried. The whole story: `zeromiss audit {product}/VERSION`."
    )
