"""A backbone made faster gives the same maps: the same bits, or within the stated tolerance where norms are folded."""

import pytest
import torch

from zeromiss.backbones.base import Backbone
from zeromiss.backbones.faster import FOLDED_TOLERANCE, EvenConvolution, faster
from zeromiss.backbones.inception_v3 import InceptionV3
from zeromiss.backbones.load import load_backbone
from zeromiss.metrics.threads import one_thread


def drawn(height: int, width: int) -> torch.Tensor:
    """Draw a noisy image."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(3))


def maps(backbone: Backbone, image: torch.Tensor) -> list[torch.Tensor]:
    """Return the maps as measuring computes them: channels last, one thread, no gradients."""
    with one_thread(), torch.inference_mode():
        return backbone.to(memory_format=torch.channels_last)(image.contiguous(memory_format=torch.channels_last))


@pytest.fixture(scope="module")
def lite0() -> Backbone:
    """EfficientNet-Lite0 with its real weights."""
    return load_backbone("efficientnet_lite0")


@pytest.mark.parametrize(("height", "width"), [(64, 96), (75, 75), (66, 97)])
def test_without_folding_not_a_bit_changes(lite0: Backbone, height: int, width: int) -> None:
    quick = faster(lite0, fold_norms=False)
    assert sum(isinstance(module, EvenConvolution) for module in quick.modules()) == 5
    for one, two in zip(maps(lite0, drawn(height, width)), maps(quick, drawn(height, width)), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(("height", "width"), [(96, 96), (75, 82)])
def test_folding_stays_within_the_stated_tolerance(lite0: Backbone, height: int, width: int) -> None:
    quick = faster(lite0, fold_norms=True)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in quick.modules())
    for one, two in zip(maps(lite0, drawn(height, width)), maps(quick, drawn(height, width)), strict=True):
        assert (one - two).abs().max() <= FOLDED_TOLERANCE * one.abs().max()


def test_inception_is_folded_alike() -> None:
    backbone = InceptionV3().freeze()
    generator = torch.Generator().manual_seed(0)
    for module in backbone.modules():  # norms that do something
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
    quick = faster(backbone, fold_norms=True)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in quick.modules())
    for one, two in zip(maps(backbone, drawn(96, 96)), maps(quick, drawn(96, 96)), strict=True):
        assert (one - two).abs().max() <= FOLDED_TOLERANCE * one.abs().max()


def test_the_given_backbone_stays_as_it_is(lite0: Backbone) -> None:
    before = {name: tensor.clone() for name, tensor in lite0.state_dict().items()}
    quick = faster(lite0, fold_norms=True)
    assert list(lite0.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in lite0.state_dict().items())
    assert not any(weight.requires_grad for weight in quick.parameters()) and not quick.training
