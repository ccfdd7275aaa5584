"""The stage of SimpleNet, from manifest to folder, on the real backbone."""

from pathlib import Path

import cv2
import pandas as pd
import torch

from tests.workspace_parts import unaligned
from zeromiss.detector_params import SimplenetParams
from zeromiss.detectors.load import load_detector
from zeromiss.params import load_product
from zeromiss.stages import simplenet as stage
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace

SIZE = 64
PARAMS = SimplenetParams(hidden=8, epochs=1, least_steps=3, batch=1)


def drawn_workspace(root: Path) -> Workspace:
    """A manifest of two training images, one for the samples, and a row that must never be opened."""
    made = Workspace(root=root)
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


def test_the_stage_leaves_a_detector_that_judges(tmp_path: Path, repository: Path):
    workspace = drawn_workspace(tmp_path)
    whole = load_product(repository / "params.yaml", "solar_cell")
    training = stage.run(whole.model_copy(update={"name": "drawn", "size": SIZE, "simplenet": PARAMS}), workspace, NoLog())
    folder = workspace.detector("drawn", "simplenet")
    names = {"config.json", "model.safetensors", "history.parquet", "training.json", "taught.json", "samples.png"}
    assert {path.name for path in folder.iterdir()} == names
    detector = load_detector(folder)
    assert (detector.name, detector.params) == ("simplenet", PARAMS)
    assert detector.head.adapter.weight.shape == (152, 152)  # 40 channels at stride 8 and 112 at 16
    assert training["images"] == 2
    assert read_table(folder / "history.parquet", schema_version=1)["step"].tolist() == [3.0]
    detection = detector.detect(torch.full((1, 3, SIZE, SIZE), 0.5))
    assert detection.map_BHW.shape == (1, SIZE, SIZE)
    assert detection.score_B.isfinite().all() and (detection.map_BHW > 0).all()
