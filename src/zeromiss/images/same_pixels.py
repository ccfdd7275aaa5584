"""Images of the same pixels in files of other bytes: the same picture, which must not lie on two sides of a split.

A copy saved anew, with other metadata, or grey as RGB has another hash than its original. All parts that show one picture become
one part, whatever `manifest.near_duplicates` says. Copies of one file, byte for byte, are not looked for here: no ingest keeps two, and
the manifest's checks refuse them in two splits.
"""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from zeromiss.images.words import counted


def join_parts(facts: pd.DataFrame) -> pd.DataFrame:
    """Return the facts with one `part_id`, the first by name, for all parts that share a picture (`pixels`), directly or through others."""
    shared = _shared(facts)
    if shared.empty:
        return facts
    part_N, names = pd.factorize(shared["part_id"], sort=True)
    picture_N = pd.factorize(shared["pixels"])[0] + len(names)
    size = int(picture_N.max()) + 1
    _, group = connected_components(coo_array((np.ones(len(shared)), (part_N, picture_N)), shape=(size, size)), directed=False)
    first: dict[int, str] = {}
    joined = {name: first.setdefault(int(group[number]), name) for number, name in enumerate(names)}
    return facts.assign(part_id=[joined.get(part, part) for part in facts["part_id"]])


def sentence(facts: pd.DataFrame) -> str:
    """Say how many images repeat the picture of another, and which are defects of two kinds; '' where none does."""
    shared = _shared(facts)
    if shared.empty:
        return ""
    groups = [list(rows["path"]) for _, rows in shared.groupby("pixels", sort=False)]
    told = f"{counted(len(groups), 'picture')} in several files, pixel for pixel ({groups[0][0]} and {groups[0][1]}): each stays on one side of every split"
    kinds = shared[shared.groupby("pixels")["defect_type"].transform("nunique") > 1]
    if kinds.empty:
        return told
    odd = kinds[kinds["pixels"] == kinds["pixels"].iloc[0]].drop_duplicates("defect_type")
    named = " and ".join(f"{path} ({kind})" for path, kind in zip(odd["path"].iloc[:2], odd["defect_type"].iloc[:2], strict=True))
    return f"{told}; {counted(kinds['pixels'].nunique(), 'picture')} under two kinds of defect, look at {named}"


def _shared(facts: pd.DataFrame) -> pd.DataFrame:
    """Return the images whose picture another file of other bytes has too."""
    files = facts[facts["pixels"].notna()].drop_duplicates("sha256")
    return files[files["pixels"].duplicated(keep=False)]
