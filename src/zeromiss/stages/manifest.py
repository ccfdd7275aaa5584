"""Stage `manifest`: raw images, with the labels that people changed, to checked facts, near-duplicates, splits, shortcuts and the reference for alignment."""

from pathlib import Path
from typing import Any

import pandas as pd

from zeromiss import schemas
from zeromiss.errors import ZeromissError
from zeromiss.files import write_json
from zeromiss.images import alignable, labels, near_duplicates, shortcuts
from zeromiss.images.manifest import COUNTS_FILE, FILE, SCHEMA_VERSION, SPLITS, manifest_rows, read_facts
from zeromiss.images.raw import INDEX, LABELS, read_index
from zeromiss.images.reference import write_alignment
from zeromiss.images.references import refuse_gaps
from zeromiss.images.split import assign_splits
from zeromiss.images.validate import check_images
from zeromiss.params import Product
from zeromiss.stage_params import ThresholdParams
from zeromiss.stages.base import RunLog
from zeromiss.tables import write_table
from zeromiss.threshold.umbrella import check_umbrella
from zeromiss.workspace import Workspace


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Read the raw index and label changes; write the manifest, what was found about its images, and align/; return the counts by split and label.

    Raises ZeromissError, with where the page of all checks lies, when an image cannot be judged or split; also when one
    cannot be laid over the reference, or lacks the reference or design that others have.
    """
    raw = workspace.raw(product.name)
    docs, folder = workspace.quality(product.name) / "manifest", raw.relative_to(workspace.root)
    entries = read_index(raw)
    if not entries:
        raise ZeromissError(f"{raw / INDEX} names no images: ingest some")
    refuse_gaps([(entry.path, entry.reference, entry.design) for entry in entries], product)
    facts, relabelled = labels.apply_changes(
        read_facts(raw, entries), labels.read_changes(workspace.labels(product.name)), file=workspace.labels(product.name)
    )
    duplicates = near_duplicates.find_near_duplicates(facts, raw, mode=product.manifest.near_duplicates)
    facts = near_duplicates.group_parts(facts, duplicates)
    split = _split(facts, product, docs=docs, folder=folder)
    _check_threshold_set(facts[split == "threshold"], product.threshold)
    rows = manifest_rows(facts, split, seed=product.seed)
    duplicates, counts = near_duplicates.with_splits(duplicates, rows), count(rows)
    reference = _reference(product, rows, raw, log)
    limits = {"label": product.manifest.shortcut_limit, "split": product.manifest.shift_limit}
    properties = shortcuts.read_properties(rows, raw)
    found = shortcuts.find_shortcuts(properties, limits=limits)
    out = workspace.manifest(product.name)
    write_alignment(workspace.alignment(product.name), product.align, raw=raw, reference=reference, size=product.size)
    write_table(out / FILE, rows, schema_version=SCHEMA_VERSION)
    write_json(out / COUNTS_FILE, {"seed": product.seed, "counts": counts}, schema_version=schemas.COUNTS)
    write_json(out / labels.FILE, relabelled, schema_version=labels.SCHEMA_VERSION)
    write_table(out / shortcuts.PROPERTIES_FILE, properties, schema_version=schemas.PROPERTIES)
    write_json(out / near_duplicates.FILE, duplicates, schema_version=schemas.DUPLICATES)
    write_json(out / shortcuts.FILE, found, schema_version=shortcuts.SCHEMA_VERSION)
    log.metrics({f"shortcut.{check['question']}.{check['property']}": check["auc"] for check in found["checked"]})
    log.tags({"shortcuts": found["sentence"]})
    if found["together_auc"] is not None:
        log.metrics({"shortcut.label.together": found["together_auc"]})
    _log_labels(relabelled, out / labels.FILE, log)
    _log_duplicates(duplicates, out / near_duplicates.FILE, log)
    log.metrics({f"{name}_{label}": float(number) for name, of in counts.items() for label, number in of.items()})
    print(sentence(counts))
    if relabelled["sentence"]:
        print(f"labels: {relabelled['sentence']}")
    if duplicates["sentence"]:
        print(f"near-duplicates: {duplicates['sentence']}")
    print(f"shortcuts: {found['sentence']}")
    return {"counts": counts}


def _check_threshold_set(rows: pd.DataFrame, params: ThresholdParams) -> None:
    """Refuse too few defects for the rule umbrella before anything is trained."""
    if params.rule == "umbrella":
        check_umbrella(rows.loc[rows["label"] == "defect", "part_id"].nunique(), params)


def _log_labels(relabelled: dict[str, Any], file: Path, log: RunLog) -> None:
    """Record with the run how many labels people changed, and the list of them where there are any."""
    log.metrics({f"labels.{kind}": float(len(relabelled[kind])) for kind in ("changed", "unsure", "confirmed")})
    if relabelled["sentence"]:
        log.tags({"labels": relabelled["sentence"]})
        log.artifact(file)


def _log_duplicates(duplicates: dict[str, Any], file: Path, log: RunLog) -> None:
    """Record with the run how many near-duplicates were found, and the list of them where there are any."""
    groups = duplicates["groups"]
    log.metrics({"near_duplicates.pairs": float(len(duplicates["pairs"])), "near_duplicates.groups": float(len(groups))})
    if duplicates["sentence"]:
        log.tags({"near_duplicates": duplicates["sentence"]})
    if groups:
        log.artifact(file)


def _reference(product: Product, rows: pd.DataFrame, raw: Path, log: RunLog) -> str | None:
    """Choose the reference, if images are aligned, and check that every image can be laid over it."""
    reference = alignable.choose_reference(rows, product.align, raw=raw)
    if reference is not None:
        reduced = product.metrics.decode == "reduced"
        motions = alignable.check_alignable(rows, product.align, raw=raw, reference=reference, size=product.size, reduced=reduced)
        log.metrics(alignable.summary(motions))
        print(alignable.sentence(motions, reference))
    return reference


def _split(facts: pd.DataFrame, product: Product, *, docs: Path, folder: Path) -> pd.Series:
    """Return the splits of checked images; what is wrong with an image is told before too few of them are."""
    mask = product.manifest.mask
    try:
        split = assign_splits(facts, params=product.manifest, mask=mask, seed=product.seed)
    except ZeromissError as refusal:
        check_images(facts, None, params=product.manifest, docs=docs, folder=folder)
        raise ZeromissError(f"{refusal}; all checks are in {docs / 'index.html'}") from None
    check_images(facts, split, params=product.manifest, docs=docs, folder=folder)
    return split


def count(rows: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return how many images of each label every split has."""
    found = rows.groupby(["split", "label"]).size()
    return {split: {label: int(found.get((split, label), 0)) for label in LABELS} for split in SPLITS}


def sentence(counts: dict[str, dict[str, int]]) -> str:
    """Say in one line what the splits hold."""
    train, mask, abnormal, table, threshold, audit = (counts[split] for split in SPLITS)
    teach = f"{abnormal['defect']} defects teach what to redraw, " if abnormal["defect"] else ""
    aside = f"{threshold['defect']} defects set the threshold and do nothing else, " if threshold["defect"] else ""
    return (
        f"manifest: {train['normal']} normal images train, {mask['normal']} make the mask, {teach}{table['normal']} and "
        f"{table['defect']} defects are the metric table, {aside}{audit['normal']} and {audit['defect']} defects are locked "
        "away"
    )
