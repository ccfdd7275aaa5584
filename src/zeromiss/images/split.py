"""Which image serves for what: training, the normal-variation mask, the metric table, or the locked audit.

Defects may train too, for a detector that learns from them (paper 3): they are then in no other split. Others may set the
threshold and do nothing else (`threshold.rule` umbrella).

Parts are ordered by a hash of seed and name and taken from the front until a count of images is reached, so the
draw is random, the same on every machine, and moves few images when others are added.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from zeromiss.errors import ZeromissError
from zeromiss.images.words import counted
from zeromiss.stage_params import ManifestParams

FEWEST = 2  # normal images that train, and that the table needs: a spread cannot be seen in fewer

_TRAINING = (FEWEST, "would train the network")
_TABLE = (
    FEWEST,
    "would be left for the metric table",
    "add normal images or lower manifest.mask or manifest.audit",
)

Key = tuple[str, str]  # part and, where the source's folders decide, the folder


@dataclass(frozen=True, kw_only=True)
class Part:
    """The images of one part that go together: how many are normal, how many show a defect of each type."""

    key: Key
    normals: int
    types: Counter[str]

    @property
    def defects(self) -> int:
        """Images that show a defect."""
        return self.types.total()


def assign_splits(images: pd.DataFrame, *, params: ManifestParams, mask: int, seed: int) -> pd.Series:
    """Return each image's split (train, mask, abnormal, table, threshold or audit); `images` has label, defect_type, part_id, source_split.

    `paper` (section 4.1): the share `train` of the normal images, among parts without any defect, trains the
    network. Of the rest of these, and of the parts with a defect, the share `audit` is locked away; `mask` of the
    normal images left make the mask; what remains is the metric table. `official`: the normal images of the
    source's train folder train, all but `mask` of them; its test folder gives audit and table.

    Shares are rounded half up to images; every type of defect gives its share of the audit set, see `shares`. A part
    goes as a whole: it is taken while fewer images than the count (of one of its types, among parts with a defect) were
    taken before it. Only in `official` can a part come in two splits, when the source has it in both folders.

    The share `abnormal` of the defects teaches detectors that learn from them. It is drawn once the audit set is, which
    stays the same whatever that share is, and in the same way; the last part left that shows a type stays in the table,
    since the threshold must know that type. The table has what remains.

    Before all that the share `threshold` of the parts with a defect, rounded half up to parts, is taken from the back of the order
    whatever their type: a simple random sample, which is what the threshold's theorem is about. The audit set keeps its counts,
    and of its parts those that were not drawn.

    Where `images` has several designs, each gives its share of every split: parts are drawn from them in turn, see `in_turn`.

    Raises ZeromissError, naming the key to change, when there are too few normal images, or abnormal ones are asked
    for and too few can be had; also when a design has no normal image to train on or in the table, or a part has two.
    """
    official = params.split == "official"
    keys = [(part, folder if official else "") for part, folder in zip(images["part_id"], images["source_split"])]
    if official:
        _refuse_folders(images)
    parts = _parts(keys, list(images["defect_type"].where(images["label"] == "defect")), seed=seed)
    designs = _designs(keys, images) if "design" in images else {}
    if len(set(designs.values())) > 1:
        parts = in_turn(parts, designs)
    placed = (_official if official else _paper)(parts, params=params, mask=mask)
    split = pd.Series([placed[key] for key in keys], index=images.index, dtype=object)
    if designs:
        _refuse_lost_designs(images, split)
    return split


def in_turn(parts: list[Part], designs: Mapping[Key, str]) -> list[Part]:
    """Return the parts ordered so that any first few, of those without a defect or with one type of it, hold each design by its share.

    The order within a design and a type stays.
    """
    strata: dict[tuple[str, tuple[str, ...]], list[Part]] = {}
    for part in parts:
        strata.setdefault((designs[part.key], tuple(sorted(part.types))), []).append(part)
    placed = [((rank + 0.5) / len(mine), stratum, part) for stratum, mine in strata.items() for rank, part in enumerate(mine)]
    return [part for *_, part in sorted(placed, key=lambda entry: entry[:2])]


def _designs(keys: list[Key], images: pd.DataFrame) -> dict[Key, str]:
    """Return each part's design; raise ZeromissError for a part that has two."""
    found: dict[Key, str] = {}
    for key, path, design in zip(keys, images["path"], images["design"], strict=True):
        if found.setdefault(key, design) != design:
            raise ZeromissError(f"{path} shows the part {key[0]} with the design {design!r}, which has {found[key]!r} in another image: a part has one design")
    return found


def _refuse_lost_designs(images: pd.DataFrame, split: pd.Series) -> None:
    """Raise ZeromissError when a design has no normal image in the split train or table."""
    normal = images["label"] == "normal"
    for design in sorted(set(images["design"])):
        mine = split[normal & (images["design"] == design)]
        for name in ("train", "table"):
            if not (mine == name).any():
                raise ZeromissError(
                    f"the design {design!r} has {counted(len(mine), 'normal image')}, none of which is left for the split {name}: add normal images of it"
                )


def share(fraction: float, count: int) -> int:
    """Return `fraction` of `count`, rounded half up: 0.2 of 313 is 63."""
    return math.floor(round(fraction * count, 9) + 0.5)


def shares(fraction: float, images: Mapping[str, int], parts: Mapping[str, int]) -> dict[str, int]:
    """Return how many images each type gives, by name, for `fraction` of them all; `images` and `parts` count each type's.

    The sum is `share(fraction, all images)`. Each type gives its own share rounded down; what is missing to the sum
    goes to the types with the largest remainders. Then a type of two parts or more that would give nothing gets one
    from the type that exceeds its share most and keeps at least one. Ties go by name.
    """
    exact = {name: round(fraction * count, 9) for name, count in sorted(images.items())}
    given = {name: math.floor(value) for name, value in exact.items()}
    missing = share(fraction, sum(images.values())) - sum(given.values())
    for name in sorted(exact, key=lambda name: (given[name] - exact[name], name))[:missing]:
        given[name] += 1
    for name in sorted(exact, key=lambda name: (-exact[name], name)):
        rich = [other for other in given if given[other] > 1]
        if not given[name] and exact[name] and parts[name] > 1 and rich:
            given[min(rich, key=lambda other: (exact[other] - given[other], other))] -= 1
            given[name] = 1
    return given


def _parts(keys: list[Key], types: list[str | float], *, seed: int) -> list[Part]:
    """Count each part's images, by type of defect (no text = normal), and put the parts in the order in which they are drawn."""
    normals: Counter[Key] = Counter()
    defects: dict[Key, Counter[str]] = {key: Counter() for key in keys}
    for key, kind in zip(keys, types, strict=True):
        if isinstance(kind, str):
            defects[key][kind] += 1
        else:
            normals[key] += 1
    parts = [Part(key=key, normals=normals[key], types=kinds) for key, kinds in defects.items()]
    return sorted(parts, key=lambda part: (hashlib.sha256(f"{seed}:{part.key[0]}".encode()).hexdigest(), part.key))


def _paper(parts: list[Part], *, params: ManifestParams, mask: int) -> dict[Key, str]:
    """Place parts whatever folder they came in."""
    clean, faulty = _by_defect(parts)
    wanted = share(params.train, _normals(clean))
    train, rest = _take(clean, wanted)
    _refuse_few(_normals(train), *_TRAINING, "add normal images or raise manifest.train")
    audit, rest = _take(rest, share(params.audit, _normals(rest)))
    masked, rest = _take(rest, mask)
    _refuse_mask(_normals(masked), mask, "after training and audit", "manifest.train, manifest.audit or manifest.mask")
    aside, locked, abnormal, known = _part_defects(faulty, params)
    _refuse_few(_normals(rest + known), *_TABLE)
    return _placed(train=train, mask=masked, abnormal=abnormal, threshold=aside, audit=audit + locked, table=rest + known)


def _official(parts: list[Part], *, params: ManifestParams, mask: int) -> dict[Key, str]:
    """Place parts by the folder they came in."""
    masked, train = _take([part for part in parts if part.key[1] == "train"], mask)
    _refuse_mask(_normals(masked), mask, "in the source's train folder", "manifest.mask")
    _refuse_few(_normals(train), *_TRAINING, "add some or lower manifest.mask")
    clean, faulty = _by_defect([part for part in parts if part.key[1] == "test"])
    audit, rest = _take(clean, share(params.audit, _normals(clean)))
    aside, locked, abnormal, known = _part_defects(faulty, params)
    _refuse_few(_normals(rest + known), *_TABLE)
    return _placed(train=train, mask=masked, abnormal=abnormal, threshold=aside, audit=audit + locked, table=rest + known)


def _by_defect(parts: list[Part]) -> tuple[list[Part], list[Part]]:
    """Part the parts without a defect from those with one."""
    return [part for part in parts if not part.defects], [part for part in parts if part.defects]


def _take(parts: list[Part], wanted: int) -> tuple[list[Part], list[Part]]:
    """Take parts from the front until they hold `wanted` normal images; return them and the rest."""
    taken = 0
    for position, part in enumerate(parts):
        if taken >= wanted:
            return parts[:position], parts[position:]
        taken += part.normals
    return parts, []


def _part_defects(parts: list[Part], params: ManifestParams) -> tuple[list[Part], list[Part], list[Part], list[Part]]:
    """Part those with a defect that set the threshold, those that are locked away, those that teach, and the rest, which the table gets."""
    images = sum((part.types for part in parts), Counter[str]())
    first = len(parts) - share(params.threshold, len(parts))
    locked, left = _take_defects(parts[:first], shares(params.audit, images, _parts_of(parts)))
    if not params.abnormal:
        return parts[first:], locked, [], left
    several = {name: count for name, count in _parts_of(left).items() if count > 1}
    wanted = shares(params.abnormal, {name: images[name] for name in several}, several)
    abnormal, _ = _take_defects([part for part in left if part.types.keys() <= several.keys()], wanted)
    found = sum(part.defects for part in abnormal)
    if found < FEWEST:
        raise ZeromissError(
            f"manifest.abnormal {params.abnormal:g} of {counted(images.total(), 'image')} with a defect gives {found} and at least "
            f"{FEWEST} are needed: raise it, or add defects"
        )
    taken = {part.key for part in abnormal}
    return parts[first:], locked, abnormal, [part for part in left if part.key not in taken]


def _parts_of(parts: list[Part]) -> Counter[str]:
    """Count the parts that show each type of defect."""
    return Counter(name for part in parts for name in part.types)


def _take_defects(parts: list[Part], wanted: Mapping[str, int]) -> tuple[list[Part], list[Part]]:
    """Take parts until every type of defect has given the images that `wanted` says ; return them and the rest."""
    given: Counter[str] = Counter()
    taken, rest = [], []
    for part in parts:
        if any(given[name] < wanted[name] for name in part.types):
            given += part.types
            taken.append(part)
        else:
            rest.append(part)
    return taken, rest


def _normals(parts: list[Part]) -> int:
    return sum(part.normals for part in parts)


def _placed(**splits: list[Part]) -> dict[Key, str]:
    """Turn lists of parts into each part's split."""
    return {part.key: name for name, parts in splits.items() for part in parts}


def _refuse_few(found: int, needed: int, what: str, remedy: str) -> None:
    if found < needed:
        raise ZeromissError(f"only {counted(found, 'normal image')} {what} and at least {needed} are needed: {remedy}")


def _refuse_mask(found: int, wanted: int, where: str, keys: str) -> None:
    if found < wanted:
        raise ZeromissError(
            f"manifest.mask asks for {counted(wanted, 'normal image')} but {found} {'is' if found == 1 else 'are'} left {where}: "
            f"lower {keys}, add normal images, or set metrics.fixed_position to false"
        )


def _refuse_folders(images: pd.DataFrame) -> None:
    """Raise ZeromissError when the source's folders cannot decide: unknown, or a defect in the train folder."""
    odd = images[~images["source_split"].isin(["train", "test"])]
    if len(odd):
        raise ZeromissError(
            f"{odd['path'].iloc[0]} comes from no train or test folder, which manifest.split official needs: "
            "set manifest.split to paper"
        )
    wrong = images[(images["source_split"] == "train") & (images["label"] == "defect")]
    if len(wrong):
        raise ZeromissError(
            f"{wrong['path'].iloc[0]} is a defect in the train folder, where only normal images may lie: "
            "move it to the test folder or set manifest.split to paper"
        )
