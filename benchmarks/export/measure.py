"""How far exports of a real product's model lie from torch, with the family in charge and with every other one.

    python -m benchmarks.export.measure PRODUCT[@ALIAS|/VERSION]

Run inside a workspace whose model measures in fp32, with the tables that it was chosen on. Its networks and the whole audit set
(the metric table where there is none) are measured once with torch and once with each engine; then every family, with the parameters
that the selection found, is fitted on the table and scores both. A verdict flips where the scores lie on either side of the
family's lowest defect of the selection. Labels of the audit set are not read.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from zeromiss import schemas
from zeromiss.edge.check import TOLERANCE
from zeromiss.edge.engines import ENGINES
from zeromiss.edge.export import checked_images
from zeromiss.edge.folder import write_folder
from zeromiss.edge.runtime import EdgeInspector
from zeromiss.files import read_json, write_json
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.verdict import ModelName
from zeromiss.params import load_product
from zeromiss.registry.publish import download_bundle
from zeromiss.registry.reference import resolve
from zeromiss.registry.store import reading
from zeromiss.selection.fit import Recipe, fit_pipeline
from zeromiss.selection.probability import defect_probability
from zeromiss.selection.source import read_source
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

SCHEMA_VERSION = 1
RESULT = Path(__file__).with_name("measured.json")
WORST = 5  # columns named
STEP, SHARE = 1e-4, 0.1  # an image steps where more than this share of its columns lies further apart, in standard deviations


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", metavar="PRODUCT[@ALIAS|/VERSION]")
    workspace = Workspace.find()
    product, version = resolve(parser.parse_args().model, workspace)
    bundle = download_bundle(reading(workspace), product, version)
    name, paths = checked_images(product, workspace)
    inspector = Inspector.load(bundle)
    rows = {"torch": table([inspector.examine(path).measurement.features for path in tqdm(paths, desc="torch", unit="image")], inspector)}
    with tempfile.TemporaryDirectory() as scratch:
        for engine in ENGINES:
            folder = Path(scratch) / engine
            folder.mkdir()
            write_folder(folder, bundle, model=ModelName(name=product, version=version), engine=engine)
            edge = EdgeInspector(folder)
            found = [{k: v for one in edge.measure(path) for k, v in one.features.items()} for path in tqdm(paths, desc=engine, unit="image")]
            rows[engine] = table(found, inspector)
    families = read_json(workspace.selection(product) / "families.json", schema_version=schemas.SELECTION)
    result = {"product": product, "version": version, "images": name, "n": len(paths), "tolerance": TOLERANCE, "winner": families["winner"]}
    result["columns"] = {engine: columns(rows["torch"], rows[engine]) for engine in ENGINES}
    result["families"] = by_family(rows, families, workspace, product)
    write_json(RESULT, result, schema_version=SCHEMA_VERSION)


def table(features: list[dict[str, float]], inspector: Inspector) -> pd.DataFrame:
    """Return one row an image, with the columns that the classifier reads."""
    return pd.DataFrame(features)[list(inspector.features)]


def columns(torch: pd.DataFrame, edge: pd.DataFrame) -> dict[str, Any]:
    """Return how far columns lie apart, in standard deviations of the column, which are worst, and how many images step.

    Rounding moves a column by some 1e-6; an image steps where it changed what is measured: another code, or another box.
    """
    apart = (torch - edge).abs() / torch.std().where(torch.std() > 0, 1.0)
    worst = apart.max().sort_values(ascending=False)[:WORST]
    steps = int(((apart > STEP).mean(axis=1) > SHARE).sum())
    return {"n": apart.shape[1], "median": float(np.median(apart)), "images_stepping": steps, "worst": worst.to_dict()}


def by_family(rows: dict[str, pd.DataFrame], families: dict[str, Any], workspace: Workspace, product: str) -> dict[str, Any]:
    """Return for every family and engine how far its scores lie apart, how many above the tolerance, and how many verdicts flip."""
    params = load_product(workspace.params_file, product)
    pools = read_table(workspace.selection(product) / "oof.parquet", schema_version=schemas.SELECTION)
    source = read_source(read_table(workspace.metrics(product) / "table.parquet", schema_version=schemas.METRIC_TABLE), params.selection.detectors)
    chosen = params.selection
    recipe = Recipe(correlation=chosen.correlation, smote_neighbours=None, seed=params.seed, most=chosen.most, draw_tails_in=chosen.tails == "asinh")
    found = {}
    for family, entry in families["families"].items():
        fitted = fit_pipeline(family, entry["params"], source.features, source.y_N, recipe)
        scores = {name: defect_probability(fitted, one) for name, one in rows.items()}
        pool = pools[pools["family"] == family]
        threshold = float(pool["probability"][pool["label"] == "defect"].min())
        found[family] = {"threshold": threshold} | {engine: apart(scores["torch"], scores[engine], threshold) for engine in ENGINES}
    return found


def apart(torch_N: np.ndarray, edge_N: np.ndarray, threshold: float) -> dict[str, float]:
    """Return how far two programs' scores of the same images lie apart."""
    gap_N = np.abs(torch_N - edge_N)
    return {
        "largest": float(gap_N.max()),
        "mean": float(gap_N.mean()),
        "above_tolerance": int((gap_N > TOLERANCE).sum()),
        "flipped": int(((torch_N >= threshold) != (edge_N >= threshold)).sum()),
    }


if __name__ == "__main__":
    main()
