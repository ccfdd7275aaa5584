"""What `zeromiss detectors` prints."""

import json
from dataclasses import asdict

from zeromiss.detectors.catalogue import CATALOGUE, PAPERS
from zeromiss.params import load_product
from zeromiss.workspace import Workspace


def list_detectors(workspace: Workspace | None, name: str | None, *, as_json: bool) -> str:
    """Return what detectors there are, and for a product which of them it uses, as text or as one JSON object."""
    used = () if workspace is None or name is None else load_product(workspace.params_file, name).detectors
    if as_json:
        return json.dumps({detector: {**asdict(system), "used": detector in used} for detector, system in CATALOGUE.items()}, indent=2)
    lines = []
    for detector, system in CATALOGUE.items():
        lines.append(f"{'*' if detector in used else ' '} {detector:<12} {system.title} ({system.source}); {system.kind}")
        lines.append(f"  {'':<12} needs {system.needs}; fitted in {system.cost}")
    legend = [f"{paper}: {title}" for paper, title in PAPERS.items()]
    return "\n".join([*lines, "", *legend, *([f"* used by {name}, in the order {', '.join(used)}"] if name else [])])
