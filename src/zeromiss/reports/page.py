"""The report as one HTML file: every picture inside it, nothing fetched from anywhere."""

from functools import partial
from pathlib import Path
from typing import Any

from zeromiss.files import atomic_path
from zeromiss.lines import rounded_up
from zeromiss.registry.attach import Standing
from zeromiss.reports import curves_text, sentences
from zeromiss.reports.facts import ReportFacts
from zeromiss.reports.families import FIGURES, HEADINGS, best_figures, family_rows, percent
from zeromiss.reports.pictures import embed
from zeromiss.reports.systems_page import render_tables
from zeromiss.reports.templates import templates
from zeromiss.reports.words import interval, near_duplicates, price_basis, whole

MANUAL_SECONDS = 8.0  # a person's inspection of one part (paper 1, section 4.3.1)


def render_page(facts: ReportFacts, folder: Path, standing: Standing, comparison: dict[str, Any] | None = None) -> str:
    """Return the page of what is in `folder` (of `report.json`) with what the registry and the gate say of it.

    `comparison`: what `zeromiss compare` found; shown where it is about the metric table that the report is about. Raises ZeromissError when a picture is missing.
    """
    environment = templates(
        percent=percent, interval=interval, upper=rounded_up, whole=whole, four=four, six=lambda value: f"{value:.6g}",
        price_basis=price_basis, near_duplicates=near_duplicates, embed=partial(embed, folder),
    )
    return environment.get_template("page.html").render(
        facts=facts,
        summary=facts.summary,
        zfn=facts.summary["composite"]["paper"]["zfn"],
        standing=standing,
        gate=standing.gate,
        families=family_rows(facts.families),
        best=best_figures(family_rows(facts.families)),
        figures=FIGURES,
        headings=HEADINGS,
        manual=MANUAL_SECONDS,
        params=flat(facts.params),
        compared=None if comparison is None or comparison["table"] != facts.files.get("metric table") else render_tables(comparison),
        say=sentences,
        curves=curves_text,
    )


def write_page(path: Path, facts: ReportFacts, folder: Path, standing: Standing, comparison: dict[str, Any] | None = None) -> None:
    """Write the page, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(render_page(facts, folder, standing, comparison), encoding="utf-8")


def flat(params: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested parameters as `section.key` -> text."""
    found: dict[str, str] = {}
    for key, value in params.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": "null" if value is None else str(value)}
    return found


def four(value: float | None) -> str:
    """Return a number with four places, None as `no masks`."""
    return "no masks" if value is None else f"{value:.4f}"
