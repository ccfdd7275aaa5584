"""What a kept result depends on, as one digest: values, tables, and the code that made it."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import zeromiss


def digest(*values: Any, code: Sequence[str]) -> str:
    """Return the SHA-256 of JSON-able values and data frames, in their order, and of source files.

    code: rooms or files of the library, by their path inside it.
    """
    found = hashlib.sha256()
    for value in values:
        if isinstance(value, pd.DataFrame):
            found.update(json.dumps(list(value.columns)).encode())
            found.update(pd.util.hash_pandas_object(value, index=False).to_numpy().tobytes())
        else:
            found.update(json.dumps(value, sort_keys=True).encode())
    for path in _sources(code):
        found.update(path.read_bytes())
    return found.hexdigest()


def _sources(code: Sequence[str]) -> list[Path]:
    """Return the Python files that rooms or files stand for, sorted."""
    home = Path(zeromiss.__file__).parent
    named = [home / each for each in code]
    return sorted(path for each in named for path in ([each] if each.is_file() else each.rglob("*.py")))
