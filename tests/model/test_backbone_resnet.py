"""Residual networks: the sizes of paper 5's backbone table, maps that are torchvision's own, weights that load strictly."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import (
    ResNet18_Weights,
    ResNet50_Weights,
    ResNet101_Weights,
    Wide_ResNet50_2_Weights,
    resnet18,
)
from torchvision.models.feature_extraction import create_feature_extractor

from zeromiss.backbones.faster import FOLDED_TOLERANCE, faster
from zeromiss.backbones.load import build_backbone, load_backbone
from zeromiss.backbones.resnet import total_parameters
from zeromiss.errors import ZeromissError


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """A whole ResNet-18 with drawn weights and moving norms, and the file that holds it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = resnet18(weights=None)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
                torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    file = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(network.state_dict(), file)
    return file, network.eval()


def image() -> torch.Tensor:
    """A drawn image, (1, 3, 64, 96) in [0, 1]."""
    return torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "millions"), [("resnet18", 11.7), ("resnet50", 25.6), ("resnet101", 44.5), ("wide_resnet50", 68.9)])
def test_parameters_are_those_of_the_papers_table(name: str, millions: float):
    assert total_parameters(name) / 1e6 == pytest.approx(millions, abs=0.05)


def test_maps_are_those_torchvision_gives(stored: tuple[Path, torch.nn.Module]):
    file, network = stored
    backbone = load_backbone("resnet18", str(file))
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    nodes = [f"layer{number}" for number in (1, 2, 3, 4)]
    with torch.no_grad():
        expected = create_feature_extractor(network, nodes)((image() - mean) / std)
        maps = backbone(image())
    assert backbone.strides == (4, 8, 16, 32)
    assert [tuple(map_BCHW.shape[1:]) for map_BCHW in maps] == [(64, 16, 24), (128, 8, 12), (256, 4, 6), (512, 2, 3)]
    assert [map_BCHW.shape[1] for map_BCHW in maps] == list(backbone.channels)
    for map_BCHW, node in zip(maps, nodes, strict=True):
        torch.testing.assert_close(map_BCHW, expected[node])


def test_a_folded_network_gives_the_same_maps(stored: tuple[Path, torch.nn.Module]):
    backbone = load_backbone("resnet18", str(stored[0]))
    with torch.no_grad():
        for whole_BCHW, folded_BCHW in zip(backbone(image()), faster(backbone, fold_norms=True)(image()), strict=True):
            assert float((whole_BCHW - folded_BCHW).abs().max()) <= FOLDED_TOLERANCE * float(whole_BCHW.abs().max())


def test_deeper_networks_hold_what_they_promise():
    backbone = build_backbone("resnet50")
    with torch.no_grad():
        shapes = [tuple(map_BCHW.shape[1:]) for map_BCHW in backbone(image())]
    assert shapes == [(256, 16, 24), (512, 8, 12), (1024, 4, 6), (2048, 2, 3)]
    assert [shape[0] for shape in shapes] == list(backbone.channels)


def test_building_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    build_backbone("resnet18")
    assert torch.equal(before, torch.random.get_rng_state())


def test_weights_of_another_network_are_refused(stored: tuple[Path, torch.nn.Module]):
    with pytest.raises(ZeromissError, match=r"resnet18.safetensors .*: .*; give the"):
        load_backbone("resnet50", str(stored[0]))


@pytest.mark.parametrize(
    ("name", "weights", "file"),
    [
        ("resnet18", ResNet18_Weights, "resnet18-f37072fd.pth"),
        ("resnet50", ResNet50_Weights, "resnet50-0676ba61.pth"),
        ("resnet101", ResNet101_Weights, "resnet101-63fe2227.pth"),
        ("wide_resnet50", Wide_ResNet50_2_Weights, "wide_resnet50_2-95faca4d.pth"),
    ],
)
def test_without_internet_the_file_to_give_is_named(name: str, weights: type, file: str, monkeypatch: pytest.MonkeyPatch):
    def unreachable(*args: object, **kwargs: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr(weights, "get_state_dict", unreachable)
    with pytest.raises(ZeromissError, match=f"{name}: its weights could not be downloaded .*no route.* fetch {file} elsewhere"):
        load_backbone(name)
