"""Registering a bundle: versions, aliases, no pickle, and scores that stay the same to the bit."""

import getpass
import json
import socket

import pandas as pd
import pytest

from tests.bundle_parts import THRESHOLD, draw, write_real_bundle
from zeromiss.errors import ZeromissError
from zeromiss.registry import publish
from zeromiss.registry.store import prepare


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Four good parts and four with a bar."""
    folder = tmp_path_factory.mktemp("images")
    return [draw(folder / f"{number}.png", number, bar=number >= 4) for number in range(8)]


@pytest.fixture(scope="module")
def real_bundle(tmp_path_factory, images):
    """A bundle as the pipeline packs it: untrained network, real measurements, a fitted classifier."""
    return write_real_bundle(tmp_path_factory.mktemp("parts"), images)


@pytest.fixture
def bundled(tracked, real_bundle):
    """The workspace with the real bundle in place."""
    import shutil

    shutil.copytree(real_bundle, tracked.bundle("tiny"))
    return tracked


@pytest.fixture
def fake(tracked):
    """Return a function that puts a bundle in place which nothing can load; it is a file more or less."""

    def write(word):
        folder = tracked.bundle("tiny")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bundle.json").write_text(json.dumps({"schema_version": 1, "word": word}))
        (folder / "summary.json").write_text(json.dumps({"schema_version": 3, "threshold": THRESHOLD}))

    write("first")
    return write


def test_scores_are_bit_equal_after_registration(tiny, bundled, images):
    import mlflow

    from zeromiss.inspection.inspector import Inspector

    before = [Inspector.load(bundled.bundle("tiny")).inspect(path) for path in (images[0], images[5])]
    found = publish.register(tiny, bundled, example=images[0])
    inspector = publish.load_inspector("tiny", bundled, alias="challenger")
    after = [inspector.inspect(path) for path in (images[0], images[5])]
    assert [verdict.score for verdict in after] == [verdict.score for verdict in before]  # to the bit
    assert [verdict.patches for verdict in after] == [verdict.patches for verdict in before]
    assert (after[0].model.name, after[0].model.version) == ("zeromiss-tiny", "1")

    model = mlflow.pyfunc.load_model(f"models:/zeromiss-tiny/{found.version}")
    by_path = model.predict(pd.DataFrame({"path": [str(images[0]), str(images[5])]}))
    by_bytes = model.predict(pd.DataFrame({"image": [images[0].read_bytes(), images[5].read_bytes()]}))
    assert list(by_path["score"]) == list(by_bytes["score"]) == [verdict.score for verdict in before]
    assert list(by_path["verdict"]) == [verdict.verdict for verdict in before]
    patches = [vars(patch) for patch in before[1].patches]
    assert json.loads(by_path["patches"][1]) == patches

    broken = model.predict(pd.DataFrame({"path": [str(images[0]), None], "image": [None, b"no image"]}))
    assert list(broken["verdict"]) == [before[0].verdict, "error"]
    assert broken["error"][0] == ""
    assert broken["error"][1] != ""
    assert pd.isna(broken["score"][1])


def test_nothing_in_a_logged_model_is_a_pickle(tiny, fake, tracked):
    publish.register(tiny, tracked)
    folder = publish.download_bundle(prepare(tracked), "tiny", "1").parents[1]
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"MLmodel", "pyfunc_model.py", "bundle.json", "inspector.py"} <= names
    assert [name for name in names if name.endswith((".pkl", ".pickle", ".cloudpickle", ".joblib", ".pt", ".pth"))] == []
    pickles = [path for path in folder.rglob("*") if path.is_file() and path.read_bytes()[:1] == b"\x80"]
    assert pickles == []
    assert "python_model.pkl" not in (folder / "MLmodel").read_text()


def test_a_new_bundle_is_a_new_challenger_and_an_old_one_is_not_registered_again(tiny, fake, tracked):
    first = publish.register(tiny, tracked)
    again = publish.register(tiny, tracked)
    fake("second")
    second = publish.register(tiny, tracked)
    client = prepare(tracked)
    assert [(one.version, one.created) for one in (first, again, second)] == [("1", True), ("1", False), ("2", True)]
    assert publish.find_alias(client, "tiny", "challenger") == "2"
    fake("first")
    assert publish.register(tiny, tracked).version == "1"
    assert publish.find_alias(client, "tiny", "challenger") == "1"
    assert [str(version.version) for version in publish.versions(client, "tiny")] == ["2", "1"]


def test_a_version_says_where_it_came_from(tiny, fake, tracked):
    from zeromiss.registry.tracking import parent_run, stage_run

    with stage_run("vqgan", tiny, tracked) as stage:
        pass
    with parent_run(tiny, tracked) as parent:
        publish.register(tiny, tracked, parent=parent.run_id)
    client = prepare(tracked)
    version = client.get_model_version("zeromiss-tiny", "1")
    assert version.tags["run.vqgan"] == stage.run_id
    assert version.tags["threshold.value"] == "0.4"
    assert version.tags["threshold.bound_is"] == "descriptive"
    assert version.tags["threshold.miss_rate_bound_95"] == "0.046"
    assert len(version.tags["git.commit"]) == 40
    assert version.tags["data.md5"] == "none"
    assert version.tags["registered.by"] == getpass.getuser()
    assert version.tags["registered.host"] == socket.gethostname()
    assert version.tags["source.complete"] == "false"
    assert version.tags["source.missing"] == "the raw images have no version: data/01_raw/tiny.dvc does not exist"
    assert [one.path for one in client.list_artifacts(version.run_id, "source")] == ["source/params.yaml"]
    assert "abnormal at a score of 0.4 or above (rule zfn, 63 known defects" in version.description
    assert client.get_run(version.run_id).data.tags["mlflow.parentRunId"] == parent.run_id
    assert client.get_run(version.run_id).info.status == "FINISHED"


def test_the_signature_has_optional_columns_and_the_example_fits_it(tiny, fake, tracked, images):
    from mlflow.models import Model

    publish.register(tiny, tracked, example=images[0])
    model = Model.load(str(publish.download_bundle(prepare(tracked), "tiny", "1").parents[1]))
    assert {column.name: column.required for column in model.signature.inputs} == {"path": False, "image": False}
    names = ["path", "verdict", "score", "probability", "threshold", "patches", "error"]
    assert [column.name for column in model.signature.outputs] == names
    example = model.load_input_example(str(publish.download_bundle(prepare(tracked), "tiny", "1").parents[1]))
    assert list(example.columns) == ["image"]
    assert example["image"][0] == images[0].read_bytes()


def test_requirements_are_the_projects_own_and_pinned():
    found = publish.requirements()
    assert found == sorted(found)
    assert all(line.count("==") == 1 for line in found)
    names = {line.split("==")[0] for line in found}
    assert {"torch", "scikit-learn", "mlflow", "skops"} <= names
    assert not {"zeromiss", "pytest", "h5py"} & names


def test_what_is_missing_is_refused(tiny, tracked):
    with pytest.raises(ZeromissError, match="bundle.json is missing: run the bundle stage"):
        publish.register(tiny, tracked)
    with pytest.raises(ZeromissError, match="zeromiss-tiny has no champion: train it with zeromiss run tiny"):
        publish.load_inspector("tiny", tracked)
    with pytest.raises(ZeromissError, match="no model of tiny is registered"):
        publish.in_charge("tiny", tracked)
    with pytest.raises(ZeromissError, match="zeromiss-tiny version 9 cannot be fetched"):
        publish.load_inspector("tiny", tracked, version="9")


def test_the_champion_is_in_charge_and_before_it_the_challenger(tiny, fake, tracked):
    publish.register(tiny, tracked)
    assert publish.in_charge("tiny", tracked) == ("1", "challenger")
    prepare(tracked).set_registered_model_alias("zeromiss-tiny", "champion", "1")
    fake("second")
    publish.register(tiny, tracked)
    assert publish.in_charge("tiny", tracked) == ("1", "champion")


def test_a_registry_that_gives_back_something_else_is_refused(tiny, fake, tracked, monkeypatch, tmp_path):
    (tmp_path / "bundle.json").write_text("{}")
    monkeypatch.setattr(publish, "download_bundle", lambda *args: tmp_path)
    with pytest.raises(ZeromissError, match="the registry gave back another bundle"):
        publish.register(tiny, tracked)
    assert publish.find_alias(prepare(tracked), "tiny", "challenger") is None
