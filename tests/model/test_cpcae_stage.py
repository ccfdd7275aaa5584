"""The stage of the patch autoencoder, from manifest to folder, on the real backbone."""

from pathlib import Path

import cv2
import pytest
import torch

from tests.model.detector_parts import FILES, drawn_product, drawn_workspace, noise
from zeromiss.detector_params import CpcaeParams
from zeromiss.detectors.load import load_detector
from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize
from zeromiss.params import Product
from zeromiss.stages import cpcae as stage
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

SIZE = 64
PARAMS = CpcaeParams(patch=16, patch_step=16, channels=(4,), code=4, batch=2, steps=3, neighbors=3)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A manifest of three training images, one for the samples, and a row that must never be opened."""
    return drawn_workspace(tmp_path, noise(4, SIZE))


def product(repository: Path, params: CpcaeParams) -> Product:
    """Return a product of 64 pixels with these parameters."""
    return drawn_product(repository, SIZE, cpcae=params)


def test_the_stage_leaves_a_detector_that_judges(workspace: Workspace, repository: Path):
    training = stage.run(product(repository, PARAMS), workspace, NoLog())
    folder = workspace.detector("drawn", "cpcae")
    assert {path.name for path in folder.iterdir()} == FILES
    detector = load_detector(folder)
    assert (detector.name, detector.params, detector.size) == ("cpcae", PARAMS, ImageSize.of(SIZE))
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
