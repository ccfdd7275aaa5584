"""Several detectors measure one image: columns of each, boxes of the first, and what a map alone gives."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.model.vqgan_parts import load_tiny
from zeromiss.detectors.base import Detection, Reconstruction, redraws
from zeromiss.errors import ZeromissError
from zeromiss.metrics.columns import feature_columns, map_columns
from zeromiss.metrics.levels import mean_inside
from zeromiss.metrics.measure_map import MapMeasurer
from zeromiss.metrics.stack import Stack, stack_of
from zeromiss.stage_params import MetricsParams

SIDE = 64
PARAMS = MetricsParams(pixels=3, scales=1, alpha=4, patches=5, fixed_position=False)


@dataclass
class Bright:
    """Embeds: the map is the brightness, the score its maximum, a further score its mean."""

    name: str = "padim"
    score_names: tuple[str, ...] = ("mean",)
    scale: float = 1.0

    def detect(self, image_BCHW: Tensor) -> Detection:
        map_BHW = self.scale * image_BCHW.mean(dim=1)
        return Detection(score_B=map_BHW.amax(dim=(1, 2)), map_BHW=map_BHW, scores={"mean": map_BHW.mean(dim=(1, 2))})


@dataclass
class Grey:
    """Redraws every image grey; its native score is the mean difference, and it has no discriminator."""

    name: str = "cpcae"
    score_names: tuple[str, ...] = ()
    image_metrics: tuple[str, ...] = field(default=())

    def reconstruct(self, image_BCHW: Tensor, precision: str = "fp32") -> Reconstruction:
        return Reconstruction(image_hat_BCHW=torch.full_like(image_BCHW, 0.5))

    def score(self, image_BCHW: Tensor, reconstruction: Reconstruction) -> Detection:
        map_BHW = (image_BCHW - reconstruction.image_hat_BCHW).abs().mean(dim=1)
        return Detection(score_B=map_BHW.mean(dim=(1, 2)), map_BHW=map_BHW)


class Lost(Grey):
    """A detector whose score is no number."""

    def score(self, image_BCHW: Tensor, reconstruction: Reconstruction) -> Detection:
        found = super().score(image_BCHW, reconstruction)
        return Detection(score_B=found.score_B * float("nan"), map_BHW=found.map_BHW)


def image(spot: float = 1.0) -> Tensor:
    """Return a black image with a bright square of 4 x 4 pixels."""
    image_CHW = torch.zeros(3, SIDE, SIDE)
    image_CHW[:, 20:24, 32:36] = spot
    return image_CHW


def stack(*detectors: object) -> Stack:
    """Return the stack of toy detectors."""
    return stack_of(detectors, backbone=load_tiny(), params=PARAMS, masks={})


def test_the_mean_inside_boxes_is_that_of_the_pixels() -> None:
    map_HW = np.arange(20.0).reshape(4, 5)
    boxes_N4 = np.array([[0, 0, 5, 4], [1, 2, 3, 4], [4, 3, 5, 4]])
    assert mean_inside(map_HW, boxes_N4).tolist() == pytest.approx([9.5, (11 + 12 + 16 + 17) / 4, 19.0])


def test_what_a_map_gives_is_worked_out_by_hand() -> None:
    found = MapMeasurer(detector=Bright(), params=PARAMS).measure(image())
    assert list(found.features) == map_columns("padim", ("mean",))
    assert found.native_score == found.features["padim.image.score"] == 1.0
    assert found.features["padim.image.mean"] == pytest.approx(16 / SIDE**2)
    assert found.features["padim.image.map.sum"] == pytest.approx(16.0)
    assert found.features["padim.image.map.q3"] == 0.0
    assert [found.features[f"padim.pixel.map.{name}"] for name in ("sum", "min", "max")] == [3.0, 1.0, 1.0]  # the three largest pixels
    assert found.image_hat_CHW is None and found.difference_HW is None


def test_the_boxes_of_a_map_lie_where_it_is_brightest() -> None:
    found = MapMeasurer(detector=Bright(), params=PARAMS).measure(image())
    boxes_N4, x, y = found.boxes_Q4, 33, 21  # in the spot
    x0, y0, x1, y1 = boxes_N4[0].tolist()
    assert x0 <= x < x1 and y0 <= y < y1
    inside = [float(image().mean(dim=0)[y0:y1, x0:x1].mean()) for x0, y0, x1, y1 in boxes_N4.tolist()]
    assert found.distances_Q.tolist() == pytest.approx(inside) and inside == sorted(inside, reverse=True)


def test_a_detector_without_discriminator_and_codes_has_no_columns_for_them() -> None:
    found = stack(Grey()).measure(image())
    assert list(found.features) == feature_columns("cpcae", masked=False, own=(), score_names=())
    assert not [name for name in found.features if "critic" in name or "quantisation" in name]
    assert found.native_score == found.features["cpcae.image.score"] == pytest.approx(0.5)
    assert torch.equal(found.map_HW, (image() - 0.5).abs().mean(dim=0))


def test_a_stack_has_the_columns_of_all_and_the_boxes_of_the_first() -> None:
    one, other = stack(Grey()).measure(image()), stack(Bright()).measure(image())
    both = stack(Grey(), Bright())
    found = both.measure(image())
    assert both.columns == list(found.features) == [*one.features, *other.features]
    assert found.features == one.features | other.features
    assert torch.equal(found.boxes_Q4, one.boxes_Q4) and found.native_score == one.native_score
    assert {member.detector: member.native_score for member in found.each()} == {"cpcae": one.native_score, "padim": other.native_score}
    assert torch.equal(stack(Bright(), Grey()).measure(image()).boxes_Q4, other.boxes_Q4)


def test_threads_that_share_an_image_change_no_bit() -> None:
    both = stack(Grey(), Bright())
    assert both.on_lanes(2).measure(image(0.7)).features == both.measure(image(0.7)).features


def test_what_is_no_number_is_refused_by_its_name() -> None:
    with pytest.raises(ZeromissError, match="the anomaly map of padim holds a value that is not finite"):
        stack(Bright(scale=float("nan"))).measure(image())
    with pytest.raises(ZeromissError, match="cpcae.image.score is nan"):
        stack(Lost()).measure(image())


def test_a_mask_is_for_the_detector_it_was_made_with() -> None:
    mask_HW = torch.ones(SIDE, SIDE)
    mask_HW[:, 32:] = 0.0
    masked = stack_of([Grey(), Bright()], backbone=load_tiny(), params=PARAMS, masks={"cpcae": mask_HW})
    found = masked.measure(image())
    assert "cpcae.pixel.difference.sum.masked" in found.features and not [name for name in found.features if name.startswith("padim") and "masked" in name]
    assert np.isfinite(list(found.features.values())).all()
    assert redraws(Grey()) and not redraws(Bright())
