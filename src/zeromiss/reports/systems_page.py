"""The comparison of systems as one HTML file: every picture inside it, nothing fetched from anywhere."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from zeromiss.files import atomic_path
from zeromiss.reports import curves_text, systems_words
from zeromiss.reports.pictures import embed
from zeromiss.reports.systems import COSTS, NOTES, RANKED, TITLES
from zeromiss.reports.templates import templates
from zeromiss.reports.words import whole

_LOWER = ("fpr_at_zero_missed", "fpr", "fnr")  # figures of which the lowest is best


def render_page(content: Mapping[str, Any], folder: Path) -> str:
    """Return the page of a comparison whose pictures lie in `folder`; raises ZeromissError when one is missing."""
    return _render("systems_page.html", content, folder)


def render_tables(content: Mapping[str, Any]) -> str:
    """Return the two tables of a comparison, native and honest, as a piece of HTML for another page."""
    return _render("systems_tables.html", content, Path())


def _render(template: str, content: Mapping[str, Any], folder: Path) -> str:
    """Return a template filled with a comparison."""
    environment = templates(
        percent=systems_words.percent, ranged=systems_words.ranged, signed=systems_words.signed, whole=whole,
        embed=partial(embed, folder), title=lambda name: systems_words.system_title(name, content),
    )  # fmt: skip
    return environment.get_template(template).render(
        content=content, detectors=content["detectors"], composites=content["composites"], systems=content["composites"]["systems"],
        say=systems_words, curves=curves_text, ranked=RANKED, costs=COSTS, titles=TITLES, notes=NOTES, best=best_figures(content),
    )  # fmt: skip


def write_page(path: Path, content: Mapping[str, Any], folder: Path) -> None:
    """Write the page, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(render_page(content, folder), encoding="utf-8")


def best_figures(content: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the best value of each column: of the detectors' `native` table and of the `honest` one."""
    native, honest = {}, {}
    for key in RANKED:
        values = [entry[key] for entry in content["detectors"].values() if entry[key] is not None]
        if values:
            native[key] = min(values) if key in _LOWER else max(values)
    for key in systems_words.FIGURES:
        values = [entry["figures"][key]["mean"] for entry in content["composites"]["systems"].values()]
        honest[key] = min(values) if key in _LOWER else max(values)
    return {"native": native, "honest": honest}
