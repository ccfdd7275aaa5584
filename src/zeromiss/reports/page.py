"""The report as one HTML file: every picture inside it, nothing fetched from anywhere."""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from zeromiss.files import atomic_path
from zeromiss.reports.examples import Choice
from zeromiss.reports.families import FIGURES, HEADINGS, FamilyRow, best_figures, percent
from zeromiss.threshold.review_time import review_seconds

MANUAL_SECONDS = 8.0  # a person's inspection of one part (paper 1, section 4.3.1)
_KINDS = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}


@dataclass(frozen=True, kw_only=True)
class Example:
    """An image of the table with the file of its strip of panels."""

    choice: Choice
    strip: Path
    abnormal: bool  # its out-of-fold score is at or above the threshold


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """All that the page shows; fractions in [0, 1], pictures as files to embed."""

    summary: dict[str, Any]
    statement: str
    families: list[FamilyRow]
    composition: list[dict[str, Any]]  # rows: split, normal, defect, parts
    defect_types: list[dict[str, Any]]  # the threshold's entries of each type, see threshold.json
    figures: dict[str, Path]  # distributions, influence, and curves where there are some
    samples: list[Path]  # pictures from the training
    training: list[tuple[str, str]]  # facts of the training: name, text
    normals: list[Example]
    defects: list[Example]
    hardest: Example
    provenance: list[tuple[str, str]]  # name, value
    manual_seconds: float = field(default=MANUAL_SECONDS)


def render_page(data: ReportData) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("zeromiss.reports", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "embed": embed, "six": lambda value: f"{value:.6g}", "four": _four}
    zfn = data.summary["composite"]["paper"]["zfn"]
    return environment.get_template("page.html").render(
        data=data,
        summary=data.summary,
        zfn=zfn,
        best=best_figures(data.families),
        figures=FIGURES,
        headings=HEADINGS,
        review_seconds=review_seconds(zfn["fpr"], data.manual_seconds),
    )


def write_page(path: Path, data: ReportData) -> None:
    """Write the page, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(render_page(data), encoding="utf-8")


def embed(path: Path) -> Markup:
    """Return a picture as a data address for an `img` element."""
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return Markup(f"data:{_KINDS[path.suffix]};base64,{content}")


def _four(value: float | None) -> str:
    """Return a number with four places, None as `no masks`."""
    return "no masks" if value is None else f"{value:.4f}"
