"""A registered model made again from its commit, by the real stages, after a later commit changed code and parameters."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.workspace_parts import git_and_dvc
from zeromiss.fits import follow_params
from zeromiss.workspace import Workspace

pytestmark = pytest.mark.usefixtures("prefect_server")

PARAMS = """schema_version: 1
profiles:
  quick: {size: 32, manifest: {}, align: {}, vqgan: {}, metrics: {}, selection: {}, threshold: {}, promotion: {}, inspection: {}, compare: {}}
products:
  tiny:
    profile: quick
    seed: 3
    size: null
    detectors: [vqgan]
    source: {kind: csv, path: drawn/images.csv}
    manifest: {mask: 2, audit: 0.0, min_defects: 2}
    align: {}
    vqgan: {channels: [8, 16], codes: 8, code_dim: 4, critic_channels: 4, crop: null, steps: 6, batch: 2, codebook_start: 2, critic_start: 3, critic_warmup: 1}
    metrics: {pixels: 10, patches: 8, scales: 2}
    selection: {families: [lr, nb], draws: 2, folds: 2, jobs: 1, smote_below: 0.0}
    threshold: {}
    promotion: {}
    inspection: {}
    compare: {}
"""
CODE = "src/zeromiss/stages/threshold.py"
SPOKEN = """

_facts = threshold_facts


def threshold_facts(*given, **named):
    return _facts(*given, **named) | {{"spoken": "{word}"}}
"""
SETTINGS = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "ZEROMISS_PARENT_RUN")  # of the user's own shell
TARGETS = ["manifest@tiny", "vqgan@tiny", "metrics@tiny", "selection@tiny", "threshold@tiny", "bundle@tiny"]


def draw(folder):
    """Draw 12 plain parts and 6 with a bright bar, and their list."""
    rng, lines = np.random.default_rng(0), ["path,label"]
    folder.mkdir()
    for number in range(18):
        pixels_HW = np.linspace(80, 120, 32)[None].repeat(32, 0) + rng.normal(0, 2, (32, 32))
        if number >= 12:
            pixels_HW[number : number + 6, 5:9] = 230
        Image.fromarray(pixels_HW.clip(0, 255).astype(np.uint8)).save(folder / f"{number:02d}.png")
        lines.append(f"{number:02d}.png,{'scratch' if number >= 12 else 'normal'}")
    (folder / "images.csv").write_text("\n".join(lines) + "\n")


def git(root, *arguments):
    """Run git in the repository and return what it prints."""
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    return subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def state(root):
    """Return everything that a rebuild must leave as it is."""
    names = ["dvc.lock", "params.yaml", ".git/index", ".git/HEAD", CODE]
    return {name: (root / name).read_bytes() for name in names} | {"status": git(root, "status", "--porcelain")}


def learn(root, monkeypatch):
    """Ingest, run the stages up to the bundle as the repository's code would, and register what they made."""
    from dvc.repo import Repo

    from tasks.pipeline import process
    from tasks.versioning import environment
    from zeromiss.images.ingest import ingest
    from zeromiss.params import load_product
    from zeromiss.registry.publish import register
    from zeromiss.registry.stage_runner import run_stage
    from zeromiss.stages import threshold

    workspace = Workspace(root=root)
    product, facts = load_product(workspace.params_file, "tiny"), threshold.threshold_facts
    ingest(product, workspace)
    assert process("add", "data/01_raw/tiny", root, environment()) == 0
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "images")
    # in this process, which has its imports already; SPOKEN does the same to the code that lies there
    monkeypatch.setattr(threshold, "threshold_facts", lambda *given, **named: facts(*given, **named) | {"spoken": "first"})
    for target in TARGETS:
        run_stage(target.removesuffix("@tiny"), "tiny", workspace)
    monkeypatch.chdir(root)
    with Repo() as repo:
        repo.commit("bundle@tiny", with_deps=True, force=True)
    return register(product, workspace).version


@pytest.fixture(scope="module")
def repository_of_two(tmp_path_factory, repository):
    """A repository with code of its own that made a model, and a later commit with other code and parameters."""
    root = tmp_path_factory.mktemp("rebuild") / "repository"
    root.mkdir()
    for name in ("src", "tasks", "flows"):
        shutil.copytree(repository / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(repository / "dvc.yaml", root)
    (root / "params.yaml").write_text(PARAMS)
    follow_params(Workspace(root=root))
    draw(root / "drawn")
    code = (root / CODE).read_text()
    (root / CODE).write_text(code + SPOKEN.format(word="first"))
    git_and_dvc(root)
    (root / ".dvcignore").write_text("__pycache__/\n")
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in SETTINGS:
            monkeypatch.delenv(name, raising=False)
        assert learn(root, monkeypatch) == "1"
    (root / CODE).write_text(code + SPOKEN.format(word="second"))
    (root / "params.yaml").write_text(PARAMS.replace("steps: 6", "steps: 9").replace("seed: 3", "seed: 4"))
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "other code and parameters")
    return root


@pytest.fixture
def root(repository_of_two, monkeypatch):
    """The current folder, as for the command line."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(repository_of_two)
    return repository_of_two


@pytest.fixture
def again(root, capsys):
    """Return a function that makes version 1 again: exit code and result."""
    from flows import rebuild

    def run(**settings):
        status = rebuild.run("tiny/1", root, as_json=True, **settings)
        return status, json.loads(capsys.readouterr().out)

    return run


def stop(*given):
    """End the program as Ctrl-C does."""
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def stopped(repository_of_two):
    """The repository after a rebuild that was stopped right before it compared: its folder, and its state before."""
    from flows import rebuild
    from tasks.rebuild import place

    before = state(repository_of_two)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild, "compare_models", stop)
        with pytest.raises(KeyboardInterrupt):
            rebuild.run("tiny/1", repository_of_two, as_json=True)
    folder = place("tiny", "1", str(repository_of_two))
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept, symlinks=True)
    yield folder, kept, before
    shutil.rmtree(kept)


def test_a_version_is_made_again_bit_for_bit_whatever_was_committed_since(root, stopped, again):
    from zeromiss.registry.events import read_events
    from zeromiss.registry.store import prepare
    from zeromiss.workspace import Workspace

    folder, _, before = stopped
    assert (folder / "code/data/07_bundle/tiny/bundle.json").is_file()
    status, result = again()
    assert (status, result["sentence"]) == (0, "rebuilt bit for bit"), result
    assert result["seconds"] == dict.fromkeys(TARGETS, 0.0)  # it went on from where it was stopped

    found = {entry["path"]: (entry["name"], entry["status"]) for entry in result["compared"]}
    assert found["data/02_manifest/tiny/manifest.parquet"] == ("manifest", "equal")
    assert found["data/07_bundle/tiny/vqgan/model.safetensors"] == ("weights", "equal")
    assert found["data/04_metrics/tiny/table.parquet"] == ("metric table", "equal")
    assert found["data/05_selection/tiny/oof.parquet"] == ("out-of-fold scores", "equal")
    assert found["data/05_selection/tiny/families.json"] == ("families", "equal but for seconds")
    assert found["data/06_threshold/tiny/threshold.json"] == ("threshold", "equal")
    assert found["data/07_bundle/tiny/classifier.skops"] == ("classifier", "equal")
    assert found[""] == ("winner", "equal")
    assert result["machine"] == []
    assert [event.facts["outcome"] for event in read_events(prepare(Workspace(root=root)), "tiny", Workspace(root=root), "rebuild")] == ["equal"]

    assert json.loads((root / "data/06_threshold/tiny/threshold.json").read_text())["spoken"] == "first"  # the code that ran was its own
    assert state(root) == before
    assert not folder.exists()
    assert len(git(root, "worktree", "list").splitlines()) == 1


def test_what_differs_is_named_and_the_exit_code_says_so(root, stopped, again):
    from safetensors.torch import load_file, save_file

    folder, kept, _ = stopped
    shutil.copytree(kept, folder, symlinks=True)
    weights, threshold = (folder / "code/data" / name for name in ("07_bundle/tiny/vqgan/model.safetensors", "06_threshold/tiny/threshold.json"))
    tensors = load_file(weights)
    name = sorted(tensors)[0]
    tensors[name].reshape(-1)[0] += 0.25
    save_file(tensors, weights)
    threshold.write_text(json.dumps(json.loads(threshold.read_text()) | {"value": 0.125}))
    going = json.loads((folder / "going.json").read_text())
    lost = {f"data/{name}/tiny": "DVC's cache no longer holds it" for name in ("04_metrics", "05_selection")}
    (folder / "going.json").write_text(json.dumps(going | {"missing": lost}))
    shutil.rmtree(folder / "registered/data/05_selection")
    status, result = again(keep=True)
    assert status == 1
    assert result["sentence"] == "differs: threshold, weights; on the same kind of machine"
    found = {entry["name"]: entry for entry in result["compared"]}
    assert found["weights"]["differing"] == 1
    assert found["weights"]["largest"] == pytest.approx(0.25, abs=1e-6)
    assert "value was" in found["threshold"]["detail"]
    assert {found[path]["status"] for path in lost} == {"not compared"}
    assert found["winner"]["detail"] in ("lr", "nb")  # as the bundles say it
    assert Path(result["kept"]).is_dir()


def test_a_damaged_image_in_the_cache_is_named_before_anything_runs(root, stopped):
    from flows import rebuild
    from zeromiss.errors import ZeromissError
    from zeromiss.files import sha256_file

    folder, _, _ = stopped
    shutil.rmtree(folder, ignore_errors=True)
    image = root / "data/01_raw/tiny/images/04.png"
    same = [path for path in (root / ".dvc/cache").rglob("*") if path.is_file() and sha256_file(path) == sha256_file(image)]
    assert len(same) == 1
    kept = same[0].read_bytes()
    same[0].chmod(0o644)
    same[0].write_bytes(kept[:-1] + b"?")
    same[0].chmod(0o444)
    with pytest.raises(ZeromissError, match=r"not whole: DVC's cache holds another tiny/images/04.png than was versioned; get it back"):
        rebuild.run("tiny/1", root, as_json=True)
    assert not (folder / "code").exists()
    same[0].chmod(0o644)
    same[0].write_bytes(kept)


def test_two_rebuilds_of_one_version_at_once_are_refused(root, stopped):
    from flows import rebuild
    from tasks.worktree import reserved
    from zeromiss.errors import ZeromissError

    with reserved(stopped[0], "something else"), pytest.raises(ZeromissError, match="a rebuild of tiny/1 is at work in .* already: wait until"):
        rebuild.run("tiny/1", root, as_json=True)
