"""Stage `report`: one HTML page with the figures of a product's run, `index.html` beside `figures/`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from zeromiss.files import read_json, sha256_file
from zeromiss.images import manifest as manifests
from zeromiss.inspection.bundle import CLASSIFIER, MANIFEST, SUMMARY, VQGAN, BundleRecord, open_bundle
from zeromiss.inspection.folders import atomic_folder
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.summary import SCHEMA_VERSION as SUMMARY_SCHEMA
from zeromiss.metrics import table as tables
from zeromiss.params import Product
from zeromiss.reports.composition import composition
from zeromiss.reports.examples import Choice, hardest_defect, spread, write_strip
from zeromiss.reports.families import family_rows
from zeromiss.reports.figures import influence_bars, save_figure, score_distributions, training_curves
from zeromiss.reports.influence import influence
from zeromiss.reports.page import Example, ReportData, write_page
from zeromiss.selection.store import load_classifier
from zeromiss.stages.base import RunLog
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

PAGE, FIGURES, SAMPLES = "index.html", "figures", "samples.png"
SHOWN_DEFECTS, SHOWN_NORMALS, SHOWN_METRICS, REPEATS = 5, 4, 10, 3


@dataclass(frozen=True, kw_only=True)
class Results:
    """What the earlier stages wrote, read."""

    record: BundleRecord
    summary: dict[str, Any]
    families: dict[str, Any]
    pooled: pd.DataFrame  # the winner's out-of-fold scores: path, part_id, label, family, probability
    manifest: pd.DataFrame
    table: pd.DataFrame
    types: list[dict[str, Any]]  # the threshold's entry of each defect type
    training: dict[str, Any]
    history: pd.DataFrame


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Write the report of `product`, whole or not at all, and record the page and its figures with the run.

    Raises ZeromissError when an earlier stage's file is missing or the bundle is not as it was packed.
    """
    results = _read(product.name, workspace)
    target = workspace.report(product.name)
    with atomic_folder(target) as draft:
        figures = _draw_figures(results, workspace.bundle(product.name), draft / FIGURES, seed=product.seed)
        examples = _draw_examples(product, workspace, results.pooled, draft / FIGURES)
        data = ReportData(
            summary=results.summary,
            statement=results.record.threshold.statement,
            families=family_rows(results.families),
            composition=composition(results.manifest),
            defect_types=results.types,
            figures=figures,
            samples=[workspace.detector(product.name, VQGAN) / SAMPLES],
            training=_training_facts(results.training),
            provenance=_provenance(product, workspace, results.record),
            **examples,
        )
        write_page(draft / PAGE, data)
    for path in (target / PAGE, *sorted((target / FIGURES).iterdir())):
        log.artifact(path)
    return {"page": str(target / PAGE)}


def _read(name: str, workspace: Workspace) -> Results:
    """Read what the earlier stages wrote."""
    selection, detector = workspace.selection(name), workspace.detector(name, VQGAN)
    families = read_json(selection / "families.json", schema_version=1)
    pooled = read_table(selection / "oof.parquet", schema_version=1)
    return Results(
        record=open_bundle(workspace.bundle(name)),
        summary=read_json(workspace.bundle(name) / SUMMARY, schema_version=SUMMARY_SCHEMA),
        families=families,
        pooled=pooled[pooled["family"] == families["winner"]].reset_index(drop=True),
        manifest=read_table(workspace.manifest(name) / manifests.FILE, schema_version=manifests.SCHEMA_VERSION),
        table=read_table(workspace.metrics(name) / tables.FILE, schema_version=tables.SCHEMA_VERSION),
        types=read_json(workspace.threshold(name) / "threshold.json", schema_version=1)["types"],
        training=read_json(detector / "training.json", schema_version=1),
        history=read_table(detector / "history.parquet", schema_version=1),
    )


def _draw_figures(results: Results, bundle: Path, folder: Path, *, seed: int) -> dict[str, Path]:
    """Draw distributions, influence and training curves; return their files."""
    folder.mkdir()
    scores = results.pooled.groupby("label")["probability"]
    columns = list(results.record.features)
    labels = (results.table["label"] == "defect").to_numpy(dtype=int)
    classifier = load_classifier(bundle / CLASSIFIER)
    ranked = influence(classifier, results.table[columns], labels, repeats=REPEATS, seed=seed)
    drawn = {
        "distributions": score_distributions(
            scores.get_group("normal").to_numpy(), scores.get_group("defect").to_numpy(), results.record.threshold.value
        ),
        "influence": influence_bars(ranked.head(SHOWN_METRICS)),
        "curves": training_curves(results.history, [name for name in results.history if name != "step"]),
    }
    for name, figure in drawn.items():
        save_figure(folder / f"{name}.svg", figure)
    return {name: folder / f"{name}.svg" for name in drawn}


def _draw_examples(product: Product, workspace: Workspace, pooled: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """Judge the chosen images of the table and write their strips; return the page's examples."""
    inspector = Inspector.load(workspace.bundle(product.name))
    hardest = hardest_defect(pooled)
    chosen = {
        "hardest": [hardest],
        "defects": spread(pooled, "defect", SHOWN_DEFECTS, skip=1),
        "normals": spread(pooled, "normal", SHOWN_NORMALS),
    }
    drawn: dict[str, list[Example]] = {name: [] for name in chosen}
    pairs = [(name, choice) for name, choices in chosen.items() for choice in choices]
    for name, choice in tqdm(pairs, desc="report", unit="image"):
        strip = folder / f"{name}-{len(drawn[name]) + 1}.jpg"
        write_strip(strip, inspector.examine(workspace.raw(product.name) / choice.path), boxes=product.inspection.boxes)
        drawn[name].append(_example(choice, strip, inspector.threshold))
    return {**drawn, "hardest": drawn["hardest"][0]}


def _example(choice: Choice, strip: Path, threshold: float) -> Example:
    """Return a choice with its strip."""
    return Example(choice=choice, strip=strip, abnormal=choice.score >= threshold)


def _training_facts(training: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is worth telling of the training, in words."""
    quality = training["psnr_unseen_normal"]
    return [
        ("Steps", f"{training['steps']} in {training['seconds']:.0f} s"),
        ("Weights", f"{training['parameters']:,}"),
        ("PSNR on unseen normal images", "none were put aside" if quality is None else f"{quality:.2f} dB"),
        ("Codes in use", f"{100 * training['codes_used']:.1f} % (perplexity {training['perplexity']:.0f})"),
    ]


def _provenance(product: Product, workspace: Workspace, record: BundleRecord) -> list[tuple[str, str]]:
    """Return seed, SHA-256 of the files the figures rest on, and the libraries' versions."""
    name = product.name
    return [
        ("product, profile, seed", f"{name}, {product.profile}, {product.seed}"),
        ("side of the judged image", f"{product.size} pixels"),
        ("SHA-256 of the manifest", sha256_file(workspace.manifest(name) / manifests.FILE)),
        ("SHA-256 of the metric table", sha256_file(workspace.metrics(name) / tables.FILE)),
        ("SHA-256 of the network", record.files[f"{VQGAN}/model.safetensors"]),
        ("SHA-256 of the classifier", record.files[CLASSIFIER]),
        ("SHA-256 of bundle.json", sha256_file(workspace.bundle(name) / MANIFEST)),
        ("feature extractor", f"{record.backbone.name}, weights {record.backbone.fingerprint}"),
        ("libraries", ", ".join(f"{library} {version}" for library, version in record.versions.items())),
    ]
