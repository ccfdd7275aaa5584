"""`zeromiss audit`: read what is stored of a version, compare, print."""

import json

from zeromiss.registry.audit import audit
from zeromiss.registry.audit_text import render
from zeromiss.registry.reference import resolve
from zeromiss.registry.stored import open_store
from zeromiss.workspace import Workspace

MISMATCH = 1  # exit code where something does not match


def run(reference: str, workspace: Workspace, *, as_json: bool) -> int:
    """Print the audit of a registered model as text or as one JSON object.

    Return 0 where all that is stored matches, 1 where anything does not. Nothing is written. Raises ZeromissError
    for a reference that names no model, or where there is no store.
    """
    product, version = resolve(reference, workspace)
    with open_store(workspace) as store:
        found = audit(store, product, version, workspace)
    print(json.dumps(found, indent=2, allow_nan=False) if as_json else render(found), end="\n" if as_json else "")
    return 0 if found["intact"] else MISMATCH
