"""An image judged in tiles: the numbers of the whole image, no seams, and what cannot be tiled is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.code.test_metrics_measure import Blur, Toy, draw
from zeromiss.backbones.base import Backbone
from zeromiss.backbones.inception_v3 import InceptionV3
from zeromiss.backbones.load import load_backbone
from zeromiss.detectors.base import Reconstruction
from zeromiss.errors import ZeromissError
from zeromiss.metrics.measure import Measurer
from zeromiss.metrics.measurement import Measurement
from zeromiss.metrics.tiles import lay_tiles
from zeromiss.params import resolve_product
from zeromiss.stage_params import MetricsParams, TilesParams

TILES = TilesParams(side=128, overlap=32)


def measure(image: torch.Tensor, tiles: TilesParams | None, backbone: Backbone | None = None, **more: object) -> Measurement:
    """Measure with a blurring detector, masked."""
    mask_HW = torch.linspace(0.2, 1.0, image.shape[1])[:, None].expand(*image.shape[1:]).contiguous()
    params = MetricsParams(pixels=20, patches=40, tiles=tiles, **more)
    return Measurer(detector=Blur(), backbone=backbone or Toy(), params=params, mask_HW=mask_HW).measure(image)


@pytest.mark.parametrize(("height", "width"), [(300, 300), (256, 257), (128, 400), (129, 130)])
def test_every_pixel_is_contributed_once_and_seen_with_its_surroundings(height: int, width: int) -> None:
    count = np.zeros((height, width), int)
    for tile in lay_tiles(height, width, TILES):
        count[tile.own_rows, tile.own_columns] += 1
        assert tile.seen_rows.start == max(0, tile.own_rows.start - 32) and tile.seen_rows.stop == min(height, tile.own_rows.stop + 32)
        assert tile.seen_columns.start % 32 == 0 and tile.seen_height >= 33
        assert tile.area == count[tile.own_rows, tile.own_columns].size
    assert (count == 1).all()


def test_tiles_by_hand() -> None:
    tiles = lay_tiles(200, 128, TILES)
    assert len(tiles) == 2
    assert (tiles[1].own_rows, tiles[1].seen_rows) == (slice(128, 200), slice(96, 200))
    assert tiles[1].cells(16) == (slice(8, 13), slice(0, 8)) and tiles[1].own_cells(16) == (slice(2, 7), slice(0, 8))
    boxes = torch.tensor([[0, 127, 8, 135], [5, 128, 9, 132], [127, 199, 128, 200]])
    assert tiles[0].holds(boxes).tolist() == [True, False, False] and tiles[1].holds(boxes).tolist() == [False, True, True]
    assert (boxes[1] - tiles[1].offset(boxes)).tolist() == [5, 32, 9, 36]


@pytest.mark.parametrize("side", [256, 288, 416])
def test_tiled_values_are_those_of_the_whole_image(side: int) -> None:
    image = draw(side=side)
    image[:, 120:135, 124:131] = 0.0  # a defect across the corner of four tiles
    whole, tiled = measure(image, None), measure(image, TILES)
    assert torch.equal(tiled.boxes_Q4, whole.boxes_Q4)
    assert torch.allclose(tiled.image_hat_CHW, whole.image_hat_CHW, atol=1e-6)
    assert torch.allclose(tiled.map_HW, whole.map_HW, rtol=1e-4, atol=1e-6)
    for name, value in whole.features.items():
        assert tiled.features[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_a_real_backbone_shows_no_seams() -> None:
    """Finer maps reach some 60 pixels: with 96 of overlap the map of a tiled image is that of the whole one."""
    image = draw(side=384)
    backbone = load_backbone("efficientnet_lite0")
    whole, tiled = (measure(image, tiles, backbone, norms="folded") for tiles in (None, TilesParams(side=128, overlap=96)))
    gap = (tiled.map_HW - whole.map_HW).abs()
    assert gap.max() < 1e-3 * whole.map_HW.max()
    assert torch.equal(tiled.boxes_Q4[:10], whole.boxes_Q4[:10])


def test_too_little_overlap_would_show() -> None:
    """The comparison above can fail: a detector that needs more than the overlap gives other values at the borders."""

    class Wide(Blur):
        def reconstruct(self, image_BCHW: torch.Tensor, precision: str = "fp32") -> Reconstruction:
            found = super().reconstruct(image_BCHW)
            return Reconstruction(
                image_hat_BCHW=(found.image_hat_BCHW * 0 + image_BCHW.mean()),
                quantisation_B=found.quantisation_B,
                critic_B=found.critic_B,
                critic_hat_B=found.critic_hat_B,
            )

    image = draw(side=256)
    params = MetricsParams(pixels=20, patches=40, tiles=TILES)
    whole, tiled = (
        Measurer(detector=Wide(), backbone=Toy(), params=given, mask_HW=None).measure(image)
        for given in (params.model_copy(update={"tiles": None}), params)
    )
    assert not torch.allclose(tiled.image_hat_CHW, whole.image_hat_CHW, atol=1e-3)


def test_single_numbers_are_means_weighted_by_what_a_tile_contributes() -> None:
    class Counting(Blur):
        def reconstruct(self, image_BCHW: torch.Tensor, precision: str = "fp32") -> Reconstruction:
            self.quantisation = float(image_BCHW.shape[2])
            return super().reconstruct(image_BCHW)

    params = MetricsParams(pixels=20, patches=40, tiles=TILES)
    found = Measurer(detector=Counting(), backbone=Toy(), params=params, mask_HW=None).measure(draw(side=192))
    rows = (128 * 160 + 64 * 96) / 192  # 128 rows see 160, 64 rows see 96
    assert found.features["vqgan.image.quantisation_mse"] == pytest.approx(rows)


def test_lanes_change_no_bit_of_a_tiled_image() -> None:
    params = MetricsParams(pixels=20, patches=40, tiles=TILES)
    one = Measurer(detector=Blur(), backbone=Toy(), params=params, mask_HW=None)
    image = draw(side=288)
    assert one.on_lanes(3).measure(image).features == one.measure(image).features


def test_a_backbone_whose_maps_shrink_cannot_be_tiled() -> None:
    with pytest.raises(ZeromissError, match="metrics.tiles needs a backbone whose maps cover the image cell by cell"):
        measure(draw(side=256), TILES, InceptionV3().freeze())


def test_an_overlap_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(ValidationError, match="tiles.overlap must be at least 16 above the largest patch, which has 40 pixels"):
        MetricsParams(tiles={"side": 256, "overlap": 32}, scales=10)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"vqgan": {"template": True}}, "metrics.tiles and vqgan.template exclude each other"),
        ({"size": 300}, "metrics.tiles needs a size that is a multiple of 32, not 300"),
    ],
)
def test_products_that_cannot_be_tiled_are_refused(more: dict, message: str) -> None:
    own = {"source": {"kind": "elpv"}, "metrics": {"tiles": {}}}
    tree = {"products": {"bolt": own}, "profiles": {"quick": {}}}
    assert resolve_product(tree, "bolt", origin=Path("params.yaml")).metrics.tiles == TilesParams()
    tree["products"]["bolt"] = own | more
    with pytest.raises(ZeromissError, match=message):
        resolve_product(tree, "bolt", origin=Path("params.yaml"))
