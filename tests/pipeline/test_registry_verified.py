"""One way to open a registered version: what somebody changed, moved, linked or deleted is named, and nothing judges with it."""

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests import promotion_parts as models
from tests import registry_parts as parts
from zeromiss import schemas
from zeromiss.errors import ZeromissError
from zeromiss.registry import audit_command, champion, history
from zeromiss.registry.champion import in_charge, resolve_decided
from zeromiss.registry.promotion import promote
from zeromiss.registry.publish import download_bundle, register
from zeromiss.registry.rollback import rollback
from zeromiss.registry.shadow import cast_shadow
from zeromiss.registry.sign import sign
from zeromiss.registry.signature import TAG
from zeromiss.registry.store import prepare, reading
from zeromiss.registry.verified import Champions, load_inspector, verified_bundle
from zeromiss.registry.watched import watched
from zeromiss.tables import write_table
from zeromiss.workspace import PUBLIC_KEY

NAME = "zeromiss-tiny"


@pytest.fixture(scope="module")
def made(registry_template):
    """A product, its workspace with two champions, one after the other, and how to restore it; others may read the folder."""
    from zeromiss.inspection.inspector import Inspector
    from zeromiss.params import load_product
    from zeromiss.workspace import Workspace

    folder = Path(tempfile.mkdtemp(prefix="verified-"))
    folder.chmod(0o755)
    workspace = Workspace(root=folder / "repository")
    shutil.copytree(registry_template, workspace.root)
    product = load_product(workspace.params_file, "tiny")
    parts.version_raw(workspace)
    parts.write_manifest(workspace, models.ROWS)
    table = pd.DataFrame({"path": ["n1", "d1"], "label": ["normal", "defect"], "vqgan.a": [0.5, 0.7]})
    write_table(workspace.metrics("tiny") / "table.parquet", table, schema_version=schemas.METRIC_TABLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(Inspector, "load", classmethod(models.load_table))
        for word in ("one", "two"):
            files = models.FILES | {"word": word}
            parts.write_bundle(workspace, files=files, scores=models.SCORES, features=["vqgan.a"])
            register(product, workspace)
            promote(product, workspace)
    yield product, workspace, parts.keep(workspace, folder / "kept")
    shutil.rmtree(folder)


@pytest.fixture
def store(made, monkeypatch):
    """The workspace, restored afterwards."""
    from zeromiss.inspection.inspector import Inspector

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv(PUBLIC_KEY, raising=False)
    monkeypatch.setattr(Inspector, "load", classmethod(models.load_table))
    yield made[1]
    made[2]()


def bundle(store):
    return download_bundle(prepare(store), "tiny", "2")


def tag(store, key, value):
    prepare(store).set_model_version_tag(NAME, "2", key, value)


def alter(store, statement, *values, rows=1):
    """Change the database behind MLflow's back."""
    with closing(sqlite3.connect(store.root / "mlruns/mlflow.db")) as database, database:
        assert database.execute(statement, values).rowcount == rows


def renew(store, **threshold):
    """Write bundle.json anew, with the hashes of the files as they are now, and renew its tag."""
    path = bundle(store) / "bundle.json"
    content = json.loads(path.read_text())
    content["files"] = {name: hashlib.sha256((path.parent / name).read_bytes()).hexdigest() for name in content["files"]}
    content["threshold"] |= threshold
    path.write_text(json.dumps(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refused(store):
    with pytest.raises(ZeromissError) as told:
        load_inspector("tiny", store)
    return str(told.value)


def audit(store, capsys, reference="tiny/2"):
    capsys.readouterr()
    code = audit_command.run(reference, store, as_json=True)
    return code, [one["sentence"] for check in json.loads(capsys.readouterr().out)["checks"] for one in check["findings"]]


def told_by_history(store, capsys):
    capsys.readouterr()
    code = history.run("tiny", store, as_json=True)
    return code, json.loads(capsys.readouterr().out)["faults"]


def test_what_is_as_it_was_registered_is_opened_by_everybody(store):
    assert in_charge("tiny", store) == ("2", "champion")
    assert load_inspector("tiny", store).threshold == 0.5
    assert Champions("tiny", store).version() == "2"
    with verified_bundle("tiny", "1", store) as folder:
        assert (folder / "word").read_text() == "one"
    found = watched("tiny", store)
    assert (found.version, found.normals["vqgan.a"].tolist()) == ("2", [0.5])
    assert cast_shadow("tiny", store, []) is None


@pytest.mark.parametrize("file", ["classifier.skops", "vqgan/model.safetensors", "bundle.json", "summary.json"])
def test_a_changed_file_is_named(store, file):
    path = bundle(store) / file
    path.write_bytes(path.read_bytes() + b" ")
    assert refused(store) == f"zeromiss-tiny version 2 is not as it was registered: {file} has changed (SHA-256 differs); see zeromiss audit tiny/2"
    for opened in (lambda: verified_bundle("tiny", "2", store).__enter__(), lambda: watched("tiny", store), lambda: Champions("tiny", store).open("2")):
        with pytest.raises(ZeromissError, match=f"{file} has changed"):
            opened()


def test_a_file_that_came_or_went_is_named(store):
    (bundle(store) / "extra.py").write_text("")
    assert "extra.py was not there when it was sealed" in refused(store)
    (bundle(store) / "extra.py").unlink()
    (bundle(store) / "word").unlink()
    assert "word is missing" in refused(store)


def test_a_threshold_is_compared_with_its_tag_even_where_hashes_were_renewed(store):
    renewed = renew(store, value=1.0)
    assert "bundle.json has changed" in refused(store)
    tag(store, "bundle.sha256", renewed)
    assert "the tag threshold.value says 0.5, bundle.json says 1.0" in refused(store)


@pytest.mark.parametrize("name", ["bundle.sha256", "seal.model", "threshold.value"])
def test_a_version_whose_record_is_gone_is_not_opened(store, name):
    prepare(store).delete_model_version_tag(NAME, "2", name)
    assert f"its tag {name} is missing, so that nothing vouches for its files" in refused(store)


def test_links_and_what_is_no_file_are_named(store, tmp_path, capsys):
    path = bundle(store) / "classifier.skops"
    shutil.copy(path, tmp_path / "same")
    path.unlink()
    path.symlink_to(tmp_path / "same")
    told = "classifier.skops is a link, and what it points to may change unseen"
    assert told in refused(store)
    code, found = audit(store, capsys)
    assert code == 1 and told in found
    path.unlink()
    os.mkfifo(path)
    assert "classifier.skops is no regular file" in refused(store)


def test_a_folder_that_is_a_link_is_named(store, tmp_path, capsys):
    folder = bundle(store)
    shutil.move(folder / "vqgan", tmp_path / "vqgan")
    (folder / "vqgan").symlink_to(tmp_path / "vqgan")
    assert "vqgan is a link" in refused(store)
    shutil.move(folder, tmp_path / "bundle")
    folder.symlink_to(tmp_path / "bundle")
    assert "bundle.json is missing" in refused(store)
    assert audit(store, capsys)[0] == 1


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd"])
def test_a_path_outside_the_bundle_is_named(store, name, capsys):
    path = bundle(store) / "bundle.json"
    content = json.loads(path.read_text())
    content["files"][name] = "0" * 64
    path.write_text(json.dumps(content))
    tag(store, "bundle.sha256", hashlib.sha256(path.read_bytes()).hexdigest())
    told = f"bundle.json lists {name}, which lies outside the bundle"
    assert told in refused(store)
    code, found = audit(store, capsys)
    assert code == 1 and told in found


def test_a_model_that_names_a_bundle_outside_is_refused(store, tmp_path, capsys):
    shutil.copytree(bundle(store), tmp_path / "elsewhere")
    model = bundle(store).parents[1]
    text = (model / "MLmodel").read_text()
    (model / "MLmodel").write_text(text.replace(f"path: {bundle(store).relative_to(model)}", f"path: {tmp_path}/elsewhere"))
    assert text != (model / "MLmodel").read_text()
    assert "not as it was registered" in refused(store)
    code, found = audit(store, capsys)
    assert code == 1 and "MLmodel has changed (SHA-256 differs)" in found


def test_files_outside_the_store_are_refused(store, tmp_path, capsys):
    shutil.copytree(bundle(store).parents[1], tmp_path / "model")
    alter(store, "update model_versions set source = ?, storage_location = ? where version = 2", *[(tmp_path / "model").as_uri()] * 2)
    assert f"its files lie at {(tmp_path / 'model').as_uri()}, outside the store's" in refused(store)
    assert audit(store, capsys)[0] == 1


def test_bundle_json_that_is_nested_too_deep_or_no_object_is_refused(store):
    for content in ("[" * 100_000, "[]", '{"files": 3}', "\xff"):
        (bundle(store) / "bundle.json").write_text(content, encoding="latin-1")
        assert "bundle.json is not readable as a list of files" in refused(store)


@pytest.mark.parametrize("version", ["1", None])
def test_an_alias_that_somebody_moved_is_not_followed(made, store, version, capsys, monkeypatch):
    monkeypatch.setattr(champion, "UNDER_WAY", 0.0)
    if version is None:
        alter(store, "delete from registered_model_aliases where alias = 'champion'")
    else:
        alter(store, "update registered_model_aliases set version = ? where alias = 'champion'", version)
    borne = "no version" if version is None else "version 1"
    told = f"the alias champion of tiny names {borne}, but the last decision made version 2 champion: somebody moved the alias"
    asked = [lambda: in_charge("tiny", store), lambda: Champions("tiny", store).version(), lambda: promote(made[0], store), lambda: watched("tiny", store)]
    if version is not None:
        asked.append(lambda: resolve_decided("tiny", store))
        with pytest.raises(ZeromissError, match="say with --to VERSION which one is to judge"):
            rollback("tiny", store, to=None, by="Ann", why="moved")
    for ask in asked:
        with pytest.raises(ZeromissError, match=told):
            ask()
    code, faults = told_by_history(store, capsys)
    assert code == 1 and faults[0].startswith(told)
    rollback("tiny", store, to="2", by="Ann", why="the alias was moved by hand")
    assert in_charge("tiny", store) == ("2", "champion")
    assert told_by_history(store, capsys) == (0, [])


def test_a_deleted_decision_shows_with_the_alias_moved_back(store, capsys):
    alter(store, "delete from params where key = '000002'")
    alter(store, "update registered_model_aliases set version = 1 where alias = 'champion'")
    with pytest.raises(ZeromissError, match="the decision that made version 2 champion of tiny is missing from the log of decisions"):
        in_charge("tiny", store)
    code, faults = told_by_history(store, capsys)
    assert code == 1
    assert "version 2 names entry 2 of the log, which is not there as it was" in faults
    rollback("tiny", store, to="1", by="Ann", why="version 2 is not trusted")
    assert in_charge("tiny", store) == ("1", "champion")
    assert told_by_history(store, capsys)[0] == 1  # what is gone stays gone


@pytest.mark.parametrize("how", ["entries", "experiment", "run"])
def test_a_log_that_is_gone_is_no_empty_log(store, how, capsys):
    run_id = prepare(store).get_experiment_by_name("zeromiss-tiny decisions").tags["zeromiss.decisions"]
    if how == "experiment":
        alter(store, "delete from experiment_tags where key = 'zeromiss.decisions'")
        alter(store, "delete from experiments where name = 'zeromiss-tiny decisions'")
    else:
        alter(store, "delete from params where run_uuid = ?", run_id, rows=2)
    if how == "run":
        for table in ("tags", "runs"):
            with closing(sqlite3.connect(store.root / "mlruns/mlflow.db")) as database, database:
                database.execute(f"delete from {table} where run_uuid = ?", (run_id,))
    code, faults = told_by_history(store, capsys)
    assert code == 1
    assert {f"version {number} names entry {number} of the log, which is not there as it was" for number in (1, 2)} <= set(faults)
    with pytest.raises(ZeromissError, match="the decision that made version 2 champion of tiny is missing from the log"):
        in_charge("tiny", store)


def test_the_reference_of_drift_is_under_checksums(store, capsys):
    path = parts.artifacts(prepare(store), prepare(store).get_model_version(NAME, "2").run_id) / "monitor/normals.parquet"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ZeromissError, match=r"not as it was registered: normals.parquet has changed \(SHA-256 differs\)"):
        watched("tiny", store)
    code, found = audit(store, capsys)
    assert code == 1 and "normals.parquet has changed (SHA-256 differs)" in found


def key_pair(folder, name="key"):
    """Write a pair of keys as openssl does."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    private.chmod(0o600)
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_a_required_signature(store, tmp_path, monkeypatch):
    private, public = key_pair(tmp_path)
    monkeypatch.setenv(PUBLIC_KEY, str(public))
    assert "zeromiss-tiny version 2 is not signed" in refused(store)
    assert sign("tiny", store, private) == "zeromiss-tiny version 2"
    assert load_inspector("tiny", store).threshold == 0.5
    monkeypatch.setenv(PUBLIC_KEY, str(key_pair(tmp_path, "other")[1]))
    assert "the signature of zeromiss-tiny version 2 does not fit" in refused(store)
    monkeypatch.setenv(PUBLIC_KEY, str(public))
    own = prepare(store).get_model_version(NAME, "2").tags[TAG]
    prepare(store).set_model_version_tag(NAME, "1", TAG, own)  # of another version
    with pytest.raises(ZeromissError, match="the signature of zeromiss-tiny version 1 does not fit"):
        load_inspector("tiny", store, version="1")
    renewed = renew(store, value=1.0)  # whoever can write to the store renews every hash and tag, but not the signature
    summary = bundle(store) / "summary.json"
    summary.write_text(summary.read_text().replace('"value": 0.5', '"value": 1.0'))
    seal = parts.artifacts(prepare(store), prepare(store).get_model_version(NAME, "2").run_id) / "seal/model.json"
    content = json.loads(seal.read_text())
    inside = summary.relative_to(bundle(store).parents[1]).as_posix()
    content["files"][inside] = hashlib.sha256(summary.read_bytes()).hexdigest()
    seal.write_text(json.dumps(content))
    for name, value in (("bundle.sha256", renewed), ("threshold.value", "1.0"), ("seal.model", hashlib.sha256(seal.read_bytes()).hexdigest())):
        tag(store, name, value)
    assert "or its checksums were changed; it is not opened" in refused(store)
    monkeypatch.delenv(PUBLIC_KEY)
    assert load_inspector("tiny", store)  # without a signature nothing tells this from a version that was registered so


def test_keys_that_are_none_are_refused(store, tmp_path, monkeypatch):
    private, public = key_pair(tmp_path)
    private.chmod(0o644)
    with pytest.raises(ZeromissError, match="can be read by others: chmod 600"):
        sign("tiny", store, private)
    (tmp_path / "no.pem").write_text("no key")
    (tmp_path / "no.pem").chmod(0o600)
    with pytest.raises(ZeromissError, match="is no private key in PEM form: openssl genpkey"):
        sign("tiny", store, tmp_path / "no.pem")
    shutil.copy(public, store.root / "mlruns/artifacts/key.pub")
    for named, words in ((tmp_path / "none", "cannot be read"), (tmp_path / "no.pem", "no public key"), (store.root / "mlruns/artifacts/key.pub", "lies in the store")):
        monkeypatch.setenv(PUBLIC_KEY, str(named))
        assert words in refused(store)


def test_a_registry_that_cannot_be_written_to_is_enough(store):
    """As a user without any right to write below mlruns: root's rights would hide a refusal."""
    root = store.root / "mlruns"
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    mine = os.geteuid()
    modes = [] if mine == 0 else [(path, path.stat().st_mode) for path in (root, *root.rglob("*"))]
    for path, mode in modes:
        path.chmod(mode & 0o555)
    try:
        if mine == 0:
            os.seteuid(65534)
        with pytest.raises(PermissionError):
            (root / "probe").write_text("")
        assert in_charge("tiny", store) == ("2", "champion")
        assert load_inspector("tiny", store).threshold == 0.5
        assert cast_shadow("tiny", store, []) is None
        assert reading(store).get_registered_model(NAME).name == NAME
    finally:
        if mine == 0:
            os.seteuid(0)
        for path, mode in modes:
            path.chmod(mode)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
