"""The stage of the patch autoencoder, from manifest to folder, on the real backbone."""

from pathlib import Path

import cv2
import pandas as pd
import pytest
import torch

from tests.workspace_parts import unaligned
from zeromiss.detector_params import CpcaeParams
from zeromiss.detectors.load import load_detector
from zeromiss.errors import ZeromissError
from zeromiss.params import Product, load_product
from zeromiss.stages import cpcae as stage
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace

SIZE = 64
PARAMS = CpcaeParams(patch=16, patch_step=16, channels=(4,), code=4, batch=2, steps=3, neighbors=3)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A manifest of three training images, one for the samples, and a row that must never be opened."""
    made = Workspace(root=tmp_path)
    raw = made.raw("drawn")
    raw.mkdir(parents=True)
    images = torch.randint(0, 256, (4, SIZE, SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rows = []
    for index, split in enumerate(["train", "train", "train", "mask", "table"]):
        if split != "table":
            cv2.imwrite(str(raw / f"{index}.png"), images[index].numpy())
        rows.append({"path": f"{index}.png", "split": split, "label": "normal", "sha256": f"{index:064x}"})
    write_table(made.manifest("drawn") / "manifest.parquet", pd.DataFrame(rows), schema_version=1)
    unaligned(made, "drawn")
    return made


def product(repository: Path, params: CpcaeParams) -> Product:
    """Return a product of 64 pixels with these parameters."""
    return load_product(repository / "params.yaml", "solar_cell").model_copy(update={"name": "drawn", "size": SIZE, "cpcae": params})


def test_the_stage_leaves_a_detector_that_judges(workspace: Workspace, repository: Path):
    training = stage.run(product(repository, PARAMS), workspace, NoLog())
    folder = workspace.detector("drawn", "cpcae")
    names = {"config.json", "model.safetensors", "history.parquet", "training.json", "taught.json", "samples.png"}
    assert {path.name for path in folder.iterdir()} == names
    detector = load_detector(folder)
    assert (detector.name, detector.params, detector.size) == ("cpcae", PARAMS, SIZE)
    assert training["images"] == len(detector.memory_NF) == 3
    assert read_table(folder / "history.parquet", schema_version=1)["step"].tolist() == [3.0]
    assert cv2.imread(str(folder / "samples.png")).shape == (3 * SIZE, SIZE, 3)  # original, reconstruction, map
    image_BCHW = torch.full((1, 3, SIZE, SIZE), 0.5)
    detection = detector.score(image_BCHW, detector.reconstruct(image_BCHW))
    assert detection.score_B.isfinite().all() and (detection.score_B > 0).all()


def test_the_stage_refuses_too_few_images(workspace: Workspace, repository: Path):
    with pytest.raises(ZeromissError, match="its 15 nearest training images and there are 3"):
        stage.run(product(repository, PARAMS.model_copy(update={"neighbors": 15})), workspace, NoLog())
    assert not workspace.detector("drawn", "cpcae").exists()
