"""Two detectors from their stages to a verdict: one table, one bundle, and a bundle that leaves one of them out."""

import shutil
from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image

from tests.pipeline.test_stage_bundle import PARAMS, draw_manifest
from zeromiss.detectors.taught import read_taught
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, sha256_file
from zeromiss.images import manifest as manifests
from zeromiss.inspection.bundle import open_bundle
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.overlay import draw_overlay, draw_panels
from zeromiss.params import Product, resolve_product
from zeromiss.reports.facts import read_facts
from zeromiss.stages import bundle, metrics, report, selection, simplenet, threshold, vqgan
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace

NETWORK = {"steps": 2, "codebook_start": 1, "critic_start": 2, "critic_warmup": 1, "crop": 32, "batch": 1}
TOGETHER, ALONE = ("vqgan", "simplenet"), ("simplenet",)


def settings(workspace: Workspace, **selected: object) -> Product:
    """Return the toy product with two detectors; `selected` goes over its selection."""
    own = PARAMS["products"]["toy"]
    toy = own | {
        "detectors": list(TOGETHER),
        "vqgan": own["vqgan"] | NETWORK,
        "simplenet": {"epochs": 1, "least_steps": 2, "hidden": 8},
        "selection": own["selection"] | selected,
        "inspection": {"boxes": 3},
    }
    return resolve_product(PARAMS | {"products": {"toy": toy}}, "toy", origin=workspace.params_file)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace in which both detectors were fitted and measured, and a bundle of both made."""
    workspace = Workspace(root=tmp_path_factory.mktemp("stack"))
    draw_manifest(workspace)
    for stage in (vqgan, simplenet, metrics, selection, threshold, bundle, report):
        stage.run(settings(workspace), workspace, NoLog())
    return workspace


@pytest.fixture(scope="module")
def alone(made: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return the same with a classifier, a bundle and a report that rest on the second detector alone."""
    other = Workspace(root=tmp_path_factory.mktemp("alone") / "repository")
    shutil.copytree(made.root, other.root)
    for stage in (selection, threshold, bundle, report):
        stage.run(settings(other, detectors=list(ALONE)), other, NoLog())
    return other


def image(workspace: Workspace) -> str:
    """Return a defect of the table."""
    table = read_table(workspace.metrics("toy") / "table.parquet", schema_version=1)
    return workspace.raw("toy") / table.loc[table["label"] == "defect", "path"].iloc[0]


def test_the_table_holds_the_columns_of_both_and_native_scores_of_each(made: Workspace) -> None:
    table = read_table(made.metrics("toy") / "table.parquet", schema_version=1)
    natives = read_table(made.metrics("toy") / "native.parquet", schema_version=2)
    assert {name.split(".")[0] for name in table.columns if "." in name} == set(TOGETHER)
    assert natives["simplenet"].equals(table["simplenet.image.score"].rename("simplenet"))
    assert natives["vqgan"].equals(table["native_score"].rename("vqgan"))
    figures = read_json(made.metrics("toy") / "native.json", schema_version=2)["detectors"]
    assert tuple(figures) == TOGETHER and all(one["seconds_per_image"] > 0 for one in figures.values())


def test_a_bundle_of_both_judges_as_the_table_was_measured_and_says_what_it_holds(made: Workspace) -> None:
    record = open_bundle(made.bundle("toy"))
    assert record.detectors == TOGETHER and record.masked == ("vqgan",)
    assert {"vqgan/mask.safetensors", "vqgan/model.safetensors", "simplenet/config.json", "simplenet/model.safetensors"} <= set(record.files)
    inspector = Inspector.load(made.bundle("toy"))
    one = inspector.examine(image(made))
    many = next(inspector.examine_many([image(made)]))
    assert many.verdict == one.verdict and one.measurement.features == many.measurement.features
    assert tuple(draw_panels(one, boxes=3)) == ("original", "reconstruction", "difference", "patches")


def test_a_bundle_of_the_second_alone_holds_nothing_of_the_first(alone: Workspace) -> None:
    record = open_bundle(alone.bundle("toy"))
    assert record.detectors == ALONE and record.masked == ()
    assert not [name for name in record.files if "vqgan" in name]
    assert {name.split(".")[0] for name in record.features} == set(ALONE)
    summary = read_json(alone.bundle("toy") / "summary.json", schema_version=3)
    assert set(summary["detectors"]) == set(TOGETHER)  # what was measured is told all the same


def test_a_verdict_without_a_reconstruction_shows_the_map(alone: Workspace) -> None:
    examination = Inspector.load(alone.bundle("toy")).examine(image(alone))
    assert examination.measurement.image_hat_CHW is None and len(examination.verdict.patches) > 0
    panels = draw_panels(examination, boxes=3, side=128)
    assert tuple(panels) == ("original", "anomaly map", "patches")
    assert all(panel.shape == (128, 128, 3) for panel in panels.values())
    assert Image.fromarray(draw_overlay(examination, boxes=3)).width == 16 + 3 * (512 + 16)


def test_the_report_tells_what_each_detector_in_the_bundle_learned(made: Workspace, alone: Workspace) -> None:
    both, one = (read_facts(workspace.report("toy")) for workspace in (made, alone))
    assert tuple(both.trainings) == TOGETHER and tuple(one.trainings) == ALONE
    assert both.codebook is not None and one.codebook is None
    assert tuple(one.gallery.hardest[0].panels) == ("original", "anomaly map", "patches")
    assert set(one.samples) == set(ALONE)


def test_an_image_that_taught_either_of_them_is_not_judged(made: Workspace, tmp_path: pytest.TempPathFactory) -> None:
    other = Workspace(root=tmp_path / "repository")
    shutil.copytree(made.root, other.root)
    file = other.manifest("toy") / manifests.FILE
    rows: pd.DataFrame = read_table(file, schema_version=manifests.SCHEMA_VERSION)
    taught = read_taught(other.detector("toy", "simplenet"))
    assert taught == {sha256_file(other.raw("toy") / path) for path in rows.loc[rows["split"] == "train", "path"]}
    moved = rows["path"] == rows.loc[rows["split"] == "train", "path"].iloc[0]
    write_table(file, rows.assign(split=rows["split"].mask(moved, "table")), schema_version=manifests.SCHEMA_VERSION)
    with pytest.raises(ZeromissError, match="is in the split table, but vqgan was taught with the very image"):
        metrics.run(settings(other), other, NoLog())


def test_the_same_bundle_loaded_twice_gives_the_same_verdict(made: Workspace) -> None:
    first, second = (Inspector.load(made.bundle("toy")).inspect(image(made)) for _ in range(2))
    assert replace(first) == second
