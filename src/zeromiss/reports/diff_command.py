"""`zeromiss diff`: read two versions, compare, print."""

import json

from zeromiss.errors import ZeromissError
from zeromiss.registry.reference import resolve
from zeromiss.registry.stored import open_store, read_version
from zeromiss.reports.diff_text import render
from zeromiss.reports.diff_versions import compare
from zeromiss.workspace import Workspace


def run(before: str, after: str, workspace: Workspace, *, as_json: bool) -> int:
    """Print what changed between two registered models of a product, as text or as one JSON object; return 0.

    Raises ZeromissError for a reference that names no model, and for models of two products.
    """
    first, second = (resolve(reference, workspace) for reference in (before, after))
    if first[0] != second[0]:
        raise ZeromissError(f"{before} and {after} are models of two products, {first[0]} and {second[0]}: compare versions of one")
    with open_store(workspace) as store:
        found = compare(*(read_version(store, *one) for one in (first, second)), workspace)
    print(json.dumps(found, indent=2, allow_nan=False) if as_json else render(found), end="\n" if as_json else "")
    return 0
