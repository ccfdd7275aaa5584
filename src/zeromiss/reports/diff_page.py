"""What changed between two versions as one HTML file: every picture inside it, nothing fetched from anywhere."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from zeromiss.files import atomic_path
from zeromiss.lines import figure, time
from zeromiss.reports.diff import KINDS, Flip
from zeromiss.reports.templates import templates

Pictures = tuple[bytes, bytes]  # what the models before and after saw, each a JPEG
_MEANING = {
    "now missed": "a defect that the model before found and the model after calls normal",
    "now a false alarm": "a good part that only the model after calls abnormal",
    "now found": "a defect that only the model after finds",
    "now passed": "a good part that the model before called abnormal and the model after does not",
}


def write_page(path: Path, found: Mapping[str, Any], drawn: Sequence[tuple[Flip, Pictures]]) -> None:
    """Write the page, atomically; `found` is what `zeromiss diff --json` prints, `drawn` the flips with their pictures."""
    with atomic_path(path) as temporary:
        temporary.write_text(render_page(found, drawn), encoding="utf-8")


def render_page(found: Mapping[str, Any], drawn: Sequence[tuple[Flip, Pictures]]) -> str:
    """Return the page."""
    environment = templates(embed=embed, figure=figure, time=time, signed=_signed)
    counts = Counter(flip["kind"] for flip in found["verdicts"]["flips"])
    return environment.get_template("diff_page.html").render(
        found=found,
        drawn=drawn,
        counts=[(kind, counts[kind], _MEANING[kind]) for kind in KINDS],
        changed={part: [one for one in found[part] if one["before"] != one["after"]] for part in ("threshold", "metrics")},
        meaning=_MEANING,
    )


def embed(picture: bytes) -> Markup:
    """Return a JPEG as a data address for an `img` element."""
    return Markup("data:image/jpeg;base64," + base64.b64encode(picture).decode("ascii"))


def _signed(value: float | None) -> str:
    """Return a difference with its sign, nothing where there is none."""
    return "" if value is None else f"{value:+.6g}"
