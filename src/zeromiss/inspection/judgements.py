"""What people say of inspected parts, later: appended, never changed; of several about one image the last one counts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.dataset as ds

from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file
from zeromiss.inspection.ledger import append, read

NORMAL, DEFECT = "normal", "defect"
_SCHEMA = pa.schema(
    [("sha256", pa.string()), ("time", pa.timestamp("us", tz="UTC")), ("judgement", pa.string()), ("by", pa.string()), ("why", pa.string())]
)
_DIGITS, _LEAST = 64, 8


def judge(folder: Path, sha256: str, judgement: Literal["normal", "defect"], *, by: str, why: str = "") -> None:
    """Append that `by` calls the image with this SHA-256 normal or a defect. `folder`: the product's judgements."""
    row = {"sha256": sha256, "time": datetime.now(UTC), "judgement": judgement, "by": by, "why": why}
    append(folder, pa.Table.from_pylist([row], schema=_SCHEMA), key=("sha256", "time"))


def last_judgements(folder: Path) -> dict[str, str]:
    """Return the last judgement, `normal` or `defect`, of each image that was judged, by its SHA-256."""
    rows = read(folder)
    return dict(zip(rows["sha256"].to_pylist(), rows["judgement"].to_pylist(), strict=True)) if rows.num_rows else {}


def find_image(verdicts: Path, image: str) -> str:
    """Return the SHA-256 of an image that was inspected: of a file, or by eight or more of its digits.

    Raises ZeromissError where no verdict, or more than one image, fits.
    """
    if Path(image).is_file():
        digest = sha256_file(Path(image))
    elif _LEAST <= len(image) <= _DIGITS and set(image.lower()) <= set("0123456789abcdef"):
        digest = image.lower()
    else:
        raise ZeromissError(f"{image} is neither an image file nor {_LEAST} to {_DIGITS} digits of an image's SHA-256: name one of the two")
    return _inspected(verdicts, digest, image)


def _inspected(verdicts: Path, digest: str, image: str) -> str:
    """Return the one inspected SHA-256 that begins so."""
    import pyarrow.compute as pc

    rows = read(verdicts, columns=("sha256",), only=pc.starts_with(ds.field("sha256"), digest))
    found = sorted(set(rows["sha256"].to_pylist())) if rows.num_rows else []
    if not found:
        raise ZeromissError(f"no verdict about {image} is kept: a judgement is about an inspected image, so inspect it first")
    if len(found) > 1:
        raise ZeromissError(f"{len(found)} inspected images begin with {image}: give more digits")
    return found[0]
