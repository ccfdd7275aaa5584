"""Both models judge the images they have in common, but never one of a locked audit set; flips get their pictures."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file
from zeromiss.inspection.inspector import Examination, Inspector
from zeromiss.inspection.overlay import draw_panels
from zeromiss.reports.diff import Flip, Judged, find_flips

_SIDE, _GAP = 288, 6  # pixels of a panel and between panels
_BOXES = 25  # patches drawn


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What both models said: images judged by both, files that are not here or have changed, files one could not judge."""

    judged: int
    missing: int
    not_judged: int
    flips: list[Flip]


def judge_both(before: Inspector, after: Inspector, images: pd.DataFrame, raw: Path) -> Verdicts:
    """Let both models judge the images that lie in `raw` with the content they had; columns path, sha256, label."""
    rows = list(images.itertuples())
    here = [row for row in rows if (raw / row.path).is_file() and sha256_file(raw / row.path) == row.sha256]
    paths = [raw / row.path for row in here]
    scores = [_judge(inspector, paths, who) for inspector, who in ((before, "before"), (after, "after"))]
    pairs = [(row.path, row.label, *both) for row, *both in zip(here, *scores, strict=True)]
    well = [pair for pair in pairs if pair[2] is not None and pair[3] is not None]
    return Verdicts(judged=len(well), missing=len(rows) - len(here), not_judged=len(pairs) - len(well), flips=find_flips(well))


def draw_flips(before: Inspector, after: Inspector, flips: Sequence[Flip], raw: Path) -> list[tuple[bytes, bytes]]:
    """Return for every flip, in their order, what each model saw as the bytes of a JPEG."""
    drawn = tqdm(flips, desc="draw flips", unit="image", disable=not flips)
    return [(picture(before.examine(raw / flip.path)), picture(after.examine(raw / flip.path))) for flip in drawn]


def picture(examination: Examination) -> bytes:
    """Return original, reconstruction, difference and patches side by side on white as the bytes of a JPEG."""
    panels = draw_panels(examination, boxes=_BOXES, side=_SIDE)
    gap = np.full((len(panels["original"]), _GAP, 3), 255, dtype=np.uint8)
    rows = [part for panel in panels.values() for part in (panel, gap)][:-1]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(rows, axis=1)).save(buffer, format="JPEG", quality=88, subsampling=0)
    return buffer.getvalue()


def _judge(inspector: Inspector, paths: Sequence[Path], who: str) -> list[Judged | None]:
    """Return one model's verdicts, None for a file it could not judge."""
    done = tqdm(inspector.examine_many(paths), total=len(paths), desc=f"judge {who}", unit="image", disable=not paths)
    return [None if isinstance(one, ZeromissError) else Judged(score=one.verdict.score, threshold=one.verdict.threshold) for one in done]
