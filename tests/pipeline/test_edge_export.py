"""A registered model exported: the folder inspects without torch, with the model's own verdicts, or there is no folder."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.bundle_parts import draw, write_real_bundle
from zeromiss.edge import check, export, folder
from zeromiss.edge.engines import open_graph
from zeromiss.edge.graphs import graph_of, write_image_graph
from zeromiss.edge.runtime import EdgeInspector
from zeromiss.edge.shipped import imported, modules
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, write_json
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.verdict import ModelName

SIDE = 64
STEADY = r"(difference|map|context)\.(max|mean|q)"  # of boxes that are nearly equal rounding keeps either, and the untrained critic says nearly the same of all
ABSENT = ("torch", "torchvision", "timm", "pandas", "pyarrow", "mlflow", "lightgbm", "xgboost", "tqdm", "safetensors")
WITHOUT = f"""
import runpy, sys

class Absent:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError("No module named " + name, name=name)

sys.meta_path.insert(0, Absent)
script, sys.argv = sys.argv[1], sys.argv[1:]
runpy.run_path(script, run_name="__main__")
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Four good parts and four with a bar."""
    place = tmp_path_factory.mktemp("images")
    return [draw(place / f"{number}.png", number, bar=number >= 4) for number in range(8)]


@pytest.fixture(scope="module")
def made(registry_template, tmp_path_factory, images):
    """The exported folder of a registered model and what the export found, its bundle, and the workspace."""
    from zeromiss.params import load_product
    from zeromiss.registry import publish
    from zeromiss.tables import write_table
    from zeromiss.workspace import Workspace

    place = tmp_path_factory.mktemp("edge")
    workspace = Workspace(root=place / "repository")
    shutil.copytree(registry_template, workspace.root)
    (workspace.raw("tiny") / "images").mkdir(parents=True)
    rows = [{"path": f"images/{path.name}", "split": "audit" if int(path.stem) % 2 else "table"} for path in images]
    for path in images:
        shutil.copy(path, workspace.raw("tiny") / "images")
    write_table(workspace.manifest("tiny") / "manifest.parquet", pd.DataFrame(rows), schema_version=2)
    bundle = write_real_bundle(place, images, family="lr", masked=True, reads=STEADY)
    shutil.copytree(bundle, workspace.bundle("tiny"))
    publish.register(load_product(workspace.params_file, "tiny"), workspace)
    target, found = export.export("tiny", workspace, None, engine="onnxruntime")
    return target, found, bundle, workspace


def run_without_torch(target, paths, **more):
    """Run the folder's script where what a bare environment lacks cannot be imported."""
    command = [sys.executable, "-s", "-B", "-c", WITHOUT, str(target / "inspect_images.py"), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, cwd=target.parent, timeout=120, check=False, **more)


def test_the_folder_judges_as_the_model_does_without_torch(made, images, tmp_path):
    target, _, bundle, _ = made
    moved = shutil.copytree(target, tmp_path / "elsewhere")
    done = run_without_torch(moved, images)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    expected = [Inspector.load(bundle).inspect(path) for path in images]
    assert [one["verdict"] for one in found] == [one.verdict for one in expected]
    assert {one.verdict for one in expected} == {"normal", "abnormal"}
    assert [one["score"] for one in found] == pytest.approx([one.score for one in expected], abs=check.TOLERANCE)
    assert [one["sha256"] for one in found] == [one.sha256 for one in expected]
    assert [len(one["patches"]) for one in found] == [len(one.patches) for one in expected]
    assert found[5]["patches"][0]["distance"] == pytest.approx(expected[5].patches[0].distance, rel=1e-3)
    assert found[0]["model"] == {"name": "zeromiss-tiny", "version": "1"}


def test_every_column_is_measured_alike(made, images):
    bundle, edge = Inspector.load(made[2]), EdgeInspector(made[0])
    ours = pd.DataFrame([edge.measure(edge.read(path))[0].features for path in images])
    torchs = pd.DataFrame([bundle.examine(path).measurement.features for path in images])
    assert list(ours) == list(torchs) and any(name.endswith(".masked") for name in ours)
    apart = (ours - torchs).abs().median() / torchs.abs().max().clip(lower=1e-2)
    assert apart.max() < 1e-4, apart.nlargest(3)


def test_the_whole_audit_set_is_compared_and_the_figures_stay_in_the_folder(made):
    target, found, _, workspace = made
    assert target == workspace.root / "data" / "19_edge" / "tiny" and [path.name for path in target.parent.iterdir()] == ["tiny"]
    assert (found["images"], found["n"], found["flipped"], found["above_tolerance"]) == ("audit set", 4, 0, 0)
    assert found["largest_difference"] <= 1e-4 == found["tolerance"]
    assert read_json(target / "verified.json", schema_version=1) == {"schema_version": 1} | found
    needs = (target / "requirements.txt").read_text()
    assert "onnxruntime==" in needs and "scikit-learn==" in needs and "torch" not in needs


def test_without_an_audit_set_the_table_is_compared(made, tmp_path):
    from zeromiss.tables import read_table, write_table

    workspace = replace(made[3], root=tmp_path)
    rows = read_table(made[3].manifest("tiny") / "manifest.parquet", schema_version=2)
    write_table(workspace.manifest("tiny") / "manifest.parquet", rows[rows["split"] == "table"].reset_index(drop=True), schema_version=2)
    shutil.copytree(made[3].raw("tiny"), workspace.raw("tiny"))
    name, paths = export.checked_images("tiny", workspace)
    assert name == "metric table" and [path.name for path in paths] == ["0.png", "2.png", "4.png", "6.png"]


def test_a_file_that_is_no_image_is_an_error_and_the_others_are_judged(made, images, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    done = run_without_torch(made[0], [broken, images[0]])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and [line["verdict"] for line in lines] == ["error", "normal"]
    assert "not an image" in lines[0]["error"]


@pytest.mark.parametrize("name", ["vqgan/mask.npy", "zeromiss/metrics/levels.py", "classifier.skops"])
def test_a_changed_file_is_refused(made, images, tmp_path, name):
    copy = shutil.copytree(made[0], tmp_path / "copy")
    with (copy / name).open("ab") as file:
        file.write(b"\n")
    done = run_without_torch(copy, images[:1])
    assert done.returncode == 2 and f"{name} has changed since it was exported" in done.stderr and not done.stdout


def test_a_folder_that_judges_otherwise_is_refused(made, images, tmp_path):
    copy = shutil.copytree(made[0], tmp_path / "copy")
    config = read_json(copy / "edge.json", schema_version=1)
    write_json(copy / "edge.json", config | {"threshold": config["threshold"] | {"value": 0.0}}, schema_version=1)
    inspector = Inspector.load(made[2])
    normal = sum(inspector.inspect(path).verdict == "normal" for path in images)
    with pytest.raises(ZeromissError, match=f"of 8 images of the audit set, {normal} verdicts flip and 0 scores differ"):
        check.compare(inspector, copy, images, images="audit set")


def test_figures_are_those_worked_out_by_hand():
    def judged(score, seconds):
        return check.Judged(verdict="error" if score is None else "abnormal" if score >= 0.5 else "normal", score=score, seconds=seconds)

    pairs = [(judged(a, 0.2), judged(b, 0.1)) for a, b in ((0.4, 0.4), (0.4999, 0.5001), (0.9, 0.90005), (None, None), (None, 0.7))]
    found = check.figures(pairs, images="audit set")
    assert (found["n"], found["not_judged"], found["flipped"], found["above_tolerance"]) == (5, 2, 2, 1)
    assert found["largest_difference"] == pytest.approx(2e-4) and found["mean_difference"] == pytest.approx((2e-4 + 5e-5) / 3)
    assert found["seconds_per_image"] == {"torch": 0.2, "export": 0.1}


@pytest.mark.parametrize(("metrics", "named"), [({"precision": "bf16"}, "metrics.precision to fp32"), ({"mode": "crops"}, "set it to dense")])
def test_what_an_exported_network_would_measure_otherwise_is_refused_and_nothing_is_left(tmp_path, images, made, metrics, named):
    bundle = shutil.copytree(made[2], tmp_path / "bundle")
    record = read_json(bundle / "bundle.json", schema_version=1)
    write_json(bundle / "bundle.json", record | {"metrics": record["metrics"] | metrics}, schema_version=1)
    with pytest.raises(ZeromissError, match=named):
        export.write_verified(tmp_path / "to", bundle, images, images="table", model=ModelName(name="tiny", version="1"), engine="onnxruntime")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle"]


def state(folder):
    """Return every file and folder below, with what tells it from another one in its place."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.fixture
def an_image_gone(made):
    """The workspace while one image of its audit set is away."""
    path = made[3].raw("tiny") / "images" / "3.png"
    away = path.rename(path.with_suffix(".away"))
    yield
    away.rename(path)


@pytest.fixture
def nothing_is_near_enough(made, tmp_path, monkeypatch):
    """No score lies as near to torch's as is asked; the folder is as it was written before, which takes a while."""
    written = shutil.copytree(made[0], tmp_path / "written")
    monkeypatch.setattr(export, "write_folder", lambda draft, *_, **__: shutil.copytree(written, draft, dirs_exist_ok=True))
    monkeypatch.setattr(check, "TOLERANCE", -1.0)


@pytest.mark.parametrize(
    ("why", "said"),
    [("an_image_gone", "1 of 4 images of tiny's audit set are not here"), ("nothing_is_near_enough", "of 4 images of the audit set, 0 verdicts flip and 4 scores differ")],
)
def test_a_refusal_is_one_sentence_and_leaves_what_was_exported_before(made, monkeypatch, capsys, request, why, said):
    from zeromiss import cli

    request.getfixturevalue(why)
    target, _, _, workspace = made
    monkeypatch.chdir(workspace.root)
    before = state(target.parent)
    assert cli.main(["export", "tiny", "--format", "onnx"]) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith("zeromiss: ") and said in err
    assert state(target.parent) == before != {}


def test_images_of_which_none_can_be_judged_verify_nothing(made, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(ZeromissError, match="none of the 1 images of the table can be judged"):
        check.compare(Inspector.load(made[2]), made[0], [broken], images="table")


def test_a_folder_of_something_else_is_not_written_over(made, tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ZeromissError, match="is no earlier export"):
        export.export("tiny", made[3], tmp_path, engine="onnxruntime")
    assert (tmp_path / "letter.txt").read_text() == "mine"


class Odd(torch.nn.Module):
    """Embeds; asks NumPy, which no graph holds."""

    name, score_names = "odd", ()

    def detect(self, image_BCHW):
        return torch.from_numpy(np.sort(image_BCHW.numpy()))


def test_a_detector_that_cannot_be_written_is_named(made, tmp_path):
    from zeromiss.inspection.bundle import open_bundle
    from zeromiss.metrics.measure_map import MapMeasurer
    from zeromiss.stage_params import MetricsParams

    member = MapMeasurer(detector=Odd(), params=MetricsParams())
    with pytest.raises(ZeromissError, match="cannot write as ONNX: odd "):
        folder.write_graphs(tmp_path, [member], open_bundle(made[2]))


def test_the_graph_of_a_detector_that_redraws_nothing_gives_its_map_and_scores(tmp_path):
    from tests.code.test_metrics_stack import PARAMS, Bright, image
    from zeromiss.metrics.levels import map_values
    from zeromiss.metrics.measure_map import MapMeasurer

    measurer = MapMeasurer(detector=Bright(), params=PARAMS)
    write_image_graph(tmp_path / "image.onnx", graph_of(measurer), size=SIDE)
    given = open_graph(tmp_path / "image.onnx", engine="onnxruntime", threads=1)(image=image()[None].numpy())
    numbers, _, _ = map_values(given["map"], [float(given[name][0]) for name in ("score", "score.mean")], PARAMS)
    assert numbers.tolist() == pytest.approx(list(measurer.measure(image()).features.values()))


def test_no_module_of_a_folder_imports_what_a_bare_environment_lacks():
    found = {name: {one.split(".")[0] for one in imported(path)} for name, path in modules().items()}
    assert "zeromiss/edge/runtime.py" in found and "zeromiss/metrics/distances.py" in found
    assert {name for name, tops in found.items() if tops & set(ABSENT)} == {"zeromiss/images/reference.py"}  # tqdm, where a reference is chosen
