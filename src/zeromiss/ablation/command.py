"""`zeromiss ablate`: compare, write `data/12_ablation/<product>/ablation.json`, tell the tracking server, print."""

import json
from typing import Any

from zeromiss.ablation.run import ablate
from zeromiss.ablation.text import render
from zeromiss.ablation.variants import of_vqgan, pick
from zeromiss.files import write_json
from zeromiss.images.staging import locked
from zeromiss.params import load_product
from zeromiss.registry.tracking import act_run
from zeromiss.selection.paired import HIGHER_IS_BETTER
from zeromiss.workspace import Workspace

RESULT, SCHEMA_VERSION = "ablation.json", 1


def run(product: str, workspace: Workspace, *, only: list[str] | None, as_json: bool, hours: float = 2.0) -> int:
    """Compare the product with its variants and print the result, as text or as one JSON object; return 0.

    only: names of variants; None for all that fit the product. Variants that an earlier run finished on the same
    data, parameters and code are not computed again. hours: longer ones are left out, and said so. Raises
    ZeromissError for an unknown product or variant, without a metric table, or when nothing can be compared.
    """
    params = of_vqgan(load_product(workspace.params_file, product))
    wanted = pick(params, only)
    place = workspace.ablation(product)
    place.mkdir(parents=True, exist_ok=True)
    with locked(place):
        content = ablate(params, workspace, wanted, hours=hours)
        write_json(place / RESULT, content, schema_version=SCHEMA_VERSION)
        with act_run("ablation", params, workspace) as log:
            log.metrics(_numbers(content))
            log.artifact(place / RESULT)
    whole = {"schema_version": SCHEMA_VERSION} | content
    print(json.dumps(whole, indent=2, allow_nan=False) if as_json else render(content), end="\n" if as_json else "")
    return 0


def _numbers(content: dict[str, Any]) -> dict[str, float]:
    """Return what the run records: the full system's means, and every variant's differences."""
    found = {f"full.{name}": content["full"]["figures"][name]["mean"] for name in HIGHER_IS_BETTER}
    for row in content["variants"]:
        found |= {f"{row['variant']}.{name}.difference": row["differences"][name]["mean"] for name in HIGHER_IS_BETTER}
    return found
