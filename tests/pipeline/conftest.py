"""A small workspace with an embedded tracking store of its own, and bundles that need no training."""

import shutil

import pytest

from tests.workspace_parts import PROFILE, git_and_dvc

PARAMS = PROFILE + """\
  tiny:
    profile: quick
    seed: 7
    source: {kind: csv, path: images.csv}
    vqgan: {channels: [8, 16], codes: 8, code_dim: 4, blocks: 1}
    metrics: {pixels: 10, patches: 20}
    promotion: {chance: 0.5, min_passed: 0}  # a handful of audit images cannot be told from chance by more
"""


@pytest.fixture(scope="session")
def registry_template(tmp_path_factory):
    """A repository with one commit and an empty store: making the store's tables takes seconds."""
    from zeromiss.registry.store import prepare
    from zeromiss.workspace import Workspace

    root = tmp_path_factory.mktemp("registry") / "repository"
    root.mkdir()
    (root / "params.yaml").write_text(PARAMS)
    (root / "dvc.yaml").write_text("stages: {}\n")
    git_and_dvc(root, dvc=False)
    prepare(Workspace(root=root))
    return root


@pytest.fixture
def tracked(registry_template, tmp_path, monkeypatch):
    """A workspace with a store of its own."""
    from zeromiss.workspace import Workspace

    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "ZEROMISS_PARENT_RUN"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "repository"
    shutil.copytree(registry_template, root)
    return Workspace(root=root)


@pytest.fixture
def tiny(tracked):
    """The parameters of the workspace's one product."""
    from zeromiss.params import load_product

    return load_product(tracked.params_file, "tiny")
