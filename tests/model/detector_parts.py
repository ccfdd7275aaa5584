"""What the tests of the detectors' stages share: a product of drawn images, its workspace, and what a stage leaves."""

from pathlib import Path

import cv2
import pandas as pd
import torch
from torch import Tensor

from tests.workspace_parts import unaligned
from zeromiss.image_size import ImageSize
from zeromiss.params import Product, load_product
from zeromiss.sections import Section
from zeromiss.tables import write_table
from zeromiss.workspace import Workspace

FILES = {"config.json", "model.safetensors", "history.parquet", "training.json", "taught.json", "samples.png"}


def drawn_product(repository: Path, size: int, **params: Section) -> Product:
    """Return a product of so many pixels, with these parameters of its detectors."""
    return load_product(repository / "params.yaml", "solar_cell").model_copy(update={"name": "drawn", "size": ImageSize.of(size), **params})


def noise(count: int, size: int) -> Tensor:
    """Return images of noise, uint8 (count, 3, size, size)."""
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def drawn_workspace(root: Path, images: Tensor) -> Workspace:
    """Write images, uint8 (N, 3, size, size): the last is for the samples, the others teach; a row that must never be opened follows."""
    made = Workspace(root=root)
    raw = made.raw("drawn")
    raw.mkdir(parents=True)
    rows = []
    for index, split in enumerate([*["train"] * (len(images) - 1), "mask", "table"]):
        if split != "table":
            cv2.imwrite(str(raw / f"{index}.png"), images[index].movedim(0, -1).numpy())
        rows.append({"path": f"{index}.png", "split": split, "label": "normal", "sha256": f"{index:064x}"})
    write_table(made.manifest("drawn") / "manifest.parquet", pd.DataFrame(rows), schema_version=2)
    unaligned(made, "drawn")
    return made
