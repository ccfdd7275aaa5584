"""The stages of GanoDIP and f-AnoGAN, from manifest to folder."""

import importlib
from pathlib import Path

import pytest
import torch

from tests.model.detector_parts import FILES, drawn_product, drawn_workspace, noise
from zeromiss.detector_params import FAnoganParams, GanodipParams
from zeromiss.detectors.load import load_detector
from zeromiss.params import Product
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

SIZE = 32
SHORT = {"channels": (8, 8), "latent": 4, "batch": 2, "gan_steps": 4, "critic_steps": 2, "encoder_steps": 3, "checkpoint_every": 2}
PARAMS = {"ganodip": GanodipParams(side=16, **SHORT), "f_anogan": FAnoganParams(tile=16, **SHORT)}


@pytest.fixture
def product(repository: Path) -> Product:
    """A product of 32 pixels with both detectors, learned in a moment."""
    return drawn_product(repository, SIZE, **PARAMS)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A manifest of two training images, one for the samples, and a row that must never be opened."""
    return drawn_workspace(tmp_path, noise(3, SIZE))


@pytest.mark.parametrize("name", ["ganodip", "f_anogan"])
def test_a_stage_leaves_a_detector_that_judges(product: Product, workspace: Workspace, name: str):
    training = importlib.import_module(f"zeromiss.stages.{name}").run(product, workspace, NoLog())
    folder = workspace.detector("drawn", name)
    assert {path.name for path in folder.iterdir()} == FILES
    detector = load_detector(folder)
    assert (detector.name, detector.params) == (name, PARAMS[name])
    assert training["images"] == 2
    assert training["parameters"] == sum(tensor.numel() for tensor in detector.state_dict().values())
    assert read_table(folder / "history.parquet", schema_version=1)["step"].tolist() == [7.0]
    image_BCHW = torch.full((1, 3, SIZE, SIZE), 0.5)
    detection = detector.score(image_BCHW, detector.reconstruct(image_BCHW))
    assert detection.map_BHW.shape == (1, SIZE, SIZE)
    assert torch.isfinite(detection.score_B).all()
    assert list(workspace.checkpoints.rglob("*.safetensors")) == []  # written every second step, and of no use any more
