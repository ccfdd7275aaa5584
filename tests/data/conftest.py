"""Images drawn for the tests of this folder, a small product, and its workspace."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zeromiss.params import Product, resolve_product
from zeromiss.workspace import Workspace

Draw = Callable[..., Path]


@pytest.fixture
def draw() -> Draw:
    """Write an image of noise that only `number` decides: same number, same bytes."""

    def write(path: Path, number: int, *, width: int = 40, height: int = 36) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def draw_mask() -> Draw:
    """Write a mask in which one block of 4 x 4 pixels is marked."""

    def write(path: Path, *, width: int = 40, height: int = 36) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((height, width), dtype=np.uint8)
        pixels[8:12, 16:20] = 255
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def make_product() -> Callable[..., Product]:
    """Build a product `part` from sections, all else at the defaults."""

    def build(kind: str = "mvtec", *, seed: int = 0, source: dict | None = None, **sections: dict) -> Product:
        entry = {"profile": "quick", "seed": seed, "source": {"kind": kind, **(source or {})}, **sections}
        tree = {"profiles": {"quick": {}}, "products": {"part": entry}}
        return resolve_product(tree, "part", origin=Path("params.yaml"))

    return build


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return Workspace(root=tmp_path / "workspace")
