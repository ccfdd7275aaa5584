"""The whole product over several seeds: another split, other weights, another search each time; docs/results/seeds.json, read by docs/results.md.

    python -m benchmarks.seeds solar_cell --seeds 0 1 2 3 4 --workspace DIR
    python -m benchmarks.seeds papers --papers DIR --seeds 0 1 2 3 4 --workspace DIR
    python -m benchmarks.seeds papers_each --papers DIR --seeds 0 --workspace DIR

Each seed runs the stages from the manifest to the threshold as `zeromiss run` does, in a folder of its own below the
workspace, without a registry. A seed's figures are written when it ends, so that a study may go on another day. What is
finished is not made again; `--again STAGE` makes that stage and those after it anew.
"""

import argparse
import csv
import importlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks.results import ROOT, SCHEMA_VERSION, SEEDS, read_seeds
from zeromiss import schemas
from zeromiss.files import read_json, write_json
from zeromiss.images.ingest import ingest
from zeromiss.metrics import table as tables
from zeromiss.params import Product, load_product
from zeromiss.stages.base import NoLog, stages_of
from zeromiss.tables import read_table
from zeromiss.threshold import curves
from zeromiss.workspace import Workspace

_LAST = "threshold"
_NATIVE = ("image_auroc", "fpr_at_zero_missed", "pixel_auroc", "pro")
_CHANGED: dict[str, dict[str, Any]] = {  # studies of products that params.yaml does not list: what differs from one that it does
    "pcba_references": {"of": "pcba", "layouts": 3, "detectors": ("reference", "patchknn")},
    "papers": {"of": "solar_cell", "size": 128, "detectors": ("vqgan", "patchknn")},
    "papers_each": {"of": "solar_cell", "size": 128, "detectors": ("patchknn",), "manifest": {"mask": 6}},  # 48 normal images each
}


def write_papers(folder: Path, out: Path, kind: str) -> None:
    """Write the CSV of all papers below `folder` (each in MVTec AD's layout), or of those named `kind` alone, and a link to the images."""
    out.mkdir(parents=True, exist_ok=True)
    link = out / "images"
    if not link.is_symlink():
        link.symlink_to(folder.resolve(), target_is_directory=True)
    with (out / "list.csv").open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["path", "label", "part_id", "mask"])
        for paper in sorted(path.name for path in folder.iterdir() if path.is_dir() and kind in ("", path.name)):
            for image in sorted([*(folder / paper).glob("train/*/*.png"), *(folder / paper).glob("test/*/*.png")]):
                part, good = image.relative_to(folder), image.parent.name == "good"
                mask = "" if good else str(Path("images", paper, "ground_truth", image.parent.name, f"{image.stem}_mask.png"))
                rows.writerow([Path("images", part), "normal" if good else image.parent.name, part.with_suffix(""), mask])


def product_of(study: str, seed: int, params: Path, source: Path | None) -> Product:
    """Return the product of a study with a seed."""
    changed = _CHANGED.get("papers_each" if study.startswith("papers_") else study, {})
    product = load_product(params, changed.get("of", study))
    plain = product.model_dump() | {"name": study.lower(), "seed": seed}
    plain |= {key: changed[key] for key in ("detectors", "size") if key in changed}
    plain["manifest"] |= changed.get("manifest", {})
    if "layouts" in changed:
        plain["source"] |= {"layouts": changed["layouts"]}
    if source is not None:
        plain |= {"source": {"kind": "csv", "path": str(source / "list.csv")}, "metrics": plain["metrics"] | {"fixed_position": False}}
    return Product.model_validate(plain)


def measure(product: Product, root: Path, again: str | None) -> dict[str, Any]:
    """Run the stages of a product in a workspace and return its figures."""
    workspace, name = Workspace(root=root), product.name
    if not workspace.raw(name).is_dir():
        ingest(product, workspace)
    stages = stages_of(product.detectors)
    stages = stages[: stages.index(_LAST) + 1]
    anew, seconds = False, {}
    for stage in stages:
        done = root / f"{stage}.seconds"
        anew = anew or stage == again or not done.is_file()
        if anew:
            begun = time.perf_counter()
            importlib.import_module(f"zeromiss.stages.{stage}").run(product, workspace, NoLog())
            done.write_text(f"{time.perf_counter() - begun:.1f}")
        seconds[stage] = float(done.read_text())
    return figures(product, workspace) | {"seconds": seconds}


def figures(product: Product, workspace: Workspace) -> dict[str, Any]:
    """Return what the stages measured: native figures, and those of the outer folds."""
    name = product.name
    families = read_json(workspace.selection(name) / "families.json", schema_version=schemas.SELECTION)
    native = read_json(workspace.metrics(name) / tables.NATIVE_FILE, schema_version=schemas.NATIVE)["detectors"]
    honest = families["honest"]
    outer = read_table(workspace.selection(name) / "outer.parquet", schema_version=schemas.SELECTION)
    folds = [one for _, one in outer.groupby(["repeat", "fold"])]
    auroc = [roc_auc_score(one["label"] == "defect", one["probability"]) for one in folds]
    passed = read_json(workspace.threshold(name) / curves.FILE, schema_version=curves.SCHEMA_VERSION)["passed"]
    return {
        "native": {detector: {key: one[key] for key in _NATIVE} for detector, one in native.items()},
        "n_normals": int((~_defects(outer)).sum() / outer["repeat"].nunique()),
        "n_defects": int(_defects(outer).sum() / outer["repeat"].nunique()),
        "family": families["winner"],
        "auroc": float(sum(auroc) / len(auroc)),
        "fpr": honest["fpr"]["mean"],
        "fnr": honest["fnr"]["mean"],
        "passed": {key: one["mean"] for key, one in passed.items()},
    }


def _defects(outer: pd.DataFrame) -> pd.Series:
    """Return which rows are defects."""
    return outer["label"] == "defect"


def studies(study: str, papers: Path | None, workspace: Path) -> Iterator[tuple[str, Path | None]]:
    """Yield the studies that a name stands for, each with the folder of its CSV, if it has one."""
    if not study.startswith("papers"):
        yield study, None
        return
    if papers is None:
        raise SystemExit(f"{study} needs --papers: the folder with one folder of each paper")
    kinds = [""] if study == "papers" else sorted(path.name for path in papers.iterdir() if path.is_dir())
    for kind in kinds:
        source = workspace / "papers" / (kind or "all")
        write_papers(papers, source, kind)
        yield f"papers_{kind.lower()}" if kind else "papers", source


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--papers", type=Path)
    parser.add_argument("--again")
    options = parser.parse_args()
    for study, source in studies(options.study, options.papers, options.workspace):
        for seed in options.seeds:
            root = options.workspace.resolve() / study / f"seed-{seed}"
            found = measure(product_of(study, seed, ROOT / "params.yaml", source and source.resolve()), root, options.again)
            kept = read_seeds()
            kept.setdefault(study, {})[str(seed)] = found
            write_json(SEEDS, {"studies": kept}, schema_version=SCHEMA_VERSION)
            print(study, seed, found)


if __name__ == "__main__":
    main()
