"""The stage from manifest to folder: it learns from the splits train and abnormal, and opens nothing else."""

from pathlib import Path

import cv2
import pandas as pd
import pytest
import torch

from tests.model.cyclegan_parts import SIDE, parts, tiny
from tests.model.detector_parts import FILES, drawn_product
from tests.workspace_parts import unaligned
from zeromiss.detectors.cyclegan import cyclegan as detector_module
from zeromiss.detectors.cyclegan.store import load_cyclegan
from zeromiss.detectors.cyclegan.train import train
from zeromiss.detectors.taught import FILE, SCHEMA_VERSION, read_taught, refuse_taught_images
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, sha256_file
from zeromiss.params import Product
from zeromiss.stages import cyclegan as stage
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace

GOOD, BAD = parts(6, seed=1, defects=False), parts(6, seed=2, defects=True)


@pytest.fixture(autouse=True)
def small_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let FID look at 64 pixels, which takes a sixteenth of the time."""
    monkeypatch.setattr(detector_module, "FEATURE_SIDE", 64)


@pytest.fixture
def product(repository: Path) -> Product:
    """A product of 32 pixels that learns in a second."""
    return drawn_product(repository, SIDE, cyclegan=tiny())


def write(workspace: Workspace, rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Write images (file, label, split) of the product and their manifest; each has its own pixels."""
    raw = workspace.raw("drawn")
    raw.mkdir(parents=True, exist_ok=True)
    left = {"normal": iter(GOOD), "defect": iter(BAD)}
    for name, label, _ in rows:
        cv2.imwrite(str(raw / name), next(left[label]).movedim(0, -1).numpy()[..., ::-1])
    frame = pd.DataFrame([(name, label, split, name, sha256_file(raw / name)) for name, label, split in rows])
    frame.columns = ["path", "label", "split", "part_id", "sha256"]
    write_table(workspace.manifest("drawn") / "manifest.parquet", frame, schema_version=2)
    unaligned(workspace, "drawn")
    return frame


HONEST = [
    ("t0.png", "normal", "train"), ("t1.png", "normal", "train"), ("a0.png", "defect", "abnormal"), ("a1.png", "defect", "abnormal"),
    ("m0.png", "normal", "mask"), ("x0.png", "normal", "table"), ("x1.png", "defect", "table"), ("z0.png", "defect", "audit"),
]  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return Workspace(root=tmp_path)


def test_it_opens_no_image_of_another_split_or_label(product: Product, workspace: Workspace) -> None:
    """Images that must not be opened are no images: any look at one stops the run."""
    traps = [("b0.png", "normal", "abnormal"), ("b1.png", "defect", "train"), ("b2.png", "defect", "mask"), ("b3.png", "normal", "audit")]
    frame = write(workspace, [*HONEST, *traps])
    closed = ~frame["path"].isin(["t0.png", "t1.png", "a0.png", "a1.png", "m0.png"])
    for path in frame.loc[closed, "path"]:
        (workspace.raw("drawn") / path).write_bytes(b"not to be opened")
    stage.run(product, workspace, NoLog())
    lists = read_json(workspace.detector("drawn", "cyclegan") / FILE, schema_version=SCHEMA_VERSION)
    of = frame.set_index("path")["sha256"]
    assert lists["normal"] == [of["t0.png"], of["t1.png"]] and lists["abnormal"] == [of["a0.png"], of["a1.png"]]


def test_it_writes_the_detector_that_training_gives(product: Product, workspace: Workspace) -> None:
    write(workspace, HONEST)
    training = stage.run(product, workspace, NoLog())
    folder = workspace.detector("drawn", "cyclegan")
    assert {path.name for path in folder.iterdir()} == FILES
    expected = train(product.cyclegan, GOOD[:2], abnormal=BAD[:2], size=SIDE, seed=0).detector.state_dict()
    found = load_cyclegan(folder).state_dict()
    assert expected.keys() == found.keys() and all(torch.equal(expected[key], found[key]) for key in expected)
    assert read_table(folder / "history.parquet", schema_version=1)["step"].tolist() == [8.0]
    assert training["images"] == 2 and training["parameters"] == sum(tensor.numel() for tensor in found.values())


def test_without_abnormal_images_it_is_refused(product: Product, workspace: Workspace) -> None:
    write(workspace, [row for row in HONEST if row[2] != "abnormal"])
    with pytest.raises(ZeromissError, match="cyclegan learns from abnormal images too and product 'drawn' has put none aside"):
        stage.run(product, workspace, NoLog())


@pytest.mark.parametrize("judged", ["table", "audit", "mask"])
def test_what_it_learned_from_is_refused_when_the_manifest_says_it_judges(product: Product, workspace: Workspace, judged: str) -> None:
    frame = write(workspace, HONEST)
    stage.run(product, workspace, NoLog())
    folders, raw = {"cyclegan": workspace.detector("drawn", "cyclegan")}, workspace.raw("drawn")
    refuse_taught_images(folders, frame, raw, opened=("mask", "table"))
    assert len(read_taught(folders["cyclegan"])) == 4
    doctored = frame.assign(split=frame["split"].mask(frame["path"] == "a1.png", judged))
    with pytest.raises(ZeromissError, match=f"a1.png is in the split {judged}, but cyclegan was taught with the very image"):
        refuse_taught_images(folders, doctored, raw, opened=("mask", "table"))
