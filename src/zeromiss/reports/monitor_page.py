"""What a check found as one HTML file: every picture inside it, nothing fetched from anywhere."""

from functools import partial
from pathlib import Path
from typing import Any

from zeromiss.files import atomic_path, write_json
from zeromiss.lines import time
from zeromiss.monitoring.check import FILE, SCHEMA_VERSION
from zeromiss.reports import monitor_words
from zeromiss.reports.families import percent
from zeromiss.reports.figures import save_figure
from zeromiss.reports.monitor_figures import abnormal_course, distance_course, metric_bars
from zeromiss.reports.pictures import embed
from zeromiss.reports.templates import templates

PAGE = "monitor.html"
_BARS = 10


def write_monitor(folder: Path, found: dict[str, Any]) -> Path:
    """Write monitor.json, the figures and the page, each atomically, and return the page."""
    write_json(folder / FILE, found, schema_version=SCHEMA_VERSION)
    figures = {"abnormal": "abnormal.svg"}
    save_figure(folder / "abnormal.svg", abnormal_course(found["course"]))
    if any(one["mean"] is not None for one in found["course"]):
        figures["distance"] = "distance.svg"
        save_figure(folder / "distance.svg", distance_course(found["course"], found["drift"] and found["drift"]["mean_limit"]))
    if found["drift"] is not None:
        figures["metrics"] = "metrics.svg"
        save_figure(folder / "metrics.svg", metric_bars(found["drift"]["metrics"][:_BARS], found["false_alarm"]))
    with atomic_path(folder / PAGE) as temporary:
        temporary.write_text(render_page(found, figures, folder), encoding="utf-8")
    return folder / PAGE


def render_page(found: dict[str, Any], figures: dict[str, str], folder: Path) -> str:
    """Return the page; `figures`: pictures of `folder` by name."""
    environment = templates(percent=percent, embed=partial(embed, folder), time=time, three=lambda value: f"{value:.3g}")
    return environment.get_template("monitor_page.html").render(found=found, figures=figures, say=monitor_words)
