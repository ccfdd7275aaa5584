"""Ablations from a metric table to a result: planted signal and noise, resuming, refusals, tables of their own."""

import json
import types
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest

from tests.workspace_parts import PROFILE
from zeromiss import cli
from zeromiss.ablation import command, derive, estimate, run
from zeromiss.errors import ZeromissError
from zeromiss.files import write_json
from zeromiss.image_size import ImageSize
from zeromiss.params import load_product
from zeromiss.selection import protocol
from zeromiss.stages.base import NoLog
from zeromiss.tables import write_table
from zeromiss.workspace import Workspace

PARAMS = PROFILE + """\
  tiny:
    profile: quick
    seed: 7
    source: {kind: csv, path: images.csv}
    vqgan: {codes: 8}
    selection: {draws: 1, families: [lda], folds: 2, outer_folds: 3, jobs: 1}
"""
NAMES = (  # as the metrics stage names them; the discriminator's two alone know the defects
    "vqgan.image.mse", "vqgan.image.critic", "vqgan.image.critic_hat", "vqgan.pixel.difference.max", "vqgan.patch.fid.sum",
    "vqgan.patch.ssim.sum", "vqgan.pixel.difference.max.masked", "vqgan.patch.fid.sum.masked", "vqgan.patch.ssim.sum.masked",
)  # fmt: skip


def drawn_table(normals=40, defects=32, names=NAMES):
    """Return a metric table of noise, but for the discriminator's columns."""
    random, y_N = np.random.default_rng(3), np.repeat([0, 1], [normals, defects])
    features = pd.DataFrame(random.normal(size=(len(y_N), len(names))), columns=list(names))
    for name in ("vqgan.image.critic", "vqgan.image.critic_hat"):
        features[name] += 2.0 * y_N
    facts = pd.DataFrame(
        {
            "path": [f"images/{number}.png" for number in range(len(y_N))],
            "sha256": "0" * 64,
            "label": np.where(y_N, "defect", "normal"),
            "defect_type": "",
            "part_id": [f"p{number}" for number in range(len(y_N))],
            "native_score": 0.0,
        }
    )
    return facts.join(features)


def fill(workspace):
    """Write a drawn metric table and what the product's run leaves beside it; return the workspace."""
    write_table(workspace.metrics("tiny") / "table.parquet", drawn_table(), schema_version=1)
    write_json(workspace.metrics("tiny") / "native.json", {"seconds": 60.0}, schema_version=2)
    write_json(workspace.detector("tiny", "vqgan") / "training.json", {"seconds": 240.0}, schema_version=1)
    (workspace.detector("tiny", "vqgan") / "model.safetensors").write_bytes(b"weights")
    write_table(workspace.manifest("tiny") / "manifest.parquet", drawn_table()[["path", "label"]], schema_version=2)
    workspace.raw("tiny").mkdir(parents=True)
    return workspace


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A workspace whose product has a drawn metric table, as the current folder; nothing is told to a store."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "act_run", lambda name, product, workspace: nullcontext(NoLog()))
    monkeypatch.setattr("zeromiss.selection.digest._sources", lambda code: [])  # someone may be editing the code
    return fill(Workspace(root=tmp_path))


@pytest.fixture
def no_estimate(monkeypatch):
    """A fold is said to take no time: what the estimate itself measures is tested apart."""
    monkeypatch.setattr(run, "fold_seconds", lambda product, source: 0.0)


@pytest.fixture
def quick_folds(monkeypatch):
    """An outer fold is judged by the discriminator's value alone, without any search: for tests of what is done when."""

    def judge_fold(source, fold, params, seed):
        value_N, defect_N = source.features["vqgan.image.critic"].to_numpy()[fold[1]], source.y_N[fold[1]] == 1
        figures = dict.fromkeys(("fpr_at_zero_missed", "fpr", "fnr", "accuracy"), float(value_N.mean() > 0))
        auroc = float((value_N[defect_N][:, None] > value_N[~defect_N][None]).mean())
        return {"winner": "lda", "threshold": 0.5, "train_share": len(fold[0]) / len(source.y_N), "figures": figures | {"image_auroc": auroc}}

    monkeypatch.setattr(protocol, "judge_fold", judge_fold)


@pytest.fixture
def fake_stages(monkeypatch):
    """Stages that only write their file, and remember their calls."""
    calls = []

    def fake(name):
        def stage_run(product, workspace, log):
            assert (workspace.raw("tiny").is_symlink(), workspace.manifest("tiny").is_symlink()) == (True, True)
            calls.append((name, workspace.root.name, product.vqgan.codes, product.size, product.seed))
            print("a stage speaks")
            if name == "vqgan":
                (folder := workspace.detector("tiny", "vqgan")).mkdir(parents=True, exist_ok=True)
                (folder / "model.safetensors").write_bytes(f"{product.vqgan.codes} {product.size} {product.seed}".encode())
            else:
                table = drawn_table()
                if product.vqgan.codes == 4:  # half of the codes: the discriminator knows nothing
                    table[["vqgan.image.critic", "vqgan.image.critic_hat"]] = drawn_table(72, 0)[["vqgan.image.critic", "vqgan.image.critic_hat"]]
                write_table(workspace.metrics("tiny") / "table.parquet", table, schema_version=1)

        return types.SimpleNamespace(run=stage_run)

    modules = {f"zeromiss.stages.{name}": fake(name) for name in ("vqgan", "metrics")}
    monkeypatch.setattr(derive, "importlib", types.SimpleNamespace(import_module=modules.__getitem__))
    return calls


def ablated(place, *only, **options):
    """Run the command and return what it wrote."""
    assert command.run("tiny", place, only=list(only) or None, as_json=False, **options) == 0
    return json.loads((place.ablation("tiny") / "ablation.json").read_text())


def test_planted_signal_is_missed_and_planted_noise_is_not(place, no_estimate, capsys):
    found = ablated(place, "no_mask", "no_critic", "no_smote")
    mask, critic = found["variants"]
    assert (mask["variant"], mask["columns"], critic["variant"], critic["columns"]) == ("no_mask", 6, "no_critic", 7)
    assert found["full"]["columns"] == 9 and len(found["full"]["folds"]) == 6  # two repeats of three, though the product asks for none
    assert critic["differences"]["image_auroc"]["verdict"] == "worse" and critic["differences"]["image_auroc"]["high"] < 0
    assert critic["differences"]["fpr_at_zero_missed"]["verdict"] == "worse"
    assert {difference["verdict"] for difference in mask["differences"].values()} == {"noise"}
    assert found["left_out"][0]["reason"].startswith("SMOTE does not act here: the rarer class makes up 44.4 %")
    assert found["intervals"] == 10 and found["not_asked"][:3] == ["no_patches", "no_fid", "no_added"]
    text = capsys.readouterr().out
    assert "no_critic" in text and "left out: no_smote: SMOTE does not act here" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_a_figure_is_the_mean_of_its_folds_and_so_is_a_difference(place, no_estimate):
    found = ablated(place, "no_fid")
    row, full = found["variants"][0], found["full"]
    for name, difference in row["differences"].items():
        mine, whole = ([fold[name] for fold in entry["folds"].values()] for entry in (row, full))
        assert full["figures"][name]["mean"] == pytest.approx(np.mean(whole))
        assert difference["mean"] == pytest.approx(np.mean(mine) - np.mean(whole))
    assert list(row["folds"]) == list(full["folds"]) == [f"{repeat}-{fold}" for repeat in range(2) for fold in range(3)]
    assert sum(row["winners"].values()) == 6 and set(row["winners"]) == {"lda"}


def test_the_folds_are_those_of_the_honest_protocol(place):
    """The full system's rates at the inner threshold, fold by fold, are what the selection stage would report."""
    from zeromiss.selection.honest import judge_outer_folds

    product = load_product(place.params_file, "tiny")
    bench = run.open_bench(product, place)
    mine, refused = protocol.judge_all([bench.task(None, bench.source)], jobs=1, title="folds")
    rows = judge_outer_folds(bench.source, product.selection.model_copy(update={"outer_repeats": 2}), product.seed)
    theirs = [fold for _, fold in rows.groupby(["repeat", "fold"])]
    assert refused == {} and len(theirs) == 6
    for judged, fold in zip(mine["full"].values(), theirs, strict=True):
        assert (judged["winner"], judged["threshold"]) == (fold["family"].iloc[0], fold["threshold"].iloc[0])
        abnormal, defect = fold["probability"] >= fold["threshold"], fold["label"] == "defect"
        assert judged["figures"]["fpr"] == pytest.approx(abnormal[~defect].mean())
        assert judged["figures"]["fnr"] == pytest.approx(1 - abnormal[defect].mean())
        assert judged["figures"]["accuracy"] == pytest.approx((abnormal == defect).mean())
        normals = fold["probability"][~defect].to_numpy()
        assert judged["figures"]["fpr_at_zero_missed"] == pytest.approx((normals >= fold["probability"][defect].min()).mean())
        beats = np.sign(fold["probability"][defect].to_numpy()[:, None] - normals[None])
        assert judged["figures"]["image_auroc"] == pytest.approx((beats.mean() + 1) / 2)


def test_finished_folds_are_not_judged_again_and_a_killed_run_goes_on(place, no_estimate, quick_folds, monkeypatch):
    judged, whole = [], protocol.judge_or_refuse

    def dies_at_the_ninth(*task):
        if len(judged) == 8:
            raise KeyboardInterrupt
        judged.append(1)
        return whole(*task)

    monkeypatch.setattr(protocol, "judge_or_refuse", dies_at_the_ninth)
    with pytest.raises(KeyboardInterrupt):
        ablated(place, "no_fid")
    assert not (place.ablation("tiny") / "ablation.json").exists()
    counted = []
    monkeypatch.setattr(protocol, "judge_or_refuse", lambda *task: (counted.append(1), whole(*task))[1])
    found = ablated(place, "no_fid")
    assert len(counted) == 12 - 8  # six of the full system, two of the variant were kept
    again = ablated(place, "no_fid")
    assert len(counted) == 4 and again == found
    monkeypatch.setattr(protocol, "judge_or_refuse", whole)
    for folder in ("full", "no_fid"):
        (place.ablation("tiny") / folder / "folds.json").unlink()
    assert ablated(place, "no_fid") == found  # in one go: the same figures


def test_a_changed_table_is_judged_anew(place, no_estimate, quick_folds, monkeypatch):
    ablated(place, "no_fid")
    write_table(place.metrics("tiny") / "table.parquet", drawn_table(41, 33), schema_version=1)
    counted, whole = [], protocol.judge_or_refuse
    monkeypatch.setattr(protocol, "judge_or_refuse", lambda *task: (counted.append(1), whole(*task))[1])
    assert ablated(place, "no_fid")["n_normals"] == 41
    assert len(counted) == 12


def test_trained_variants_make_a_table_of_their_own_once(place, no_estimate, quick_folds, fake_stages, capsys):
    found = ablated(place, "other_seed", "half_codes", "half_size")
    assert fake_stages == [
        ("vqgan", "other_seed", 8, ImageSize.of(64), 8), ("metrics", "other_seed", 8, ImageSize.of(64), 7),
        ("vqgan", "half_codes", 4, ImageSize.of(64), 7), ("metrics", "half_codes", 4, ImageSize.of(64), 7),
        ("vqgan", "half_size", 8, ImageSize.of(32), 7), ("metrics", "half_size", 8, ImageSize.of(32), 7),
    ]  # fmt: skip
    rows = {row["variant"]: row for row in found["variants"]}
    assert rows["half_codes"]["differences"]["image_auroc"]["verdict"] == "worse"
    assert rows["other_seed"]["differences"]["image_auroc"]["mean"] == 0.0  # the same table, the same folds, the same seeds
    assert "a stage speaks" not in capsys.readouterr().out
    ablated(place, "other_seed", "half_codes", "half_size")
    assert len(fake_stages) == 6


def test_a_killed_training_is_not_repeated_for_its_measuring(place, no_estimate, quick_folds, fake_stages, monkeypatch):
    modules = derive.importlib.import_module
    broken = types.SimpleNamespace(run=lambda *given: (_ for _ in ()).throw(KeyboardInterrupt()))
    monkeypatch.setattr(derive, "importlib", types.SimpleNamespace(import_module=lambda name: broken if name.endswith("metrics") else modules(name)))
    with pytest.raises(KeyboardInterrupt):
        ablated(place, "half_codes")
    monkeypatch.setattr(derive, "importlib", types.SimpleNamespace(import_module=modules))
    ablated(place, "half_codes")
    assert [call[0] for call in fake_stages] == ["vqgan", "metrics"]


def test_a_variant_that_measured_other_images_is_left_out(place, no_estimate, quick_folds, fake_stages, monkeypatch):
    modules = derive.importlib.import_module

    def fewer(product, workspace, log):
        write_table(workspace.metrics("tiny") / "table.parquet", drawn_table(39, 32), schema_version=1)

    other = types.SimpleNamespace(import_module=lambda name: types.SimpleNamespace(run=fewer) if name.endswith("metrics") else modules(name))
    monkeypatch.setattr(derive, "importlib", other)
    found = ablated(place, "no_mask", "half_codes")
    assert [row["variant"] for row in found["variants"]] == ["no_mask"]
    assert found["left_out"][0]["reason"].startswith("variant half_codes measured other images than the full system")


def test_crops_are_refused_with_their_estimate_and_others_go_on(place, no_estimate, quick_folds, monkeypatch):
    """Five seconds an image, 72 images and 30 for the mask, over this machine's cores."""
    monkeypatch.setattr(estimate, "measure_seconds", lambda product: 5.0 if product.metrics.mode == "crops" else 0.0)
    monkeypatch.setattr(estimate.os, "sched_getaffinity", lambda process: {0, 1})
    found = ablated(place, "no_mask", "crops", hours=0.05)
    assert [row["variant"] for row in found["variants"]] == ["no_mask"]
    assert found["left_out"] == [
        {"variant": "crops", "reason": "crops would take about 0.1 hours on this machine, as busy as it is now; 0.05 are allowed: raise --hours"}
    ]


def test_a_trained_variant_takes_as_long_as_the_product_took(place):
    product = load_product(place.params_file, "tiny")
    by_name = {variant.name: variant for variant in command.pick(product, None)}
    assert estimate.making_seconds(product, by_name["half_codes"], 102, place) == 300.0
    assert estimate.making_seconds(product, by_name["no_mask"], 102, place) == 0.0


def test_a_fold_is_estimated_from_a_trial(place):
    bench = run.open_bench(load_product(place.params_file, "tiny"), place)
    assert 0.0 < estimate.fold_seconds(bench.product, bench.source) < 60.0


def test_what_the_store_and_json_get(tracked, no_estimate, quick_folds, monkeypatch, capsys):
    place = fill(tracked)
    place.params_file.write_text(PARAMS)
    monkeypatch.chdir(place.root)
    assert cli.main(["ablate", "tiny", "--only", "no_fid", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((place.ablation("tiny") / "ablation.json").read_text())
    from zeromiss.registry.store import experiment_id, prepare

    client = prepare(place)
    recorded = client.search_runs([experiment_id(client, "tiny", place)])[0]
    assert (recorded.info.run_name, recorded.info.status) == ("ablation", "FINISHED")
    assert recorded.data.metrics["no_fid.image_auroc.difference"] == found["variants"][0]["differences"]["image_auroc"]["mean"]
    assert [file.path for file in client.list_artifacts(recorded.info.run_id)] == ["ablation.json"]


@pytest.mark.parametrize(
    ("only", "told"),
    [
        (["polish"], "unknown variant 'polish': tiny has no_mask,"),
        (["no_smote"], "SMOTE does not act here: .* there is nothing to compare"),
    ],
)
def test_what_is_refused(place, no_estimate, only, told):
    with pytest.raises(ZeromissError, match=told):
        ablated(place, *only)
    assert not (place.ablation("tiny") / "ablation.json").exists()


def test_a_product_without_a_mask_has_none_to_leave_out(place, no_estimate):
    write_table(place.metrics("tiny") / "table.parquet", drawn_table(names=NAMES[:6]), schema_version=1)
    with pytest.raises(ZeromissError, match="no_mask does not act here: the metric table of tiny has none of the columns"):
        ablated(place, "no_mask")


def test_a_missing_table_is_refused(place):
    (place.metrics("tiny") / "table.parquet").unlink()
    with pytest.raises(ZeromissError, match="table.parquet is missing: run the stage that writes it"):
        ablated(place, "no_mask")


def test_a_full_system_beyond_the_hours_is_refused(place, monkeypatch):
    monkeypatch.setattr(run, "fold_seconds", lambda product, source: 900.0)
    with pytest.raises(ZeromissError, match=r"full system of tiny would take about 1.5 hours on this machine, as busy as it is now; 1 are allowed"):
        ablated(place, "no_mask", "no_critic", hours=1.0)


def test_a_full_system_that_cannot_be_judged_ends_the_ablation(place, no_estimate):
    write_table(place.metrics("tiny") / "table.parquet", drawn_table(40, 5), schema_version=1)
    with pytest.raises(ZeromissError, match=r"the full system of tiny can not be judged: .*SMOTE"):
        ablated(place, "no_mask")
