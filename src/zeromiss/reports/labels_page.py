"""The contact sheet of labels to check first: one HTML file, every picture inside it, nothing fetched from anywhere."""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from zeromiss.files import atomic_path
from zeromiss.lines import time
from zeromiss.reports.families import percent
from zeromiss.reports.pictures import embed, save_jpeg
from zeromiss.reports.templates import templates
from zeromiss.reports.thumbnails import thumbnail
from zeromiss.reports.words import price_basis

SIDE = 320  # pixels of a picture's longer side


def write_sheet(path: Path, found: dict[str, Any], raw: Path, masks: Mapping[str, Path]) -> None:
    """Write the page of what `review` found, atomically; `masks`: mask files by image.

    Raises ZeromissError for an image that cannot be read.
    """
    with tempfile.TemporaryDirectory() as draft, atomic_path(path) as temporary:
        pictures = {}
        for one in (*found["defects"], *found["normals"]):
            pictures[one["path"]] = f"{len(pictures)}.jpg"
            save_jpeg(Path(draft) / pictures[one["path"]], thumbnail(raw / one["path"], SIDE, masks.get(one["path"])))
        environment = templates(
            percent=percent, time=time, price_basis=price_basis, embed=partial(embed, Path(draft)),
            three=lambda value: f"{value:.3g}", two=lambda value: f"{value:.2g}",
        )
        temporary.write_text(environment.get_template("labels_page.html").render(found=found, pictures=pictures), encoding="utf-8")
