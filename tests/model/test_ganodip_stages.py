"""The stages of GanoDIP and f-AnoGAN, from manifest to folder."""

import importlib
from pathlib import Path

import cv2
import pandas as pd
import pytest
import torch

from tests.workspace_parts import unaligned
from zeromiss.detector_params import FAnoganParams, GanodipParams
from zeromiss.detectors.load import load_detector
from zeromiss.params import Product, load_product
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace

SIZE = 32
SHORT = {"channels": (8, 8), "latent": 4, "batch": 2, "gan_steps": 4, "critic_steps": 2, "encoder_steps": 3}
PARAMS = {"ganodip": GanodipParams(side=16, **SHORT), "f_anogan": FAnoganParams(tile=16, **SHORT)}


@pytest.fixture
def product(repository: Path) -> Product:
    """A product of 32 pixels with both detectors, learned in a moment."""
    whole = load_product(repository / "params.yaml", "solar_cell")
    return whole.model_copy(update={"name": "drawn", "size": SIZE, **PARAMS})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A manifest of two training images, one for the samples, and a row that must never be opened."""
    made = Workspace(root=tmp_path)
    raw = made.raw("drawn")
    raw.mkdir(parents=True)
    images = torch.randint(0, 256, (3, SIZE, SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rows = []
    for index, split in enumerate(["train", "train", "mask", "table"]):
        if split != "table":
            cv2.imwrite(str(raw / f"{index}.png"), images[index].numpy())
        rows.append({"path": f"{index}.png", "split": split, "label": "normal", "sha256": f"{index:064x}"})
    write_table(made.manifest("drawn") / "manifest.parquet", pd.DataFrame(rows), schema_version=1)
    unaligned(made, "drawn")
    return made


@pytest.mark.parametrize("name", ["ganodip", "f_anogan"])
def test_a_stage_leaves_a_detector_that_judges(product: Product, workspace: Workspace, name: str):
    training = importlib.import_module(f"zeromiss.stages.{name}").run(product, workspace, NoLog())
    folder = workspace.detector("drawn", name)
    names = {"config.json", "model.safetensors", "history.parquet", "training.json", "taught.json", "samples.png"}
    assert {path.name for path in folder.iterdir()} == names
    detector = load_detector(folder)
    assert (detector.name, detector.params) == (name, PARAMS[name])
    assert training["images"] == 2
    assert training["parameters"] == sum(tensor.numel() for tensor in detector.state_dict().values())
    assert read_table(folder / "history.parquet", schema_version=1)["step"].tolist() == [7.0]
    image_BCHW = torch.full((1, 3, SIZE, SIZE), 0.5)
    detection = detector.score(image_BCHW, detector.reconstruct(image_BCHW))
    assert detection.map_BHW.shape == (1, SIZE, SIZE)
    assert torch.isfinite(detection.score_B).all()
