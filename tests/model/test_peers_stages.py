"""The stages of the detectors on anomalib, from manifest to folder."""

import importlib
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.model.detector_parts import FILES, drawn_product, drawn_workspace
from tests.model.peers_parts import judged, parts
from zeromiss.detector_params import EfficientadParams, GanomalyParams, PadimParams, PatchcoreParams
from zeromiss.detectors.catalogue import CATALOGUE
from zeromiss.detectors.load import load_detector
from zeromiss.params import Product
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

SIZE = 32
PARAMS = {
    "padim": PadimParams(features=6),
    "patchcore": PatchcoreParams(patches=30, share=0.5),
    "efficientad": EfficientadParams(channels=4, teacher_steps=1, steps=1),
    "ganomaly": GanomalyParams(side=32, channels=4, latent=8, batch=2, steps=3),
}
STEPS = {"padim": [], "patchcore": [], "efficientad": [2.0], "ganomaly": [3.0]}


@pytest.fixture
def product(repository: Path) -> Product:
    """A product of 32 pixels with the four detectors, learned in a moment."""
    return drawn_product(repository, SIZE, **PARAMS)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A manifest of three training images, one for the samples, and a row that must never be opened."""
    return drawn_workspace(tmp_path, parts(4, side=SIZE))


@pytest.mark.parametrize("name", PARAMS)
def test_a_stage_leaves_a_detector_that_judges(product: Product, workspace: Workspace, name: str):
    training = importlib.import_module(f"zeromiss.stages.{name}").run(product, workspace, NoLog())
    folder = workspace.detector("drawn", name)
    assert {path.name for path in folder.iterdir()} == FILES
    detector = load_detector(folder)
    assert (detector.name, detector.params, training["images"]) == (name, PARAMS[name], 3)
    assert hasattr(detector, "reconstruct") == (CATALOGUE[name].kind == "redraws")
    history = read_table(folder / "history.parquet", schema_version=1)
    assert history.get("step", pd.Series(dtype=float)).tolist() == STEPS[name]
    detection = judged(detector, torch.full((1, 3, SIZE, SIZE), 0.5))
    assert detection.map_BHW.shape == (1, SIZE, SIZE) and torch.isfinite(detection.score_B).all()
