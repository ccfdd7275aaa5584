"""Shadow mode: the challenger judges the images that the champion judges, and nobody acts on what it says.

Both verdicts of an image are kept by its SHA-256, once for each pair of versions. Nobody knows yet which of the two is right
where they differ: the counts say how the line would change, not which model is better.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from zeromiss.images.words import counted
from zeromiss.inspection.batch import inspect_paths
from zeromiss.inspection.companions import CompanionOf
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.ledger import append, read
from zeromiss.inspection.verdict import ABNORMAL, ERROR, NORMAL, Verdict

KEY = ("sha256", "champion", "challenger")
_SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("us", tz="UTC")),
        ("sha256", pa.string()),
        ("path", pa.string()),
        ("champion", pa.string()),  # versions
        ("challenger", pa.string()),
        ("champion_verdict", pa.string()),
        ("champion_score", pa.float64()),
        ("challenger_verdict", pa.string()),  # normal, abnormal or error
        ("challenger_score", pa.float64()),  # null for an error
        ("error", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ShadowCount:
    """How two versions judged the same images: all of them, those that flip, and those that the challenger could not judge."""

    champion: str
    challenger: str
    images: int
    to_abnormal: int  # normal by the champion, abnormal by the challenger
    to_normal: int  # abnormal by the champion, normal by the challenger
    errors: int

    def sentence(self) -> str:
        """Return the counts in words."""
        failed = f"; {self.errors} could not be judged by the challenger" if self.errors else ""
        return (
            f"in the shadow of version {self.champion}, version {self.challenger} judged {counted(self.images, 'live image')}: {self.to_abnormal} that "
            f"the champion calls normal are abnormal to it, {self.to_normal} that the champion calls abnormal are normal to it{failed}"
        )


def judge_shadow(folder: Path, champion: Sequence[Verdict], challenger: Inspector, *, companion_of: CompanionOf = lambda _: None) -> ShadowCount:
    """Let the challenger judge the images of the champion's verdicts, keep both below `folder`, and return how these images were judged.

    An image that this pair of versions has judged before is not judged again, and counts with what was said then.
    """
    pair = (champion[0].model.version, challenger.model.version)
    rows = _rows(folder, *pair)
    known = set(rows["sha256"].to_pylist()) if rows.num_rows else set()
    fresh = list({one.sha256: one for one in champion if one.sha256 not in known}.values())
    if fresh:
        append(folder, pa.Table.from_pylist(list(_judge(fresh, challenger, companion_of)), schema=_SCHEMA), key=KEY)
    return _counted(_rows(folder, *pair, images=[one.sha256 for one in champion]), *pair)


def count(folder: Path, champion: str, challenger: str) -> ShadowCount | None:
    """Return how two versions judged all live images that both saw, None where there is none."""
    rows = _rows(folder, champion, challenger)
    return _counted(rows, champion, challenger) if rows.num_rows else None


def _judge(champion: Sequence[Verdict], challenger: Inspector, companion_of: CompanionOf) -> Iterable[dict[str, object]]:
    """Yield a row an image; one that changed between the two verdicts is left out."""
    result = inspect_paths(challenger, [Path(one.path) for one in champion], out=None, progress=False, companion_of=companion_of)
    theirs = {one.path: one for one in result.verdicts}
    failed = {one.path: one.error for one in result.errors}
    now = datetime.now(UTC)
    for one in champion:
        other = theirs.get(one.path)
        if other is not None and other.sha256 != one.sha256:
            continue
        yield {
            "time": now,
            "sha256": one.sha256,
            "path": one.path,
            "champion": one.model.version,
            "challenger": challenger.model.version,
            "champion_verdict": one.verdict,
            "champion_score": one.score,
            "challenger_verdict": ERROR if other is None else other.verdict,
            "challenger_score": None if other is None else other.score,
            "error": failed.get(one.path, ""),
        }


def _rows(folder: Path, champion: str, challenger: str, *, images: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of a pair of versions, of these images or of all."""
    wanted = (ds.field("champion") == champion) & (ds.field("challenger") == challenger)
    return read(folder, only=wanted if images is None else wanted & ds.field("sha256").isin(list(images)))


def _counted(rows: pa.Table, champion: str, challenger: str) -> ShadowCount:
    """Count the rows by both verdicts."""
    pairs = list(zip(rows["champion_verdict"].to_pylist(), rows["challenger_verdict"].to_pylist(), strict=True)) if rows.num_rows else []
    return ShadowCount(
        champion=champion,
        challenger=challenger,
        images=len(pairs),
        to_abnormal=pairs.count((NORMAL, ABNORMAL)),
        to_normal=pairs.count((ABNORMAL, NORMAL)),
        errors=sum(other == ERROR for _, other in pairs),
    )
