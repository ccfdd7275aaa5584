"""`zeromiss plan`: read the parameters, plan, print."""

import json

from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.errors import ZeromissError
from zeromiss.params import load_product
from zeromiss.planning.plan import plan
from zeromiss.planning.text import render
from zeromiss.workspace import Workspace


def run(name: str, workspace: Workspace, *, device: str, as_json: bool) -> int:
    """Print the plan of the product `name` as text or as one JSON object; return 0.

    Raises ZeromissError for an unknown product or device, or a product without a VQGAN, the one detector that is planned.
    """
    product = load_product(workspace.params_file, name)
    if Vqgan.name not in product.detectors:
        raise ZeromissError(f"only the VQGAN is planned, and product {name!r} does not list it: zeromiss detectors {name} says what the others take")
    found = plan(product, workspace, device=device)
    print(json.dumps(found.content(), indent=2, allow_nan=False) if as_json else render(found), end="\n" if as_json else "")
    return 0
