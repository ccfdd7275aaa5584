"""Where a version's files lie, against where its store keeps files: the same form on every kind of store, as MLflow itself makes it."""

from types import SimpleNamespace

import pytest
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

from zeromiss.registry.audit_files import check_place
from zeromiss.workspace import Workspace


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """The address of a database with MLflow's tables, which take seconds to make."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('place') / 'mlflow.db'}"
    Tracking(uri, "/nowhere")
    return uri


@pytest.fixture
def server(monkeypatch):
    """A server is named, so that the workspace's own folder is not asked for."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")


def findings(uri, home, tmp_path):
    return check_place(SimpleNamespace(uri=uri, home=home), Workspace(root=tmp_path)).findings


ROOTS = ("mlflow-artifacts:/", "s3://models/line 1", "s3://models", "gs://models/a", "http://host:5000/api/2.0/mlflow-artifacts/artifacts")


@pytest.mark.parametrize("root", ROOTS)
def test_what_a_server_gives_out_lies_below_its_experiment(database, server, root, tmp_path, monkeypatch):
    """The server puts a model below the experiment's location, and gives that address out as the version's."""
    tracking, registry = Tracking(database, root), Registry(database)
    experiment = tracking.create_experiment(f"at {root}")
    model = tracking.create_logged_model(experiment, name="inspection")
    monkeypatch.setattr("mlflow.store.model_registry.sqlalchemy_store.MlflowClient", lambda: tracking, raising=False)
    monkeypatch.setattr("mlflow.tracking.client.MlflowClient", lambda: tracking)
    name = f"zeromiss-{root.partition(':')[0]}-{len(root)}"
    registry.create_registered_model(name)
    version = registry.create_model_version(name, f"models:/{model.model_id}", model_id=model.model_id, run_id="0" * 32)
    uri, home = registry.get_model_version_download_uri(name, version.version), tracking.get_experiment(experiment).artifact_location
    assert (uri, home.startswith(root)) == (model.artifact_location, True)
    assert not findings(uri, home, tmp_path)
    other = tracking.get_experiment(tracking.create_experiment(f"another at {root}")).artifact_location
    assert findings(uri, other, tmp_path)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://models/line/../elsewhere/1", "s3://models/line%2F..%2F..%2Fx", "s3://others/line/1", "s3://models/line2/1",
        "file:///models/line/1", "/models/line/1", "http://models/line/1",
    ],  # fmt: skip
)
def test_another_place_is_told(server, uri, tmp_path):
    assert findings(uri, "s3://models/line", tmp_path)
    assert not findings("s3://models/line/1", "s3://models/line", tmp_path)


def test_an_address_without_a_host_is_that_of_the_server_that_is_asked(server, tmp_path):
    assert not findings("mlflow-artifacts:/3/models/m-1/artifacts", "mlflow-artifacts://host:5000/3", tmp_path)


def test_a_folder_is_compared_with_links_resolved(server, tmp_path):
    (tmp_path / "store one" / "3").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "store one")
    home = (tmp_path / "store one").as_uri()
    assert not findings((tmp_path / "store one" / "3").as_uri(), home, tmp_path)
    assert not findings(str(tmp_path / "link" / "3"), home, tmp_path)
    (tmp_path / "store one" / "out").symlink_to(tmp_path)
    assert findings((tmp_path / "store one" / "out").as_uri(), home, tmp_path)
