"""Pictures of pairs of images that the manifest stage names: behind a shortcut, and near-duplicates."""

from pathlib import Path
from typing import Any

import numpy as np

from zeromiss.images.load import load_image
from zeromiss.reports.examples import SIDE
from zeromiss.reports.pictures import save_jpeg

SHOWN_PAIRS = 3  # for each shortcut found
SHOWN_DUPLICATES = 6  # near-duplicates: half of them the surest, half the least sure


def draw_shortcuts(shortcuts: dict[str, Any] | None, raw: Path, folder: Path) -> dict[str, Any] | None:
    """Return the shortcut check with the pictures of the pairs behind what was found; they are drawn into `folder`."""
    if shortcuts is None:
        return None
    findings = []
    for place, finding in enumerate(shortcuts["findings"], start=1):
        shown = enumerate(finding["pairs"][:SHOWN_PAIRS], start=1)
        findings.append(finding | {"pairs": [_drawn(pair, f"shortcut-{place}-{number}", raw, folder) for number, pair in shown]})
    return shortcuts | {"findings": findings}


def draw_duplicates(duplicates: dict[str, Any], raw: Path, folder: Path) -> dict[str, Any]:
    """Return the near-duplicates with the pictures of the surest pairs and of the least sure ones; they are drawn into `folder`."""
    pairs, half = duplicates["pairs"], SHOWN_DUPLICATES // 2
    shown = {place for place in range(len(pairs)) if place < half or place >= len(pairs) - half}
    drawn = [_drawn(pair, f"duplicate-{place + 1}", raw, folder) if place in shown else pair for place, pair in enumerate(pairs)]
    return duplicates | {"pairs": drawn}


def _drawn(pair: dict[str, Any], stem: str, raw: Path, folder: Path) -> dict[str, Any]:
    """Draw the images `a` and `b` of a pair; return it with their files, relative to the report's folder."""
    names = [f"{stem}-{side}.jpg" for side in ("a", "b")]
    for name, side in zip(names, ("a", "b"), strict=True):
        picture = load_image(raw / pair[side], SIDE).transpose(1, 2, 0)
        save_jpeg(folder / name, np.rint(picture * 255.0).astype(np.uint8))
    return pair | {"pictures": [f"{folder.name}/{name}" for name in names]}
