"""Stage `compare`: all detectors of a product on the same images, alone and stacked; tables, figures, maps, one page.

The training flow leaves it out: `zeromiss compare PRODUCT` runs it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zeromiss import schemas
from zeromiss.backbones.load import load_backbone
from zeromiss.detectors.catalogue import CATALOGUE
from zeromiss.detectors.images import ImageFiles
from zeromiss.detectors.load import load_detector
from zeromiss.detectors.store import MODEL
from zeromiss.files import read_json, sha256_file, write_json
from zeromiss.images import manifest as manifests
from zeromiss.images import shortcuts
from zeromiss.images.reader import open_reader
from zeromiss.images.staging import Staging
from zeromiss.metrics import table as tables
from zeromiss.metrics.columns import score_columns
from zeromiss.metrics.mask import load_mask_file
from zeromiss.metrics.stack import Stack, stack_of
from zeromiss.metrics.variation import load_variation
from zeromiss.params import Product
from zeromiss.reports.figures import save_figure
from zeromiss.reports.systems import COSTS, FILE, RANKED, SCHEMA_VERSION, choose_images, detector_entry, with_spread
from zeromiss.reports.systems_figures import honest_intervals, roc_of_all
from zeromiss.reports.systems_page import write_page
from zeromiss.reports.systems_words import system_title
from zeromiss.selection.composites import fast_members, judge_systems, systems
from zeromiss.selection.matched_auroc import matched_scores, native_scores
from zeromiss.stages.base import RunLog
from zeromiss.stages.compare_pictures import MAP_NORMALS, baselines, compare_golden, draw_embeddings, draw_maps
from zeromiss.stages.compare_seeds import refit
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

FIGURES = "figures"


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Write `data/14_compare/<product>/`, whole or not at all: `compare.json`, figures, and the page made of both.

    What takes long is kept outside: outer folds and further seeds go on where a run was stopped. Raises ZeromissError
    when an earlier stage's file is missing, or no system can be judged.
    """
    measured, detectors = workspace.metrics(product.name), workspace.detector(product.name, ".")
    manifest = read_table(workspace.manifest(product.name) / manifests.FILE, schema_version=manifests.SCHEMA_VERSION)
    rows = manifest[manifest["split"] == "table"]
    natives = read_table(measured / tables.NATIVES_FILE, schema_version=schemas.NATIVE)
    stack = _stack(product, measured, detectors)
    entries = [_entries(product.detectors, measured, detectors, stack)]
    for number in range(1, product.compare.seeds):
        inside = refit(product, workspace, product.seed + number)
        entries.append(_entries(product.detectors, inside.metrics(product.name), inside.detector(product.name, "."), stack))
    properties = read_table(workspace.manifest(product.name) / shortcuts.PROPERTIES_FILE, schema_version=schemas.PROPERTIES)
    content = {
        "product": product.name,
        "seed": product.seed,
        "size": product.size.plain,
        "table": sha256_file(measured / tables.FILE),
        "n_normals": int((natives["label"] == "normal").sum()),
        "n_defects": int((natives["label"] == "defect").sum()),
        "matched": matched_scores(native_scores(natives), properties),
        "detectors": {name: with_spread([one[name] for one in entries]) for name in product.detectors},
    }
    seconds = {name: entry["seconds_per_image"] for name, entry in content["detectors"].items()}
    table = read_table(measured / tables.FILE, schema_version=schemas.METRIC_TABLE)
    content |= composites(product, seconds, table, natives, workspace.checkpoints / product.name / "compare")
    staging = Staging(workspace.compare(product.name))
    staging.recover()
    with staging:
        (staging.folder / FIGURES).mkdir()
        content |= _draw(product, content, manifest, rows, natives, stack, workspace=workspace, folder=staging.folder)
        write_json(staging.folder / FILE, content, schema_version=SCHEMA_VERSION)
        write_page(staging.folder / workspace.compare_page(product.name).name, content, staging.folder)
        staging.swap()
    _report(content, workspace.compare(product.name), workspace.compare_page(product.name), log)
    return content


def _stack(product: Product, measured: Path, detectors: Path) -> Stack:
    """Return the product's trained detectors as the metrics stage measured with them."""
    loaded = [load_detector(detectors / name) for name in product.detectors]
    files = {one.name: measured / tables.mask_file(one.name) for one in loaded}
    masks = {name: load_mask_file(file) for name, file in files.items() if file.is_file()}
    backbone = load_backbone(product.metrics.backbone, product.metrics.backbone_path)
    variations = {one.name: load_variation(measured / tables.variation_file(one.name)) for one in loaded}
    return stack_of(loaded, backbone=backbone, params=product.metrics, masks=masks, variations=variations)


def _entries(names: Sequence[str], measured: Path, detectors: Path, stack: Stack) -> dict[str, dict[str, Any]]:
    """Return every detector's row of figures from the folders of one seed."""
    native = read_json(measured / tables.NATIVE_FILE, schema_version=schemas.NATIVE)["detectors"]
    natives = read_table(measured / tables.NATIVES_FILE, schema_version=schemas.NATIVE)
    table = read_table(measured / tables.FILE, schema_version=schemas.METRIC_TABLE)
    further = {member.detector.name: member.detector.score_names or () for member in stack.members}
    found = {}
    for name in names:
        columns = dict(zip(score_columns(name, further[name])[1:], further[name], strict=True))
        found[name] = {"title": CATALOGUE[name].title, "source": CATALOGUE[name].source} | detector_entry(
            name,
            native=native[name],
            training=read_json(detectors / name / "training.json", schema_version=schemas.TRAINING),
            natives=natives,
            scores=table[list(columns)].rename(columns=columns),
            tensors_mib=(detectors / name / MODEL).stat().st_size / 2**20,
        )
    return found


def composites(product: Product, seconds: Mapping[str, float], table: pd.DataFrame, natives: pd.DataFrame, kept: Path) -> dict[str, Any]:
    """Return every system under the honest protocol, and which detectors are quick enough to stand together.

    seconds: that each detector takes for an image; table, natives: the metric table and the native scores, or the same rows
    of both; kept: where finished folds lie. Raises ZeromissError as `judge_systems` does.
    """
    limit, cheapest = product.compare.speed, min(seconds, key=seconds.__getitem__)
    bases = {"fast_stack": cheapest, "first_stack": product.detectors[0]}
    params = product.selection.model_copy(update={name: getattr(product.compare, name) for name in ("families", "draws", "scoring", "most")})
    judged = judge_systems(table, natives, systems(seconds, limit), params, seed=product.seed, folder=kept)
    fast = {name: {"base": base, "members": list(fast_members(seconds, base, limit))} for name, base in bases.items()}
    return {"composites": judged, "fast": {"limit": limit} | fast}


def _draw(
    product: Product, content: dict[str, Any], manifest: pd.DataFrame, rows: pd.DataFrame, natives: pd.DataFrame, stack: Stack, *, workspace: Workspace, folder: Path
) -> dict[str, Any]:
    """Draw figures and maps into `folder`; return their names and what they show."""
    raw, align = workspace.raw(product.name), workspace.alignment(product.name)
    taught, judged_by = (open_reader(align, product.size, reduced=reduced) for reduced in (False, product.metrics.decode == "reduced"))
    y_N, first = (natives["label"] == "defect").to_numpy(np.int64), product.detectors[0]
    judged = content["composites"]["systems"]
    figures = {
        "roc": roc_of_all(y_N, {name: natives[name].to_numpy(np.float64) for name in product.detectors}),
        "honest": honest_intervals(judged, {name: system_title(name, content) for name in judged}),
        "tsne": None,
        "golden": None,
    }
    golden = None
    if "cpcae" in product.detectors:
        network = next(member.detector for member in stack.members if member.detector.name == "cpcae")
        table = ImageFiles([raw / path for path in natives["path"]], taught, keep=True)
        figures["tsne"] = draw_embeddings(network, table, y_N, product.seed)
        content["detectors"]["cpcae"]["scores"] |= baselines(network, manifest, table, y_N, taught, raw=raw)
    if "ganodip" in product.detectors:
        own = content["detectors"]["ganodip"]["fpr_at_zero_missed"]
        golden, figures["golden"] = compare_golden(manifest, raw, align, product.ganodip, size=product.size, seed=product.seed, own=own)
    for name, figure in figures.items():
        if figure is not None:
            save_figure(folder / FIGURES / f"{name}.svg", figure)
    chosen = choose_images(natives, first, product.compare.maps, product.seed)
    shown = draw_maps(stack, chosen, rows, judged_by, raw=raw, seed=product.seed, folder=folder)
    named = {name: None if figure is None else f"{FIGURES}/{name}.svg" for name, figure in figures.items()}
    return {"figures": named, "golden": golden, "images": shown, "images_by": first, "map_normals": MAP_NORMALS}


def _report(content: dict[str, Any], folder: Path, page: Path, log: RunLog) -> None:
    """Tell the run what was found."""
    numbers = {
        f"{name}.{key}": float(entry[key]) for name, entry in content["detectors"].items() for key in (*RANKED, *COSTS) if entry[key] is not None
    }
    for name, entry in content["composites"]["systems"].items():
        numbers |= {f"{name}.{figure}.honest": found["mean"] for figure, found in entry["figures"].items()}
    log.metrics(numbers)
    for path in (page, folder / FILE, *sorted((folder / FIGURES).glob("*.svg"))):
        log.artifact(path)
