"""No detector is judged on what taught it: the list beside each detector against the images about to be judged.

`taught.json`, which a detector's stage writes, names the SHA-256 of every image that taught it. What a manifest says may be
wrong, by accident or not, so the bytes of the images count, not their names or splits.
"""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import pandas as pd

from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, sha256_file, write_json

FILE, SCHEMA_VERSION = "taught.json", 1
JUDGED = ("mask", "table", "threshold", "audit")  # splits whose images say how good a detector is; none may teach it


def write_taught(folder: Path, *, normal: Sequence[str], abnormal: Sequence[str]) -> None:
    """Write the list of the images, by their SHA-256, that taught the detector in `folder`."""
    write_json(folder / FILE, {"normal": list(normal), "abnormal": list(abnormal)}, schema_version=SCHEMA_VERSION)


def read_taught(folder: Path) -> frozenset[str]:
    """Return the SHA-256 of every image that taught the detector in `folder`, normal or not.

    Raises ZeromissError when the list is missing or damaged.
    """
    path = folder / FILE
    lists = read_json(path, schema_version=SCHEMA_VERSION)
    found = [lists.get(kind) for kind in ("normal", "abnormal")]
    if not all(isinstance(hashes, list) and all(isinstance(one, str) for one in hashes) for hashes in found):
        raise ZeromissError(f"{path} does not list what taught the detector: train it anew")
    return frozenset(one for hashes in found for one in hashes)


def as_they_lie(rows: pd.DataFrame, raw: Path) -> pd.DataFrame:
    """Return the manifest's rows with the SHA-256 that their files in `raw` have now.

    Raises ZeromissError when a file cannot be read.
    """
    try:
        return rows.assign(sha256=[sha256_file(raw / path) for path in rows["path"]])
    except OSError as error:
        raise ZeromissError(f"{error.filename} cannot be read ({error.strerror}): ingest the product anew") from None


def refuse_taught(taught: Mapping[str, AbstractSet[str]], rows: pd.DataFrame) -> None:
    """Raise ZeromissError when an image of a split that judges taught a detector, or shows a part that did.

    taught: SHA-256 of images, by the name of the detector. rows: the whole manifest, columns path, sha256, part_id, split.
    """
    judged = rows[rows["split"].isin(JUDGED)]
    for name, hashes in taught.items():
        same = judged[judged["sha256"].isin(hashes)]
        if len(same):
            raise ZeromissError(
                f"{_named(same)}, but {name} was taught with the very image: train {name} anew, or put the manifest back that it was trained with"
            )
        parts = rows.loc[rows["sha256"].isin(hashes), "part_id"]
        related = judged[judged["part_id"].isin(parts)]
        if len(related):
            raise ZeromissError(
                f"{_named(related)}, but {name} was taught with the same part, {related['part_id'].iloc[0]}: "
                "run the manifest stage anew, which keeps a part in one split"
            )


def refuse_taught_images(folders: Mapping[str, Path], manifest: pd.DataFrame, raw: Path, *, opened: Collection[str]) -> None:
    """Raise ZeromissError as `refuse_taught` does, for the trained detectors in `folders`, by name.

    Images of the splits `opened` are hashed as they lie in `raw`; of all others the manifest's hashes are taken, so that
    an audit set stays closed to who must not open it.
    """
    read = manifest["split"].isin(opened)
    rows = pd.concat([as_they_lie(manifest[read], raw), manifest[~read]]).sort_index()
    refuse_taught({name: read_taught(folder) for name, folder in folders.items()}, rows)


def _named(rows: pd.DataFrame) -> str:
    """Say which image, of how many, lies in which split."""
    more = f" (and {len(rows) - 1} more like it)" if len(rows) > 1 else ""
    return f"{rows['path'].iloc[0]}{more} is in the split {rows['split'].iloc[0]}"
