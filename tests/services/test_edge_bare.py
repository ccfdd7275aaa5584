"""An exported folder where there is nothing else: a virtual environment that holds what its requirements.txt names, from the package index."""

import json
import os
import subprocess
import sys

import pytest

from tests.bundle_parts import draw, write_real_bundle
from zeromiss.edge import check, export
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.verdict import ModelName

ABSENT = {"torch", "torchvision", "timm", "pandas", "pyarrow", "mlflow", "prefect", "dvc", "onnx", "onnxscript", "zeromiss"}


def run(*words, place):
    """Run a command in `place` without this environment's paths and return what it printed."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([str(word) for word in words], cwd=place, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_bare_environment_judges_as_the_model_does(tmp_path):
    images = [draw(tmp_path / f"{number}.png", number, bar=number >= 4) for number in range(8)]
    bundle, target = write_real_bundle(tmp_path, images, family="lr", masked=True, reads=r"(difference|map|context)\.(max|mean|q)"), tmp_path / "folder"
    export.write_verified(target, bundle, images, images="table", model=ModelName(name="tiny", version="1"), engine="onnxruntime")
    run(sys.executable, "-m", "venv", "bare", place=tmp_path)
    python = tmp_path / "bare/bin/python"
    run(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile", "--requirement", target / "requirements.txt", place=tmp_path)
    held = {one["name"].lower() for one in json.loads(run(python, "-m", "pip", "--disable-pip-version-check", "list", "--format", "json", place=tmp_path))}
    assert "onnxruntime" in held and held & ABSENT == set()
    found = [json.loads(line) for line in run(python, target / "inspect_images.py", *images, place=tmp_path).splitlines()]
    expected = [Inspector.load(bundle).inspect(path) for path in images]
    assert [one["verdict"] for one in found] == [one.verdict for one in expected]
    assert {one.verdict for one in expected} == {"normal", "abnormal"}
    assert [one["score"] for one in found] == pytest.approx([one.score for one in expected], abs=check.TOLERANCE)
