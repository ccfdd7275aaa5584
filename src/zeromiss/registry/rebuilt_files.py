"""Two files of one name, made at two times: equal bit for bit, equal but for the seconds they tell, or what differs.

Weights are compared number by number, tables column by column, JSON key by key: the bytes of a file may differ
where its content does not, because of seconds and memory spent or of the time of day a container writes into itself.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

EQUAL, BUT_SECONDS, DIFFERS, NOT_COMPARED = "equal", "equal but for seconds", "differs", "not compared"
Status = Literal["equal", "equal but for seconds", "differs", "not compared"]
_SECONDS = re.compile(r"(^|_)(seconds|peak_mib)(_|$)")  # in the name of a key or column: what a run took, not what it made


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the comparison of one thing gave.

    `differing`: how many numbers, cells or values differ; `largest`: the largest absolute difference among the
    numbers that can be subtracted, None where there is none.
    """

    status: Status
    detail: str
    differing: int = 0
    largest: float | None = None


def compare_files(before: Path, after: Path) -> Found:
    """Compare two files by the content that their suffix promises; either may be missing or damaged, which is a difference."""
    for path, word in ((before, "was not there"), (after, "is no longer there")):
        if not path.is_file():
            return Found(status=DIFFERS, detail=word, differing=1)
    if before.read_bytes() == after.read_bytes():
        return Found(status=EQUAL, detail="bit for bit")
    compare = {".safetensors": compare_tensors, ".parquet": compare_tables, ".json": compare_json}.get(before.suffix)
    if compare is None:
        return Found(status=DIFFERS, detail="other bytes", differing=1)
    try:
        return compare(before, after)
    except (ValueError, OSError, SafetensorError) as error:  # pyarrow's and json's errors are ValueErrors
        return Found(status=DIFFERS, detail=f"cannot be read ({' '.join(str(error).split())[:60]})", differing=1)


def compare_tensors(before: Path, after: Path) -> Found:
    """Compare two safetensors files number by number, by their bits."""
    was, now = load_file(before), load_file(after)
    shapes = [(name, *(_shape(side.get(name)) for side in (was, now))) for name in sorted(was.keys() | now.keys())]
    other = [f"{name}: was {old}, is {new}" for name, old, new in shapes if old != new]
    if other:
        return Found(status=DIFFERS, detail=_first(other, "tensors"), differing=len(other))
    changed = {name: _bits_differ(was[name], now[name]) for name in was}
    differing = sum(changed.values())
    total = sum(tensor.numel() for tensor in was.values())
    if not differing:
        return Found(status=EQUAL, detail=f"{total:,} numbers; the file's header has other bytes")
    named = [name for name, count in changed.items() if count]
    largest = max((was[name].double() - now[name].double()).abs().nan_to_num(torch.inf).max().item() for name in named)
    return _numbers(differing, total, f"numbers in {len(named)} of {len(was)} tensors", largest)


def compare_tables(before: Path, after: Path) -> Found:
    """Compare two Parquet files cell by cell, numbers by their bits; columns of seconds are left out."""
    was, now = pq.read_table(before).to_pandas(), pq.read_table(after).to_pandas()
    columns = [name for name in was.columns if not _SECONDS.search(name)]
    if set(was.columns) ^ set(now.columns):
        return _keys(set(was.columns), set(now.columns), "columns")
    if len(was) != len(now):
        return Found(status=DIFFERS, detail=f"{len(now)} rows, were {len(was)}", differing=abs(len(was) - len(now)))
    cells = {name: _cells_differ(was[name], now[name]) for name in columns}
    differing = int(sum(mask_N.sum() for mask_N in cells.values()))
    if not differing:
        left_out = len(columns) < len(was.columns)
        return Found(status=BUT_SECONDS if left_out else EQUAL, detail=f"{len(was):,} rows, {len(columns)} columns")
    named = [name for name, mask_N in cells.items() if mask_N.any()]
    moved = [_largest(was[name], now[name]) for name in named]
    largest = max((value for value in moved if value is not None), default=None)
    first = f"{named[0]} in row {int(np.flatnonzero(cells[named[0]])[0])}"
    return _numbers(differing, len(was) * len(columns), f"cells in {len(named)} of {len(columns)} columns, first {first}", largest)


def compare_json(before: Path, after: Path, *, without: frozenset[str] = frozenset()) -> Found:
    """Compare two JSON files value by value; keys of seconds and memory spent, and the keys `without` of the whole, are left out."""
    return compare_values(
        *({key: value for key, value in json.loads(path.read_text(encoding="utf-8")).items() if key not in without} for path in (before, after))
    )


def compare_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> Found:
    """Compare two trees of JSON values; see `compare_json`."""
    was, now = dict(_flat(before)), dict(_flat(after))
    kept = [key for key in was.keys() | now.keys() if not any(_SECONDS.search(part) for part in key)]
    absent = object()
    changed = sorted(key for key in kept if was.get(key, absent) != now.get(key, absent))
    if not changed:
        left_out = len(kept) < len(was.keys() | now.keys())
        return Found(status=BUT_SECONDS if left_out else EQUAL, detail=f"{len(kept)} values")
    told = [f"{'.'.join(key)} was {_short(was, key)}, is {_short(now, key)}" for key in changed[:1]]
    pairs = [(was.get(key), now.get(key)) for key in changed]
    gaps = [abs(old - new) for old, new in pairs if _is_number(old) and _is_number(new)]
    more = f" and {len(changed) - 1} more values" if len(changed) > 1 else ""
    return Found(status=DIFFERS, detail=told[0] + more, differing=len(changed), largest=max(gaps, default=None))


def _numbers(differing: int, total: int, where: str, largest: float | None) -> Found:
    """Say how many numbers differ, and by how much at most."""
    most = "" if largest is None else f", by {largest:.3g} at most"
    return Found(status=DIFFERS, detail=f"{differing:,} of {total:,} {where}{most}", differing=differing, largest=largest)


def _keys(was: set[str], now: set[str], what: str) -> Found:
    """Say which names one side alone has."""
    told = [f"{name} is gone" for name in sorted(was - now)] + [f"{name} is new" for name in sorted(now - was)]
    return Found(status=DIFFERS, detail=_first(told, what), differing=len(told))


def _first(told: list[str], what: str) -> str:
    """Return the first of several sentences and how many more there are."""
    return told[0] if len(told) == 1 else f"{told[0]} and {len(told) - 1} more {what}"


def _shape(tensor: torch.Tensor | None) -> str:
    """Return type and shape in words."""
    return "missing" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _bits_differ(was: torch.Tensor, now: torch.Tensor) -> int:
    """Return how many numbers of two tensors of one type and shape differ in any bit."""
    sides = [tensor.contiguous().reshape(-1).view(torch.uint8).reshape(-1, tensor.element_size()) for tensor in (was, now)]
    return int((sides[0] != sides[1]).any(dim=1).sum())


def _cells_differ(was: pd.Series, now: pd.Series) -> np.ndarray:
    """Return which cells differ, (N,): floats in any bit, so that 0.0 and -0.0 differ; two empty cells don't."""
    if was.dtype == now.dtype == np.float64:
        return was.to_numpy().view(np.int64) != now.to_numpy().view(np.int64)
    old_N, new_N = was.isna().to_numpy(), now.isna().to_numpy()
    cells = zip(was.astype(object), now.astype(object), old_N | new_N, strict=True)
    unequal_N = np.array([not empty and bool(old != new) for old, new, empty in cells], dtype=bool)
    return unequal_N | (old_N != new_N)


def _largest(was: pd.Series, now: pd.Series) -> float | None:
    """Return the largest absolute difference of two columns of numbers, None where there is none."""
    if not all(pd.api.types.is_numeric_dtype(side) and not pd.api.types.is_bool_dtype(side) for side in (was, now)):
        return None
    gaps_N = (was.astype("float64") - now.astype("float64")).abs().dropna()
    return float(gaps_N.max()) if len(gaps_N) else None


def _flat(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Return every value of a JSON tree with its path; an empty list or object is a value."""
    if isinstance(value, Mapping) and value:
        return [item for key, inner in value.items() for item in _flat(inner, (*path, str(key)))]
    if isinstance(value, list) and value:
        return [item for number, inner in enumerate(value) for item in _flat(inner, (*path, str(number)))]
    return [(path, value)]


def _short(tree: Mapping[tuple[str, ...], Any], key: tuple[str, ...]) -> str:
    """Return a value in at most 40 characters."""
    return json.dumps(tree[key])[:40] if key in tree else "missing"


def _is_number(value: Any) -> bool:
    """Return whether a JSON value can be subtracted."""
    return isinstance(value, int | float) and not isinstance(value, bool)
