"""The stage from manifest to folder: what it writes, what it reads, what it refuses."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from tests.workspace_parts import unaligned
from zeromiss.backbones.base import Backbone
from zeromiss.detectors.images import ImageFiles
from zeromiss.detectors.vqgan.evaluate import mean_psnr
from zeromiss.detectors.vqgan.store import load_vqgan
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json
from zeromiss.detector_params import VqganParams
from zeromiss.image_size import ImageSize
from zeromiss.images.reader import ImageReader
from zeromiss.params import Product, load_product
from zeromiss.stages import teaching
from zeromiss.stages import vqgan as stage
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace


class KeptLog:
    """A RunLog that remembers."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.points: list[tuple[int | None, dict[str, float]]] = []
        self.files: list[str] = []

    def metrics(self, values: dict[str, float], *, step: int | None = None) -> None:
        """Keep the numbers."""
        self.points.append((step, values))

    def artifact(self, path: Path) -> None:
        """Keep the name of a file that exists."""
        assert path.is_file()
        self.files.append(path.name)

    def tags(self, values: dict[str, str]) -> None:
        """Drop the strings."""


@pytest.fixture
def product(repository: Path, tiny_params: VqganParams) -> Product:
    """A product of 48 pixels with the tiny network."""
    whole = load_product(repository / "params.yaml", "solar_cell")
    return whole.model_copy(update={"name": "drawn", "size": ImageSize.of(48), "vqgan": tiny_params})


@pytest.fixture
def workspace(tmp_path: Path, drawn_images: Tensor, monkeypatch: pytest.MonkeyPatch, tiny_backbone: Backbone) -> Workspace:
    """A manifest of two training images, one for the mask, and rows that must never be opened."""
    monkeypatch.setattr(stage, "load_backbone", lambda name, path: tiny_backbone)
    made = Workspace(root=tmp_path)
    raw = made.raw("drawn")
    raw.mkdir(parents=True)
    rows = []
    for index, split in enumerate(["train", "train", "mask", "table", "audit"]):
        path = raw / f"{index}.png"
        if split in ("train", "mask"):
            cv2.imwrite(str(path), drawn_images[index].movedim(0, -1).numpy()[..., ::-1])
        rows.append({"path": path.name, "split": split, "label": "normal", "sha256": f"{index:064x}"})
    write_table(made.manifest("drawn") / "manifest.parquet", pd.DataFrame(rows), schema_version=2)
    unaligned(made, "drawn")
    return made


def test_stage_writes_a_network_its_curves_and_samples(product: Product, workspace: Workspace, drawn_images: Tensor):
    log = KeptLog()
    stage.run(product, workspace, log)
    folder = workspace.detector("drawn", "vqgan")
    names = {"config.json", "model.safetensors", "history.parquet", "training.json", "taught.json", "samples.png"}
    assert {path.name for path in folder.iterdir()} == names
    training = read_json(folder / "training.json", schema_version=1)
    assert training["psnr_unseen_normal"] == mean_psnr(load_vqgan(folder), [drawn_images[2].float() / 255])
    assert training["steps"] == 8
    assert 1 <= training["perplexity"] <= 16 * training["codes_used"] + 1e-9
    history = read_table(folder / "history.parquet", schema_version=1)
    assert history["step"].tolist() == [8.0]
    assert not history.isna().any().any()
    assert log.points[0][0] == 8
    assert log.files == ["samples.png", "training.json", "history.parquet"]
    assert list(workspace.checkpoints.rglob("*.safetensors")) == []


def test_samples_show_original_reconstruction_and_difference(product: Product, workspace: Workspace, drawn_images: Tensor):
    stage.run(product, workspace, KeptLog())
    folder = workspace.detector("drawn", "vqgan")
    shown_HWC = cv2.imread(str(folder / "samples.png"))[..., ::-1]
    assert shown_HWC.shape == (144, 48, 3)
    image_CHW = drawn_images[2].float() / 255
    image_hat_CHW = load_vqgan(folder).reconstruct(image_CHW[None]).image_hat_BCHW[0]
    expected = torch.cat([image_CHW, image_hat_CHW, (4 * (image_CHW - image_hat_CHW).abs()).clamp(max=1)], dim=1)
    np.testing.assert_array_equal(shown_HWC, (expected * 255).round().byte().movedim(0, -1).numpy())


def test_stage_repeats_itself(product: Product, workspace: Workspace):
    model = workspace.detector("drawn", "vqgan") / "model.safetensors"
    stage.run(product, workspace, KeptLog())
    first = model.read_bytes()
    stage.run(product, workspace, KeptLog())
    assert model.read_bytes() == first


def test_images_that_do_not_fit_into_memory_are_read_as_needed(
    product: Product, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
):
    model = workspace.detector("drawn", "vqgan") / "model.safetensors"
    stage.run(product, workspace, KeptLog())
    first = model.read_bytes()
    monkeypatch.setattr(teaching, "MEMORY", 0)
    monkeypatch.setattr(teaching, "LOADERS", 0)
    stage.run(product, workspace, KeptLog())
    assert model.read_bytes() == first


def test_kept_images_are_read_once(tmp_path: Path):
    file = tmp_path / "0.png"
    cv2.imwrite(str(file), np.full((48, 48, 3), 7, np.uint8))
    kept, read = (ImageFiles([file], ImageReader(48), keep=keep) for keep in (True, False))
    assert torch.equal(kept[0], read[0])
    file.unlink()
    assert kept[0].unique().tolist() == [7]
    with pytest.raises(ZeromissError):
        read[0]


def test_without_unseen_normals_the_figure_is_missing_not_invented(product: Product, workspace: Workspace):
    file = workspace.manifest("drawn") / "manifest.parquet"
    rows = read_table(file, schema_version=2)
    write_table(file, rows[rows["split"] != "mask"], schema_version=2)
    assert stage.run(product, workspace, KeptLog())["psnr_unseen_normal"] is None


def test_without_training_images_it_refuses(product: Product, workspace: Workspace):
    file = workspace.manifest("drawn") / "manifest.parquet"
    rows = read_table(file, schema_version=2)
    write_table(file, rows[rows["split"] != "train"], schema_version=2)
    with pytest.raises(ZeromissError, match="product 'drawn' has no image in the split train: ingest normal images"):
        stage.run(product, workspace, KeptLog())
    assert not workspace.detector("drawn", "vqgan").exists()
