"""One image's measurement: what it consists of, and that it never changes."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from zeromiss.backbones.base import Backbone
from zeromiss.backbones.load import load_backbone, perceptual_mse
from zeromiss.detectors.base import Reconstruction
from zeromiss.errors import ZeromissError
from zeromiss.images.reader import ImageReader
from zeromiss.metrics.columns import OWN_METRICS, feature_columns
from zeromiss.metrics.distances import patch_distances
from zeromiss.metrics.measure import Measurer
from zeromiss.metrics.measurement import Measurement
from zeromiss.metrics.table import measured
from zeromiss.metrics.threads import one_thread
from zeromiss.stage_params import MetricsParams, TilesParams

SIDE = 64
PARAMS = MetricsParams(pixels=20, patches=40)


class Toy(Backbone):
    """Averages of an image and of its negative, at stride 4, then at stride 16."""

    def __init__(self) -> None:
        super().__init__(strides=(4, 16), channels=(6, 6), mean=(0.0,) * 3, std=(1.0,) * 3)

    def maps(self, normalised_BCHW: torch.Tensor) -> list[torch.Tensor]:
        both = torch.cat((normalised_BCHW, 1 - normalised_BCHW), dim=1)
        return [functional.avg_pool2d(both, side) for side in self.strides]


class Blur:
    """A detector that repaints an image without its details, a little too bright."""

    name = "vqgan"
    score_names = None
    image_metrics = OWN_METRICS

    def __init__(self, quantisation: float = 0.5) -> None:
        self.quantisation = quantisation

    def reconstruct(self, image_BCHW: torch.Tensor, precision: str = "fp32") -> Reconstruction:
        blurred = cv2.GaussianBlur(image_BCHW[0].permute(1, 2, 0).numpy(), (0, 0), 2) + 0.05
        hat = torch.from_numpy(blurred).permute(2, 0, 1)[None].contiguous()
        number = torch.tensor([self.quantisation])
        return Reconstruction(image_hat_BCHW=hat, quantisation_B=number, critic_B=-number, critic_hat_B=2 * number)


class Bright(Blur):
    """A detector that gives values no image has."""

    def reconstruct(self, image_BCHW: torch.Tensor, precision: str = "fp32") -> Reconstruction:
        return replace(super().reconstruct(image_BCHW), image_hat_BCHW=torch.full_like(image_BCHW, 1.5))


class Perfect(Blur):
    """A detector that gives the image back."""

    def reconstruct(self, image_BCHW: torch.Tensor, precision: str = "fp32") -> Reconstruction:
        return replace(super().reconstruct(image_BCHW), image_hat_BCHW=image_BCHW.clone())


def draw(seed: int = 0, side: int = SIDE) -> torch.Tensor:
    """Draw a smooth image with one bright spot at rows and columns 40 to 45."""
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.random((side, side, 3), dtype=np.float32), (0, 0), 3)
    image[40:46, 40:46] = 1.0
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()


def measurer(mask_HW: torch.Tensor | None = None, detector: Blur | None = None, **changes: object) -> Measurer:
    """Return a measurer of toy networks."""
    params = PARAMS.model_copy(update=changes)
    return Measurer(detector=detector or Blur(), backbone=Toy(), params=params, mask_HW=mask_HW)


def hide_spot() -> torch.Tensor:
    """Return a mask that gives the bright spot and its surroundings no weight."""
    mask = torch.ones(SIDE, SIDE)
    mask[30:56, 30:56] = 0.0
    return mask


def parts(measurement: Measurement) -> tuple:
    """Return a measurement as plain comparable values."""
    tensors = (measurement.boxes_Q4, measurement.distances_Q, measurement.map_HW, measurement.image_hat_CHW, measurement.difference_HW)
    return (measurement.features, measurement.native_score, *(tensor.tolist() for tensor in tensors))


@pytest.mark.parametrize("mask", [None, torch.rand(SIDE, SIDE)])
def test_columns_and_shapes(mask: torch.Tensor | None) -> None:
    found = measurer(mask).measure(draw())
    assert list(found.features) == feature_columns("vqgan", masked=mask is not None)
    assert found.boxes_Q4.shape == (40, 4) and found.distances_Q.shape == (40,)
    assert found.map_HW.shape == found.difference_HW.shape == (SIDE, SIDE)
    assert found.image_hat_CHW.shape == (3, SIDE, SIDE)


def test_a_reconstruction_beyond_white_is_clipped() -> None:
    found = measurer(detector=Bright()).measure(draw())
    assert found.image_hat_CHW.unique().tolist() == [1.0]
    assert torch.equal(found.difference_HW, (1 - draw()).mean(0))


def test_the_same_image_gives_the_same_bits() -> None:
    one = measurer(torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0)))
    first = one.measure(draw())
    one.measure(draw(seed=5))
    assert parts(one.measure(draw())) == parts(first)


def test_image_level_by_its_definitions() -> None:
    x = draw()
    found = measurer().measure(x)
    x_hat, features = found.image_hat_CHW, found.features
    assert features["vqgan.image.mse"] == pytest.approx(float((x - x_hat).double().square().mean()))
    expected = perceptual_mse(Toy(), x[None], x_hat[None]).item()
    assert features["vqgan.image.perceptual_mse"] == pytest.approx(expected)
    assert [features[f"vqgan.image.{name}"] for name in ("quantisation_mse", "critic", "critic_hat")] == [0.5, -0.5, 1.0]
    difference = (x - x_hat).abs().mean(0).numpy()
    assert features["vqgan.image.difference.q3"] == pytest.approx(float(np.quantile(difference, 0.75)))
    assert features["vqgan.image.map.mean"] == pytest.approx(found.map_HW.double().mean().item())
    assert features["vqgan.image.difference.sum"] == pytest.approx(float(difference.sum()), rel=1e-5)


def test_pixel_level_is_the_largest_differences() -> None:
    found = measurer().measure(draw())
    largest = found.difference_HW.flatten().sort(descending=True).values[:20]
    assert found.features["vqgan.pixel.difference.max"] == largest[0].item()
    assert found.features["vqgan.pixel.difference.min"] == largest[-1].item()
    assert found.features["vqgan.pixel.difference.mean"] == pytest.approx(largest.mean().item())


def test_patch_level_is_taken_over_the_kept_boxes() -> None:
    x = draw()
    found = measurer().measure(x)
    named = patch_distances(x.numpy(), found.image_hat_CHW.numpy(), found.boxes_Q4.numpy())
    assert found.features["vqgan.patch.ssim.mean"] == pytest.approx(named["ssim"].mean())
    assert found.features["vqgan.patch.canberra.q1"] == pytest.approx(np.quantile(named["canberra"], 0.25))
    assert found.features["vqgan.patch.fid.mean"] == pytest.approx(found.native_score)
    assert found.features["vqgan.patch.fid.max"] == found.distances_Q[0].item()


def test_distances_fall_and_boxes_lie_inside() -> None:
    found = measurer().measure(draw())
    assert (found.distances_Q.diff() <= 0).all()
    assert found.boxes_Q4.min() >= 0 and found.boxes_Q4.max() <= SIDE
    assert (found.boxes_Q4[:, 2:] > found.boxes_Q4[:, :2]).all()


def test_the_worst_box_lies_on_the_spot_or_beside_it() -> None:
    x0, y0, x1, y1 = measurer().measure(draw()).boxes_Q4[0].tolist()
    assert x0 < 50 and x1 > 36 and y0 < 50 and y1 > 36  # features have cells of 4 pixels


def test_plain_columns_do_not_change_with_the_mask() -> None:
    plain, masked = (measurer(mask).measure(draw()).features for mask in (None, hide_spot()))
    assert {name: masked[name] for name in plain} == plain


def test_a_mask_of_ones_changes_nothing() -> None:
    plain, masked = (measurer(mask).measure(draw()) for mask in (None, torch.ones(SIDE, SIDE)))
    assert parts(plain)[1:] == parts(masked)[1:]
    for name, value in plain.features.items():
        if name.split(".")[1] != "image":
            assert masked.features[f"{name}.masked"] == value


def test_the_mask_moves_pixels_boxes_and_score_away() -> None:
    plain, masked = (measurer(mask).measure(draw()) for mask in (None, hide_spot()))
    assert masked.native_score < plain.native_score
    assert masked.features["vqgan.patch.fid.mean.masked"] == pytest.approx(masked.native_score)
    assert masked.features["vqgan.pixel.difference.max.masked"] < masked.features["vqgan.pixel.difference.max"]
    assert not masked.map_HW[30:56, 30:56].any() and masked.map_HW.any()
    assert torch.equal(plain.difference_HW, masked.difference_HW)


def test_a_perfect_reconstruction_scores_exactly_nothing() -> None:
    found = measurer(detector=Perfect()).measure(draw())
    assert found.native_score == 0.0 and not found.map_HW.any()
    patches = {name: value for name, value in found.features.items() if ".patch." in name or ".pixel." in name}
    assert max(patches.values()) == pytest.approx(0.0, abs=1e-10)


def test_difference_is_what_measuring_finds() -> None:
    one = measurer()
    assert torch.equal(one.difference(draw()), one.measure(draw()).difference_HW)


def test_fewer_boxes_than_q_are_all_measured() -> None:
    found = measurer(pixels=1, scales=1, patches=250).measure(draw())
    assert len(found.boxes_Q4) == 9
    assert found.features["vqgan.patch.fid.sum"] == pytest.approx(9 * found.native_score)


def test_crops_mode_keeps_the_paper_s_path() -> None:
    found = measurer(mode="crops", pixels=2, scales=1, patches=5).measure(draw())
    assert found.boxes_Q4.shape == (5, 4) and found.native_score > 0


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ZeromissError, match=r"the mask is \(32, 32\) and the image \(64, 64\)"):
        measurer(torch.ones(32, 32)).measure(draw())


def test_a_number_that_is_not_finite_is_refused_by_name() -> None:
    with pytest.raises(ZeromissError, match="vqgan.image.quantisation_mse is nan"):
        measurer(detector=Blur(quantisation=float("nan"))).measure(draw())


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_no_bit_and_is_left_as_it_was(threads: int) -> None:
    before = torch.get_num_threads()
    backbone = load_backbone("efficientnet_lite0")
    one = Measurer(detector=Blur(), backbone=backbone, params=PARAMS, mask_HW=None)
    image = draw(side=128)
    try:
        torch.set_num_threads(1)
        alone = parts(one.measure(image))
        torch.set_num_threads(threads)
        assert parts(one.measure(image)) == alone
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_one_thread_may_be_entered_from_inside() -> None:
    before = torch.get_num_threads()
    with one_thread():
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_images_measured_at_once_have_the_bits_of_images_measured_alone(tmp_path: Path) -> None:
    for seed in range(7):
        pixels = (draw(seed=seed).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"{seed}.png"), pixels)
    manifest = pd.DataFrame({"path": [f"{seed}.png" for seed in range(7)]})
    alone, at_once = (list(measured(manifest, measurer(), raw=tmp_path, reader=ImageReader(SIDE), workers=workers)) for workers in (1, 3))
    assert [row["path"] for row, _ in at_once] == manifest["path"].tolist()
    assert [parts(found) for _, found in at_once] == [parts(found) for _, found in alone]


def test_only_a_few_measurements_wait(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((SIDE, SIDE), np.uint8))
    seen: list[int] = []

    class Counting(Blur):
        def reconstruct(self, image_BCHW: torch.Tensor, precision: str = "fp32") -> Reconstruction:
            seen.append(1)
            return super().reconstruct(image_BCHW)

    images = measured(pd.DataFrame({"path": ["a.png"] * 50}), measurer(detector=Counting()), raw=tmp_path, reader=ImageReader(SIDE), workers=2)
    next(images)
    assert len(seen) <= 4
    images.close()


@pytest.mark.parametrize("lanes", [2, 3])
def test_lanes_that_share_an_image_change_no_bit(lanes: int) -> None:
    one = Measurer(detector=Blur(), backbone=load_backbone("efficientnet_lite0"), params=PARAMS, mask_HW=torch.rand(128, 128))
    assert parts(one.on_lanes(lanes).measure(draw(side=128))) == parts(one.measure(draw(side=128)))


def test_images_in_tiles_are_measured_one_at_a_time_with_the_same_bits(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), (draw(side=256).permute(1, 2, 0).numpy() * 255).astype(np.uint8))
    one = measurer(tiles=TilesParams(side=128, overlap=32))
    manifest = pd.DataFrame({"path": ["a.png", "a.png"]})
    alone, shared = (list(measured(manifest, one, raw=tmp_path, reader=ImageReader(256), workers=workers)) for workers in (1, 2))
    assert [parts(found) for _, found in alone] == [parts(found) for _, found in shared]


def test_folded_norms_stay_within_a_tolerance() -> None:
    """Another rounding of the same sums: the feature maps of bundles that say `folded` are as good, not the same bits."""
    backbone = load_backbone("efficientnet_lite0")
    apart, folded = (
        Measurer(detector=Blur(), backbone=backbone, params=PARAMS.model_copy(update={"norms": norms}), mask_HW=None)
        for norms in ("apart", "folded")
    )
    one, two = apart.measure(draw(side=128)).features, folded.measure(draw(side=128)).features
    assert one != two
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_a_bundle_that_names_no_norms_keeps_them_apart() -> None:
    assert MetricsParams.model_validate({"mode": "dense"}).norms == "apart"
    assert MetricsParams.model_validate({"mode": "dense"}).decode == "whole"
