"""Models that judge by a table of scores, registered in a real store, and two processes that promote at the same instant."""

import json
import time
from pathlib import Path
from types import SimpleNamespace

from tests import registry_parts as parts
from zeromiss.registry import publish

SCORES = {"d1": 0.9, "d2": 0.8, "d3": 0.7, "n1": 0.6, "n2": 0.1}
ROWS = [(name, f"sha-{name}", "defect" if name[0] == "d" else "normal", "audit") for name in SCORES]
FILES = {"vqgan/model.safetensors": "weights", "classifier.skops": "classifier"}


def load_table(cls, folder, *, model_name=None, model_version=None):
    """Load a bundle as an inspector that scores every image as the bundle says."""
    scores = json.loads((folder / "bundle.json").read_text())["scores"]
    return SimpleNamespace(threshold=0.5, taught={}, inspect=lambda path: SimpleNamespace(score=scores[path.name]))


def candidate(product, workspace, word, *, stages=False, **changed):
    """Register a bundle with these scores as challenger, with the runs of its stages where an audit is to look at them."""
    parts.write_bundle(workspace, files=FILES | {"word": word}, scores=SCORES | changed)
    return parts.register(product, workspace) if stages else publish.register(product, workspace).version


def asking(product, **changed):
    """Return the product with another promotion section."""
    return product.model_copy(update={"promotion": product.promotion.model_copy(update=changed)})


def promote_in_turns(root, barrier, rounds, results):
    """Ask the gate once a round, at the same instant as the others at the barrier: the body of a process of its own."""
    import pytest

    from zeromiss.errors import ZeromissError
    from zeromiss.inspection.inspector import Inspector
    from zeromiss.params import load_product
    from zeromiss.registry import promotion
    from zeromiss.workspace import Workspace

    workspace = Workspace(root=Path(root))
    product = asking(load_product(workspace.params_file, "tiny"), audit_uses=1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Inspector, "load", classmethod(load_table))
        for _ in range(rounds):
            barrier.wait(300)
            begin = time.time()
            try:
                record = promotion.read_record(promotion.promote(product, workspace))
                results.put((root, record["outcome"], "", begin))
            except ZeromissError as error:
                results.put((root, "told", str(error), begin))
            barrier.wait(300)
