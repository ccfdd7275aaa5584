"""Stage `report`: figures, pictures and `report.json` of a product's run, of which its page is made once the gate has spoken."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from zeromiss import schemas
from zeromiss.detectors.vqgan.codebook import usage
from zeromiss.detectors.vqgan.evaluate import code_counts
from zeromiss.detectors.vqgan.store import load_vqgan
from zeromiss.files import read_json, sha256_file
from zeromiss.image_size import ImageSize
from zeromiss.images import labels, near_duplicates, shortcuts
from zeromiss.images import manifest as manifests
from zeromiss.images.reader import ImageReader
from zeromiss.inspection.bundle import CLASSIFIER, MANIFEST, SUMMARY, VQGAN, BundleRecord, bundled_aligner, open_bundle
from zeromiss.inspection.folders import atomic_folder
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.summary import SCHEMA_VERSION as SUMMARY_SCHEMA
from zeromiss.metrics import table as tables
from zeromiss.params import Product
from zeromiss.reports.composition import composition
from zeromiss.reports.curves_figures import detection_by_size, roc_with_passed
from zeromiss.reports.examples import Choice, hardest_defects, random_normals, save_jpeg, worst_alarms, write_columns
from zeromiss.reports.facts import FILE, Codebook, Gallery, InUse, Metric, ReportFacts, Shown, write_facts
from zeromiss.reports.figures import (
    code_use, influence_bars, reliability_curve, roc_curve, save_figure, score_distributions, training_curves,
)  # fmt: skip
from zeromiss.reports.influence import influence
from zeromiss.reports.pair_pictures import draw_duplicates, draw_shortcuts
from zeromiss.reports.thumbnails import thumbnail
from zeromiss.selection.judge import rates_at
from zeromiss.selection.store import load_classifier
from zeromiss.stages.base import RunLog
from zeromiss.tables import read_table
from zeromiss.threshold import curves, price, roc
from zeromiss.workspace import Workspace

FIGURES, SAMPLES = "figures", "samples.png"
SHOWN_DEFECTS, SHOWN_ALARMS, SHOWN_NORMALS, SHOWN_METRICS, REPEATS = 4, 4, 4, 10, 5
THUMBNAIL = 240  # pixels of the longer side of a hardest defect's picture
USAGE_IMAGES = 100  # normal images over which codes are counted


@dataclass(frozen=True, kw_only=True)
class Results:
    """What the earlier stages wrote, read; what a stage did not compute is None."""

    record: BundleRecord
    summary: dict[str, Any]
    families: dict[str, Any]
    pooled: pd.DataFrame  # the winner's out-of-fold scores: path, part_id, label, defect_type, family, probability
    manifest: pd.DataFrame
    table: pd.DataFrame
    threshold: dict[str, Any]
    trainings: dict[str, dict[str, Any]]  # of each detector in the bundle
    histories: dict[str, pd.DataFrame]
    calibration: dict[str, Any] | None
    duplicates: dict[str, Any]
    shortcuts: dict[str, Any] | None
    hardest: dict[str, Any]
    curves: dict[str, Any]
    roc: dict[str, Any]
    labels: dict[str, Any]


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Write `data/08_report/<product>/`, whole or not at all, and record its files with the run.

    Raises ZeromissError when an earlier stage's file is missing or the bundle is not as it was packed.
    """
    results, target = _read(product.name, workspace), workspace.report(product.name)
    with atomic_folder(target) as draft:
        pictures = draft / FIGURES
        pictures.mkdir()
        ranked = _ranked(results, workspace.bundle(product.name), seed=product.seed)
        counts = _count_codes(results, workspace.bundle(product.name), workspace.raw(product.name), product.size)
        facts = ReportFacts(
            product=product.name,
            bundle=sha256_file(workspace.bundle(product.name) / MANIFEST),
            summary=results.summary,
            threshold=results.threshold,
            families={key: results.families[key] for key in ("winner", "families")},
            composition=tuple(composition(results.manifest)),
            in_use=_in_use(results.pooled, results.record.threshold.value),
            honest=_honest(results.threshold, results.families),
            hardest=_with_thumbnails(results, workspace.raw(product.name), pictures),
            labels=results.labels,
            calibration=results.calibration,
            duplicates=draw_duplicates(results.duplicates, workspace.raw(product.name), pictures),
            shortcuts=draw_shortcuts(results.shortcuts, workspace.raw(product.name), pictures),
            trainings=results.trainings,
            codebook=counts if counts is None else _codebook(counts, min(USAGE_IMAGES, int((results.table["label"] == "normal").sum()))),
            influence=tuple(Metric(name=str(name), mean=row["mean"], std=row["std"]) for name, row in ranked.iterrows()),
            influence_repeats=REPEATS,
            gallery=_draw_gallery(product, workspace, results, pictures),
            figures=_draw_figures(results, ranked, counts, pictures),
            samples=_copy_samples({name: workspace.detector(product.name, name) / SAMPLES for name in results.record.detectors}, pictures),
            params=product.model_dump(mode="json"),
            files=_hashes(product.name, workspace, results.record),
            versions=results.record.versions,
        )
        write_facts(draft, facts)
    for path in (target / FILE, *sorted((target / FIGURES).glob("*.svg"))):
        log.artifact(path)
    return facts.model_dump(mode="json")


def _read(name: str, workspace: Workspace) -> Results:
    """Read what the earlier stages wrote."""
    selection, record = workspace.selection(name), open_bundle(workspace.bundle(name))
    learned = {detector: workspace.detector(name, detector) for detector in record.detectors}
    families = read_json(selection / "families.json", schema_version=schemas.SELECTION)
    pooled = read_table(selection / "oof.parquet", schema_version=schemas.SELECTION)
    return Results(
        record=record,
        summary=read_json(workspace.bundle(name) / SUMMARY, schema_version=SUMMARY_SCHEMA),
        families=families,
        pooled=pooled[pooled["family"] == families["winner"]].fillna({"defect_type": ""}).reset_index(drop=True),
        manifest=read_table(workspace.manifest(name) / manifests.FILE, schema_version=manifests.SCHEMA_VERSION),
        table=read_table(workspace.metrics(name) / tables.FILE, schema_version=schemas.METRIC_TABLE),
        threshold=read_json(workspace.threshold(name) / "threshold.json", schema_version=schemas.THRESHOLD),
        trainings={detector: read_json(folder / "training.json", schema_version=schemas.TRAINING) for detector, folder in learned.items()},
        histories={detector: read_table(folder / "history.parquet", schema_version=schemas.TRAINING) for detector, folder in learned.items()},
        calibration=_read_if_there(selection / "calibration.json", 1),
        duplicates=read_json(workspace.manifest(name) / near_duplicates.FILE, schema_version=schemas.DUPLICATES),
        shortcuts=_read_if_there(workspace.manifest(name) / shortcuts.FILE, shortcuts.SCHEMA_VERSION),
        hardest=read_json(workspace.threshold(name) / price.FILE, schema_version=price.SCHEMA_VERSION),
        curves=read_json(workspace.threshold(name) / curves.FILE, schema_version=curves.SCHEMA_VERSION),
        roc=read_json(workspace.threshold(name) / roc.FILE, schema_version=roc.SCHEMA_VERSION),
        labels=read_json(workspace.manifest(name) / labels.FILE, schema_version=labels.SCHEMA_VERSION),
    )


def _read_if_there(path: Path, version: int) -> dict[str, Any] | None:
    """Read a file that runs made before did not write; a broken one is refused."""
    return read_json(path, schema_version=version) if path.is_file() else None


def _in_use(pooled: pd.DataFrame, threshold: float) -> InUse:
    """Return the figures of the threshold in use on the winner's pooled scores."""
    labels, scores = (pooled["label"] == "defect").to_numpy(dtype=int), pooled["probability"].to_numpy(dtype=float)
    missed = int((scores[labels == 1] < threshold).sum())
    return InUse(missed=missed, **asdict(rates_at(labels, scores, threshold)))


def _honest(threshold: dict[str, Any], families: dict[str, Any]) -> dict[str, Any] | None:
    """Return the honest protocol's figures of the rule in use, None where it was left out or kept in the form used before."""
    honest = threshold.get("honest", families.get("honest"))
    return honest if honest and "repeats" in honest else None


def _ranked(results: Results, bundle: Path, *, seed: int) -> pd.DataFrame:
    """Return the metrics shown, the most influential first, with mean and std."""
    labels = (results.table["label"] == "defect").to_numpy(dtype=int)
    features = results.table[list(results.record.features)]
    return influence(load_classifier(bundle / CLASSIFIER), features, labels, repeats=REPEATS, seed=seed).head(SHOWN_METRICS)


def _count_codes(results: Results, bundle: Path, raw: Path, size: ImageSize) -> np.ndarray | None:
    """Return how often each code stands for a cell of the table's first normal images, (codes,); None without a VQGAN."""
    if VQGAN not in results.record.detectors:
        return None
    paths = results.table.loc[results.table["label"] == "normal", "path"].head(USAGE_IMAGES)
    reader = ImageReader(size, aligner=bundled_aligner(bundle, results.record))
    images = (torch.from_numpy(reader.read(raw / path)) for path in tqdm(paths, desc="codes", unit="image"))
    return code_counts(load_vqgan(bundle / VQGAN), images).numpy()


def _codebook(counts: np.ndarray, images: int) -> Codebook:
    """Return the codebook's figures."""
    _, perplexity = usage(torch.from_numpy(counts))
    return Codebook(codes=len(counts), used=int((counts > 0).sum()), perplexity=perplexity, images=images)


def _draw_figures(results: Results, ranked: pd.DataFrame, counts: np.ndarray | None, folder: Path) -> dict[str, str]:
    """Draw the figures; return their files by name, relative to the report's folder."""
    pooled, threshold = results.pooled, results.record.threshold.value
    labels, scores = (pooled["label"] == "defect").to_numpy(dtype=int), pooled["probability"].to_numpy(dtype=float)
    drawn = {
        "distributions": score_distributions(scores[labels == 0], scores[labels == 1], threshold),
        "roc": roc_curve(labels, scores, threshold),
        "roc-passed": roc_with_passed(results.roc, results.curves["passed"]),
        "influence": influence_bars(ranked),
    }
    if results.curves["by_size"] is not None:
        drawn["by-size"] = detection_by_size(results.curves["by_size"])
    if counts is not None:
        drawn["codebook"] = code_use(counts)
    for detector, history in results.histories.items():
        if len(history) > 1:
            drawn[f"curves-{detector}"] = training_curves(history, [name for name in history if name != "step"])
    if results.calibration is not None:
        drawn["calibration"] = _reliability(results.calibration)
    for name, figure in drawn.items():
        save_figure(folder / f"{name}.svg", figure)
    return {name: f"{FIGURES}/{name}.svg" for name in drawn}


def _reliability(calibration: dict[str, Any]) -> Figure:
    """Draw the reliability curve, with the calibrated probability where it helps."""
    helps = calibration["helps"]
    return reliability_curve(calibration["reliability"], (calibration["x"], calibration["y"]) if helps else ([], []))


def _draw_gallery(product: Product, workspace: Workspace, results: Results, folder: Path) -> Gallery:
    """Judge the chosen images of the table and draw their panels."""
    inspector, pooled = Inspector.load(workspace.bundle(product.name)), results.pooled
    alarms = worst_alarms(pooled, inspector.threshold, SHOWN_ALARMS)
    chosen = {
        "hardest": hardest_defects(pooled, SHOWN_DEFECTS),
        "alarms": alarms,
        "normals": random_normals(pooled, SHOWN_NORMALS, seed=product.seed, skip={choice.path for choice in alarms}),
    }
    tasks = [(name, place, choice) for name, choices in chosen.items() for place, choice in enumerate(choices, start=1)]
    drawn: dict[str, list[Shown]] = {name: [] for name in chosen}
    for name, place, choice in tqdm(tasks, desc="gallery", unit="image"):
        examination = inspector.examine(workspace.raw(product.name) / choice.path)
        panels = write_columns(folder, f"{name}-{place}", examination, boxes=product.inspection.boxes)
        drawn[name].append(_shown(choice, panels, inspector.threshold))
    return Gallery(**{name: tuple(shown) for name, shown in drawn.items()})


def _shown(choice: Choice, panels: dict[str, str], threshold: float) -> Shown:
    """Return a choice with its pictures."""
    files = {title: f"{FIGURES}/{panel}" for title, panel in panels.items()}
    return Shown(**vars(choice), abnormal=choice.score >= threshold, panels=files)


def _with_thumbnails(results: Results, raw: Path, folder: Path) -> dict[str, Any]:
    """Return what the hardest defects cost, each with its picture, the marked defect in outline."""
    masks = dict(zip(results.manifest["path"], results.manifest["mask"], strict=True))
    defects = []
    for one in results.hardest["defects"]:
        mask, name = masks.get(one["path"]), f"price-{one['rank']}.jpg"
        save_jpeg(folder / name, thumbnail(raw / one["path"], THUMBNAIL, raw / mask if isinstance(mask, str) else None))
        defects.append(one | {"picture": f"{FIGURES}/{name}"})
    return results.hardest | {"defects": defects}


def _copy_samples(samples: dict[str, Path], folder: Path) -> dict[str, str]:
    """Put what each detector made of normal images among the figures, as JPEG, where its training kept such."""
    found = {detector: path for detector, path in samples.items() if path.is_file()}
    for detector, path in found.items():
        save_jpeg(folder / f"samples-{detector}.jpg", _picture(path))
    return {detector: f"{FIGURES}/samples-{detector}.jpg" for detector in found}


def _picture(path: Path) -> np.ndarray:
    """Return an image file as uint8 RGB (H, W, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _hashes(name: str, workspace: Workspace, record: BundleRecord) -> dict[str, str]:
    """Return the SHA-256 of the files the page's figures rest on."""
    return {
        "manifest": sha256_file(workspace.manifest(name) / manifests.FILE),
        "metric table": sha256_file(workspace.metrics(name) / tables.FILE),
        "bundle.json": sha256_file(workspace.bundle(name) / MANIFEST),
        **{f"bundle: {path}": digest for path, digest in sorted(record.files.items())},
        f"weights of {record.backbone.name}": record.backbone.fingerprint,
    }
