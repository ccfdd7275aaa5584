"""Near-duplicate photographs: the same part again, at another exposure, a little shifted, turned or zoomed, or stored anew.

Public data sets are full of them. On both sides of a split they make every figure better than it is, so the parts that they show
become one part of the manifest (`manifest.near_duplicates: group`), are only reported (`tell`), or are not looked for (`off`).
Candidates come from perceptual hashes of all pairs (`perceptual_hash`); `same_part` decides on each. Copies of one file, byte for
byte, are not looked for here: the manifest's checks refuse them in two splits.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

from zeromiss.images.load import MODES, SMALLEST_SIDE, load_image
from zeromiss.images.perceptual_hash import SIDE as COPY_SIDE
from zeromiss.images.perceptual_hash import candidate_pairs, in_threads, lay_over_typical
from zeromiss.images.registration import local_contrast
from zeromiss.images.same_part import SIDE, PartComparer, is_same_part
from zeromiss.images.words import counted

FILE = "duplicates.json"
PANEL = 24  # images that stand for what different parts share
NULL_PAIRS = 24  # pairs of them on which the threshold rests
BATCH = 96  # look-alikes that are compared before asking whether any of them shows the same part
FEWEST = 12  # images below which what they share cannot be told from what is one part's own
Mode = Literal["group", "tell", "off"]


def find_near_duplicates(facts: pd.DataFrame, raw: Path, *, mode: Mode) -> dict[str, Any]:
    """Return what is found among images with their facts (`manifest.read_facts`); paths are relative to `raw`.

    `pairs`: photographs of different `part_id` that show the same part, the surest first, with the figures of `Comparison` and the
    differing bits of their hashes. `groups`: the parts joined by pairs, under the name of the first of them, with their images; a
    group `contradicts` where it holds both labels, which is no fault by itself: a defect may be seen from one side only.
    Images that cannot be read, or name no part, are left out here; the manifest's checks refuse them.
    """
    content: dict[str, Any] = {"mode": mode, "images": 0, "candidates": 0, "shared_structure": None, "threshold": None, "pairs": [], "groups": []}
    if mode == "off":
        return content
    readable = (facts["problem"] == "") & (facts["part_id"] != "") & facts["mode"].isin(MODES) & (facts[["width", "height"]].min(axis=1) >= SMALLEST_SIDE)
    seen = facts[readable].drop_duplicates("sha256").reset_index(drop=True)
    if len(seen) >= FEWEST:
        with threadpool_limits(1):  # threads are ours: one image or pair each
            content |= _search_each(seen, raw)
        content["groups"] = _groups(facts, content["pairs"])
    return content | {"images": len(seen)}


def group_parts(facts: pd.DataFrame, content: dict[str, Any]) -> pd.DataFrame:
    """Return the facts with the column `photographed_part`, and in mode `group` with one `part_id` for all parts of a group."""
    joined = {part: group["part_id"] for group in content["groups"] for part in group["parts"]} if content["mode"] == "group" else {}
    return facts.assign(photographed_part=facts["part_id"], part_id=[joined.get(part, part) for part in facts["part_id"]])


def with_splits(content: dict[str, Any], rows: pd.DataFrame) -> dict[str, Any]:
    """Return the content of duplicates.json: what was found, in how many groups `across_splits` lie, and the `sentence`.

    rows: the manifest's. A group lies across splits if its images lie in more than one of them, which mode `group` prevents.
    """
    splits = dict(zip(rows["path"], rows["split"], strict=True))
    across = sum(len({splits[image["path"]] for image in group["images"]}) > 1 for group in content["groups"])
    return content | {"across_splits": across, "sentence": _sentence(content, across)}


def _search_each(seen: pd.DataFrame, raw: Path) -> dict[str, Any]:
    """Return pairs, threshold and counts of all designs: what a design's parts share would make them one beside those of another.

    The threshold is the highest of the designs', of which each pair met that of its own.
    """
    designs = [rows.reset_index(drop=True) for _, rows in seen.groupby("design")] if "design" in seen else [seen]
    found = [_search(rows, [raw / path for path in rows["path"]]) for rows in designs if len(rows) >= FEWEST]
    thresholds = [one["threshold"] for one in found if one["threshold"] is not None]
    pairs = [pair for one in found for pair in one["pairs"]]
    return {
        "candidates": sum(one["candidates"] for one in found),
        "shared_structure": any(one["shared_structure"] for one in found) if found else None,
        "threshold": max(thresholds, default=None),
        "pairs": sorted(pairs, key=lambda pair: (-pair["correlation"], pair["a"], pair["b"])),
    }


def _search(seen: pd.DataFrame, files: Sequence[Path]) -> dict[str, Any]:
    """Return pairs, threshold and counts for images of different content."""
    copies = lay_over_typical(np.stack(in_threads(_small_copy, files, title="look for near-duplicates", unit="image")))
    part_N = pd.factorize(seen["part_id"])[0]
    candidates_P3 = candidate_pairs(copies, part_N)
    content = {"candidates": len(candidates_P3), "shared_structure": copies.motions is not None, "threshold": None, "pairs": []}
    if not len(candidates_P3):
        return content
    related: dict[int, set[int]] = defaultdict(set)
    for first, second, _ in candidates_P3:
        related[int(first)].add(int(second))
        related[int(second)].add(int(first))
    comparer = PartComparer(lambda index: load_image(files[index], SIDE, reduced=True).mean(axis=0), copies.motions, _panel(related, part_N))
    threshold = comparer.threshold(NULL_PAIRS)

    def compare(pair: np.ndarray) -> dict[str, Any] | None:
        """Return a pair as the file holds it, None where two parts are shown."""
        first, second, bits = (int(value) for value in pair)
        own = np.flatnonzero(np.isin(part_N, part_N[[first, second]]))
        found = comparer.compare(first, second, frozenset(related[first] | related[second] | set(own.tolist())))
        if found is None or not is_same_part(found, threshold):
            return None
        a, b = seen.iloc[first], seen.iloc[second]
        named = {f"{name}_{side}": str(row[column]) for side, row in (("a", a), ("b", b)) for name, column in (("part", "part_id"), ("label", "label"))}
        return {"a": a["path"], "b": b["path"]} | named | asdict(found) | {"bits": bits}

    found: list[dict[str, Any]] = []
    for start in range(0, len(candidates_P3), BATCH):  # the likeliest first, until a batch holds no pair
        batch = in_threads(compare, candidates_P3[start : start + BATCH], title="compare look-alikes", unit="pair")
        found += [pair for pair in batch if pair is not None]
        if not any(batch):
            break
    pairs = sorted(found, key=lambda pair: (-pair["correlation"], pair["a"], pair["b"]))
    return content | {"threshold": threshold, "pairs": pairs}


def _small_copy(file: Path) -> np.ndarray:
    """Return the local contrast of a small grey copy of an image file."""
    return local_contrast(np.ascontiguousarray(load_image(file, COPY_SIDE, reduced=True).mean(axis=0)))


def _panel(related: dict[int, set[int]], part_N: np.ndarray) -> list[int]:
    """Return up to PANEL images of different parts, those that resemble the fewest others first, spread evenly over the rest."""
    _, first = np.unique(part_N, return_index=True)
    order = sorted((int(index) for index in first), key=lambda index: (len(related.get(index, ())), index))
    chosen = order[: max(PANEL, len(order) // 2)]
    return [chosen[place] for place in np.unique(np.linspace(0, len(chosen) - 1, min(PANEL, len(chosen))).round().astype(int))]


def _groups(facts: pd.DataFrame, pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the parts that pairs join, each group with its images."""
    names = sorted({pair[side] for pair in pairs for side in ("part_a", "part_b")})
    place = {name: number for number, name in enumerate(names)}
    links = np.array([(place[pair["part_a"]], place[pair["part_b"]]) for pair in pairs], dtype=np.int64).reshape(-1, 2)
    _, group_P = connected_components(coo_array((np.ones(len(links)), links.T), shape=(len(names), len(names))), directed=False)
    groups = []
    for number in np.unique(group_P):
        parts = [name for name, group in zip(names, group_P, strict=True) if group == number]
        rows = facts[facts["part_id"].isin(parts)]
        images = [{"path": row["path"], "photographed_part": row["part_id"], "label": row["label"]} for row in rows.to_dict(orient="records")]
        groups.append({"part_id": parts[0], "parts": parts, "images": images, "contradicts": rows["label"].nunique() > 1})
    return groups


def _sentence(content: dict[str, Any], across: int) -> str:
    """Say in one sentence what was found, and what becomes of it; '' where nobody looked."""
    pairs, groups, images = content["pairs"], content["groups"], content["images"]
    if content["mode"] == "off":
        return ""
    if images < FEWEST:
        return f"not looked for among {counted(images, 'image')}: {FEWEST} are needed"
    if not pairs:
        return f"none of {images} images shows the part of another one again"
    parts = sum(len(group["parts"]) for group in groups)
    first = f"{counted(len(pairs), 'pair')} of images {'shows' if len(pairs) == 1 else 'show'} the same part again ({pairs[0]['a']} and {pairs[0]['b']})"
    told = f"{across} of them in several splits, since manifest.near_duplicates is tell"
    kept = "each stays on one side of every split" if content["mode"] == "group" else told
    odd = [group for group in groups if group["contradicts"]]
    said = f"; {counted(len(odd), 'group')} with both labels, look at {' and '.join(_one_of_each(odd[0]))}" if odd else ""
    return f"{first}; {parts} parts of the index are {len(groups)}, {kept}{said}"


def _one_of_each(group: dict[str, Any]) -> list[str]:
    """Return an image of each label of a group."""
    return [next(image["path"] for image in group["images"] if image["label"] == label) for label in sorted({image["label"] for image in group["images"]})]
