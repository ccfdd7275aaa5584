"""Collect what `zeromiss compare` found into docs/results/systems.json and write docs/systems_results.md from it.

    python benchmarks/systems.py collect solar_cell        after `zeromiss compare solar_cell`
    python benchmarks/systems.py table pcba                the same figures from the metric table alone, where the networks lie elsewhere
    python benchmarks/systems.py slices papers_all         every kind of part of a product by itself: first folder of part_id
    python benchmarks/systems.py                           only write the page anew

`--workspace DIR` reads another workspace than this repository. Every figure of the page comes from the committed file; a
test compares the two.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.systems_page import FIGURE, page
from zeromiss import schemas
from zeromiss.files import read_json, write_json
from zeromiss.metrics import table as tables
from zeromiss.params import Product, load_product
from zeromiss.reports.systems import detector_entry, read_content, with_spread
from zeromiss.stages.compare import composites
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

SCHEMA_VERSION = 1
ROOT = Path(__file__).resolve().parents[1]
FOUND, PAGE = ROOT / "docs" / "results" / "systems.json", ROOT / "docs" / "systems_results.md"
KEPT = ("product", "size", "n_normals", "n_defects", "detectors", "composites", "fast", "golden")
PART = r"(PA_[A-Z0-9]+_[A-Z]+)"  # of a path: which paper it shows


def collect(product: str, workspace: Workspace) -> dict[str, Any]:
    """Return what the last comparison of `product` found."""
    content = read_content(workspace.compare(product))
    return _without_folds({key: content[key] for key in KEPT if key in content})


def table(product: str, workspace: Workspace) -> dict[str, Any]:
    """Return what a comparison of `product` says without its pictures, for networks that another machine fitted and kept.

    Read are the metric table and each detector's training.json; the size of its tensors is not known then.
    """
    settings, rows, natives, figures = _measured(product, workspace)
    detectors = {name: with_spread([_detector(name, figures[name], natives, workspace.detector(product, name))]) for name in figures}
    y_N = natives["label"] == "defect"
    content = {"product": product, "size": settings.size.plain, "n_normals": int((~y_N).sum()), "n_defects": int(y_N.sum()), "detectors": detectors}
    return _without_folds(content | composites(settings, _seconds(figures), rows, natives, workspace.checkpoints / product / "compare"))


def slices(product: str, workspace: Workspace) -> dict[str, Any]:
    """Return, for every kind of part in the metric table by itself, the systems' figures over its own outer folds.

    Networks are those of the whole product; what comes after the metric table is done kind by kind.
    """
    settings, rows, natives, figures = _measured(product, workspace)
    kind_N = rows["path"].str.extract(PART, expand=False)
    found = {}
    for kind in sorted(kind_N.unique()):
        own = kind_N == kind
        part, native = rows[own].reset_index(drop=True), natives[own].reset_index(drop=True)
        judged = composites(settings, _seconds(figures), part, native, workspace.checkpoints / product / "slices" / kind)
        found[kind] = _slice(native, judged["composites"])
        print(f"{kind}: {len(part)} images")
    return {"kinds": found, "size": settings.size.plain, "detectors": list(figures)}


def _measured(product: str, workspace: Workspace) -> tuple[Product, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Return the product's settings, metric table, native scores and the detectors' figures in native.json."""
    folder = workspace.metrics(product)
    rows = read_table(folder / tables.FILE, schema_version=schemas.METRIC_TABLE)
    natives = read_table(folder / tables.NATIVES_FILE, schema_version=schemas.NATIVE)
    figures = read_json(folder / tables.NATIVE_FILE, schema_version=schemas.NATIVE)["detectors"]
    return load_product(workspace.params_file, product), rows, natives, figures


def _seconds(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the seconds that each detector takes for an image."""
    return {name: one["seconds_per_image"] for name, one in figures.items()}


def _detector(name: str, figures: Mapping[str, Any], natives: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """Return one detector's row, but for its further scores."""
    training = read_json(folder / "training.json", schema_version=schemas.TRAINING)
    return detector_entry(name, native=figures, training=training, natives=natives, scores=pd.DataFrame(), tensors_mib=None)


def _without_folds(content: dict[str, Any]) -> dict[str, Any]:
    """Return a comparison without single folds, which the intervals came from."""
    judged = content["composites"]
    judged["systems"] = {name: {key: value for key, value in one.items() if key != "folds"} for name, one in judged["systems"].items()}
    return content


def _slice(natives: pd.DataFrame, judged: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page tells of one kind of part."""
    n_defects = int((natives["label"] == "defect").sum())
    systems = {name: {"detectors": one["detectors"], "figures": {FIGURE: one["figures"][FIGURE]}} for name, one in judged["systems"].items()}
    return {"n_normals": len(natives) - n_defects, "n_defects": n_defects, "systems": systems}


def read_found() -> dict[str, Any]:
    """Return the committed comparisons: whole products, and products by kinds of part."""
    return read_json(FOUND, schema_version=SCHEMA_VERSION) if FOUND.is_file() else {"products": {}, "slices": {}}


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("act", nargs="?", choices=("collect", "table", "slices"))
    parser.add_argument("product", nargs="?")
    parser.add_argument("--workspace", type=Path, default=ROOT)
    options = parser.parse_args()
    found = read_found()
    if options.act is not None:
        group, act = {"collect": ("products", collect), "table": ("products", table), "slices": ("slices", slices)}[options.act]
        found[group][options.product] = act(options.product, Workspace(root=options.workspace.resolve()))
        write_json(FOUND, {key: found[key] for key in ("products", "slices")}, schema_version=SCHEMA_VERSION)
    PAGE.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
