"""The stage of SimpleNet, from manifest to folder, on the real backbone."""

from pathlib import Path

import torch

from tests.model.detector_parts import FILES, drawn_product, drawn_workspace, noise
from zeromiss.detector_params import SimplenetParams
from zeromiss.detectors.load import load_detector
from zeromiss.stages import simplenet as stage
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table

SIZE = 64
PARAMS = SimplenetParams(hidden=8, epochs=1, least_steps=3, batch=1)


def test_the_stage_leaves_a_detector_that_judges(tmp_path: Path, repository: Path):
    workspace = drawn_workspace(tmp_path, noise(3, SIZE))
    training = stage.run(drawn_product(repository, SIZE, simplenet=PARAMS), workspace, NoLog())
    folder = workspace.detector("drawn", "simplenet")
    assert {path.name for path in folder.iterdir()} == FILES
    detector = load_detector(folder)
    assert (detector.name, detector.params) == ("simplenet", PARAMS)
    assert detector.head.adapter.weight.shape == (152, 152)  # 40 channels at stride 8 and 112 at 16
    assert training["images"] == 2
    assert read_table(folder / "history.parquet", schema_version=1)["step"].tolist() == [3.0]
    detection = detector.detect(torch.full((1, 3, SIZE, SIZE), 0.5))
    assert detection.map_BHW.shape == (1, SIZE, SIZE)
    assert detection.score_B.isfinite().all() and (detection.map_BHW > 0).all()
