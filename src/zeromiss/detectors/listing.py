"""What `zeromiss detectors` prints: each detector with its needs, its cost and what it reached on images that it was measured on.

The figures of the shipped table are native scores on public images, written by `benchmarks/results.py`. A product's own figures are those
of its last metrics stage. A native AUROC ranks all defects above all normal images at 1; the false-positive rate at zero missed (`FPR0`) is the share of
normal images that would raise an alarm at the lowest defect's score.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zeromiss import schemas
from zeromiss.detectors.catalogue import CATALOGUE, PAPERS
from zeromiss.files import read_json
from zeromiss.params import Product, load_product
from zeromiss.workspace import Workspace

MEASURED, SCHEMA_VERSION = Path(__file__).with_name("measured.json"), 1
Figures = dict[str, float]


def list_detectors(workspace: Workspace | None, name: str | None, *, as_json: bool) -> str:
    """Return what detectors there are, and for a product which of them it uses and what they reached on it, as text or as one JSON object."""
    product = None if workspace is None or name is None else load_product(workspace.params_file, name)
    used = () if product is None else product.detectors
    measured = read_json(MEASURED, schema_version=SCHEMA_VERSION)
    own = {} if product is None or workspace is None else _own(product, workspace)
    if as_json:
        described = {
            detector: {**asdict(system), "used": detector in used, "measured": measured["figures"].get(detector, {}), "product": own.get(detector)}
            for detector, system in CATALOGUE.items()
        }
        return json.dumps(described, indent=2)
    lines = []
    for detector, system in CATALOGUE.items():
        lines.append(f"{'*' if detector in used else ' '} {detector:<12} {system.title} ({system.source}); {system.kind}")
        lines.append(f"  {'':<12} needs {system.needs}; fitted in {system.cost}")
        if detector in own:
            lines.append(f"  {'':<12} on {name}: {_sentence(own[detector])}")
    legend = [f"{paper}: {title}" for paper, title in PAPERS.items()]
    followed = [f"* used by {name}, in the order {', '.join(used)}"] if name else []
    return "\n".join([*lines, "", *_table(measured), "", *legend, *followed])


def _own(product: Product, workspace: Workspace) -> dict[str, Figures]:
    """Return the product's own figures of each detector that its last metrics stage measured."""
    file = workspace.metrics(product.name) / "native.json"
    if not file.is_file():
        return {}
    native = read_json(file, schema_version=schemas.NATIVE)["detectors"]
    found: dict[str, Figures] = {}
    for name, figures in native.items():
        training = workspace.detector(product.name, name) / "training.json"
        seconds = {"fit_seconds": read_json(training, schema_version=schemas.TRAINING)["seconds"]} if training.is_file() else {}
        found[name] = {key: figures[key] for key in ("image_auroc", "fpr_at_zero_missed", "seconds_per_image")} | seconds
    return found


def _sentence(figures: Figures) -> str:
    """Return a product's figures of one detector, in words."""
    fitted = f", fitted in {figures['fit_seconds']:.0f} s" if "fit_seconds" in figures else ""
    rate = f"{100 * figures['fpr_at_zero_missed']:.0f} %"
    return f"AUROC {figures['image_auroc']:.3f}, FPR at zero missed {rate}{fitted}, {1000 * figures['seconds_per_image']:.0f} ms an image"


def _table(measured: dict[str, Any]) -> list[str]:
    """Return the shipped figures as lines of a table: AUROC and FPR at zero missed of each native score on each set."""
    sets = measured["sets"]
    head = f"  {'native score':<14}" + "".join(f"{one['short']:>22}" for one in sets.values())
    lines = [head, f"  {'':<14}" + f"{'AUROC    FPR0':>22}" * len(sets)]
    for detector in CATALOGUE:
        cells = []
        for key in sets:
            figures = measured["figures"].get(detector, {}).get(key)
            cells.append("not measured" if figures is None else f"{figures['image_auroc']:.3f}   {100 * figures['fpr_at_zero_missed']:3.0f} %")
        lines.append(f"  {detector:<14}" + "".join(f"{cell:>22}" for cell in cells))
    return [*lines, *(f"  {one['short']}: {one['title']}" for one in sets.values())]
