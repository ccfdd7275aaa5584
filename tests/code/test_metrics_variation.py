"""The variation of normal images: what it makes of one image, what is stored, shared maps, tiles, and what is refused."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.code.test_metrics_measure import PARAMS, Blur, Toy, draw
from zeromiss.backbones.base import Backbone
from zeromiss.backbones.differences import GAUSSIAN, WHITENED, fit_differences
from zeromiss.backbones.local_features import cell_vectors
from zeromiss.detectors.base import Detection, Reconstruction
from zeromiss.errors import ZeromissError
from zeromiss.metrics.columns import feature_columns, map_columns, variation_columns
from zeromiss.metrics.map_statistics import STATISTICS, map_statistics
from zeromiss.metrics.measure import Measurer
from zeromiss.metrics.measure_map import MapMeasurer
from zeromiss.metrics.stack import stack_of
from zeromiss.metrics.variation import NATIVE, Variation, levels_of, load_variation, save_variation
from zeromiss.stage_params import MetricsParams, TilesParams

STRIDES = (4, 16)


def plain(params: MetricsParams = PARAMS, backbone: Backbone | None = None) -> Measurer:
    """Return a measurer of the paper's metrics alone."""
    return Measurer(detector=Blur(), backbone=backbone or Toy(), params=params, mask_HW=None)


def variation_of(images: int = 24, *, fixed: bool = True) -> Variation:
    """Return the variation of drawn images, all of whose spot lies alike."""
    found = [plain().cells(draw(seed), STRIDES)[0] for seed in range(images)]
    differences, _ = fit_differences(lambda every: found[::every], strides=STRIDES, designs=[""] * images, fixed=fixed)
    return Variation(levels=dict.fromkeys(differences.maps, 1.0), dims=differences.whitening.dims, differences=differences)


@pytest.fixture(scope="module")
def known() -> Variation:
    """Return one variation for all tests that change none."""
    return variation_of()


def test_columns_are_the_paper_s_then_the_maps_and_the_residual(known: Variation) -> None:
    measurer = Measurer(detector=Blur(), backbone=Toy(), params=PARAMS, mask_HW=None, variation=known)
    found = measurer.measure(draw(40))
    expected = feature_columns("vqgan", masked=False) + variation_columns("vqgan", (GAUSSIAN, WHITENED), known.dims)
    assert list(found.features) == measurer.columns == expected
    paper = plain().measure(draw(40)).features
    assert {name: found.features[name] for name in paper} == paper


def test_maps_and_native_score_are_worked_out_by_hand(known: Variation) -> None:
    image = draw(41)
    found = Measurer(detector=Blur(), backbone=Toy(), params=PARAMS, mask_HW=None, variation=known).measure(image)
    x_hat = Blur().reconstruct(image[None]).image_hat_BCHW.clamp(0, 1)
    delta_hwC = cell_vectors([a - b for a, b in zip(Toy()(image[None]), Toy()(x_hat), strict=True)])
    whitening, places = known.differences.whitening, known.differences.places[""]
    white_hwK = (delta_hwC - whitening.mean_C) @ whitening.matrix_CK
    away_hwK = white_hwK - places.mean_hwK
    gaussian_hw = torch.stack([(row[:, None] @ factor.float()).norm(dim=(1, 2)) for row, factor in zip(away_hwK, places.factor_hwJJ, strict=True)])
    worst = gaussian_hw.flatten().topk(10)
    assert found.native_score == pytest.approx(float(worst.values.mean()), rel=1e-4)
    residual = away_hwK.flatten(0, 1)[worst.indices].mean(0)
    assert [found.features[f"vqgan.residual.{k:03d}"] for k in range(known.dims)] == pytest.approx(residual.tolist(), abs=1e-3)
    statistics = dict(zip(STATISTICS, map_statistics(white_hwK.norm(dim=-1).numpy(), 1.0), strict=True))
    for name in ("q50", "max", "kurtosis", "grid03"):
        assert found.features[f"vqgan.map.whitened.{name}"] == pytest.approx(statistics[name], rel=1e-3)


def test_boxes_lie_where_the_map_says_not_where_pixels_differ_most(known: Variation) -> None:
    """Every normal image has the bright spot, whose edges differ most from their blur; a dark one elsewhere is what is new."""
    image = draw(42)
    image[:, 8:16, 8:16] *= 0.6
    found = Measurer(detector=Blur(), backbone=Toy(), params=PARAMS, mask_HW=None, variation=known).measure(image)
    paper = plain().measure(image)
    centre, before = (one.boxes_Q4[:10].double().reshape(-1, 2, 2).mean(dim=(0, 1)) for one in (found, paper))
    assert float((centre - 12).abs().max()) < 3 and float((before - 43).abs().max()) < 5
    assert found.distances_Q.tolist() == sorted(found.distances_Q.tolist(), reverse=True)


def test_places_need_enough_images_and_parts_that_lie_alike() -> None:
    assert variation_of(6).differences.maps == (WHITENED,) and variation_of(fixed=False).differences.maps == (WHITENED,)
    cells = [plain().cells(draw(seed), STRIDES)[0] for seed in range(6)]
    _, told = fit_differences(lambda every: cells, strides=STRIDES, designs=[""] * 6, fixed=True)
    assert "since a Gaussian a place needs 20 normal images" in told
    with pytest.raises(ZeromissError, match="needs some: ingest normal images"):
        fit_differences(lambda every: [], strides=STRIDES, designs=[""], fixed=True)


def test_what_is_stored_gives_the_same_bits(known: Variation, tmp_path: Path) -> None:
    save_variation(tmp_path / "deep/variation.safetensors", known)
    again = load_variation(tmp_path / "deep/variation.safetensors")
    assert (again.levels, again.dims, again.differences.strides) == (known.levels, known.dims, STRIDES)
    one, other = (
        Measurer(detector=Blur(), backbone=Toy(), params=PARAMS, mask_HW=None, variation=each).measure(draw(43)) for each in (known, again)
    )
    assert one.features == other.features and torch.equal(one.map_HW, other.map_HW)


def test_a_file_that_holds_no_variation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ZeromissError, match="is missing: run the metrics stage"):
        load_variation(tmp_path / "none.safetensors")
    save_file({"mask": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ZeromissError, match="holds no variation of normal images"):
        load_variation(tmp_path / "other.safetensors")


def test_lanes_and_shared_maps_change_no_bit(known: Variation) -> None:
    one = Measurer(detector=Blur(), backbone=Toy(), params=PARAMS, mask_HW=None, variation=known)
    alone = one.measure(draw(44))
    assert one.on_lanes(2).measure(draw(44)).features == alone.features
    both = stack_of([Blur(), Blur()], backbone=Toy(), params=PARAMS, masks={}, variations={"vqgan": known})
    assert [member.features for member in both.measure(draw(44)).each()] == [alone.features] * 2


def test_an_image_goes_through_the_backbone_once_for_all(known: Variation) -> None:
    passes = []

    class Counting(Toy):
        """Counts the images that it looks at."""

        def maps(self, normalised_BCHW: Tensor) -> list[Tensor]:
            passes.append(len(normalised_BCHW))
            return super().maps(normalised_BCHW)

    stack = stack_of([Blur(), Blur(), Reader(own=Counting())], backbone=Counting(), params=PARAMS.model_copy(update={"norms": "folded"}), masks={})
    stack.measure(draw(45))
    assert sum(passes) == 3  # the image once, and a reconstruction of each


@dataclass
class Reader:
    """Reads the shared maps: its own would be another network's."""

    name: str = "patchknn"
    score_names: tuple[str, ...] = ()
    own: Backbone = field(default_factory=Toy)

    @property
    def shared_backbone(self) -> Backbone:
        return self.own

    def detect(self, image_BCHW: Tensor, maps: list[Tensor] | None = None) -> Detection:
        assert maps is not None, "sent through a backbone of its own"
        return Detection(score_B=maps[0].amax().view(1), map_BHW=image_BCHW.mean(1), maps={"cells": maps[0].mean(1)}, residual_BK=maps[1].mean((2, 3)))


def test_a_detector_s_own_maps_and_residual_become_columns() -> None:
    class Toy2(Toy):
        """A sibling: another class is another backbone."""

    reader = Reader()
    variation = Variation(levels={"cells": 0.7}, dims=6)
    params = PARAMS.model_copy(update={"norms": "folded"})
    measurer = MapMeasurer(detector=reader, params=params, variation=variation, backbone=Toy())
    assert measurer.shares and not MapMeasurer(detector=reader, params=params, backbone=Toy2()).shares
    assert not MapMeasurer(detector=reader, params=PARAMS, backbone=Toy()).shares  # norms apart: other bits
    image = draw(46)
    found = stack_of([reader, Blur()], backbone=Toy(), params=params, masks={}, variations={"patchknn": variation}).measure(image)
    assert measurer.columns == [*map_columns("patchknn", ()), *variation_columns("patchknn", ["cells"], 6)]
    maps = Toy()(image[None])
    assert found.features["patchknn.map.cells.max"] == pytest.approx(float(maps[0].mean(1).max()))
    assert [found.features[f"patchknn.residual.{k:03d}"] for k in range(6)] == pytest.approx(maps[1].mean((0, 2, 3)).tolist(), rel=1e-5)


def test_levels_are_those_of_all_normal_maps() -> None:
    maps = [{NATIVE: torch.rand(20, 20, generator=torch.Generator().manual_seed(seed))} for seed in range(3)]
    expected = np.quantile(np.stack([one[NATIVE].numpy() for one in maps]).astype(np.float64), 0.999)
    assert levels_of(maps) == {NATIVE: pytest.approx(expected)}
    with pytest.raises(ZeromissError, match="manifest.mask above 0"):
        levels_of([])


def test_tiles_give_the_numbers_of_the_whole_image() -> None:
    whole = PARAMS.model_copy(update={"tiles": None})
    tiled = PARAMS.model_copy(update={"tiles": TilesParams(side=128, overlap=64)})
    cells = [plain(whole).cells(draw(seed, 256), STRIDES)[0] for seed in range(3)]
    differences, _ = fit_differences(lambda every: cells, strides=STRIDES, designs=[""] * 3, fixed=False)
    known = Variation(levels={WHITENED: 1.0}, dims=differences.whitening.dims, differences=differences)
    one, other = (Measurer(detector=Still(), backbone=Toy(), params=params, mask_HW=None, variation=known).measure(draw(9, 256)) for params in (whole, tiled))
    assert torch.allclose(one.map_HW, other.map_HW, rtol=1e-3, atol=1e-3) and one.native_score == pytest.approx(other.native_score, rel=1e-4)
    names = [name for name in one.features if ".residual." in name]
    assert [one.features[name] for name in names] == pytest.approx([other.features[name] for name in names], abs=1e-3)


class Still(Blur):
    """Gives a grey image whatever it sees, so that tiles are reconstructed as the whole is."""

    def reconstruct(self, image_BCHW: Tensor, precision: str = "fp32") -> Reconstruction:
        number = torch.tensor([0.5])
        return Reconstruction(image_hat_BCHW=torch.full_like(image_BCHW, 0.5), quantisation_B=number, critic_B=number, critic_hat_B=number)
