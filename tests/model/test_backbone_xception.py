"""Xception: weights that load strictly, maps that are what they say; its weights are drawn, for no package brings them."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from zeromiss.backbones import xception
from zeromiss.backbones.faster import FOLDED_TOLERANCE, faster
from zeromiss.backbones.load import build_backbone, load_backbone
from zeromiss.errors import ZeromissError


@pytest.fixture(scope="module")
def drawn_xception() -> xception.Xception:
    """The network with drawn weights and statistics that do something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        backbone = build_backbone("xception")
        for module in backbone.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2.0)
    return backbone


@pytest.fixture(scope="module")
def published(drawn_xception: xception.Xception) -> dict[str, Tensor]:
    """What a published file holds: the network and its classifier, without counters."""
    weights = {key: value for key, value in drawn_xception.network.state_dict().items() if not key.endswith("num_batches_tracked")}
    return weights | {"fc.weight": torch.ones(1000, 2048), "fc.bias": torch.zeros(1000)}


def drawn(side: int) -> Tensor:
    """Return a noisy image (1, 3, side, side)."""
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("side", [96, 128])
def test_maps_keep_their_promise(drawn_xception: xception.Xception, side: int):
    maps = drawn_xception(drawn(side))
    assert drawn_xception.strides == (2, 4, 8, 16, 32)
    assert [map_BCHW.shape[1] for map_BCHW in maps] == list(drawn_xception.channels)
    for map_BCHW, stride in zip(maps, drawn_xception.strides, strict=True):
        assert 0 <= side / stride - map_BCHW.shape[-1] <= 4
        assert (map_BCHW >= 0).all() and map_BCHW.max() > 0  # activations


def test_the_last_map_is_what_global_pooling_takes(drawn_xception: xception.Xception):
    image = drawn(96)
    with torch.no_grad():
        pooled = drawn_xception(image)[-1].mean(dim=(2, 3))
        torch.testing.assert_close(pooled, drawn_xception.network((image - 0.5) / 0.5), rtol=1e-5, atol=1e-6)


def test_it_is_frozen(drawn_xception: xception.Xception):
    drawn_xception.train()
    assert not any(module.training for module in drawn_xception.modules())
    assert not any(weight.requires_grad for weight in drawn_xception.parameters())


def test_it_loads_from_a_path_and_gives_the_same(drawn_xception: xception.Xception, published: dict[str, Tensor], tmp_path: Path):
    save_file(published, tmp_path / "x.safetensors")
    read = load_backbone("xception", str(tmp_path / "x.safetensors"))
    assert set(read.state_dict()) == set(drawn_xception.state_dict())  # the classifier is gone
    with torch.no_grad():
        for one, two in zip(read(drawn(64)), drawn_xception(drawn(64)), strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("missing", "told"), [("conv4.pointwise.weight", "conv4.pointwise.weight is missing"), ("fc.bias", "fc.bias is missing")]
)
def test_a_tensor_short_is_refused(published: dict[str, Tensor], tmp_path: Path, missing: str, told: str):
    save_file({key: value for key, value in published.items() if key != missing}, tmp_path / "x.safetensors")
    with pytest.raises(ZeromissError, match=f"x.safetensors is no complete set of weights: {told}"):
        load_backbone("xception", str(tmp_path / "x.safetensors"))


def test_without_internet_the_file_to_give_is_named(monkeypatch: pytest.MonkeyPatch):
    def unreachable(*args: object, **kwargs: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr(xception.hub, "load_state_dict_from_url", unreachable)
    told = "backbone xception: its weights could not be downloaded .*no route.* fetch xception-43020ad28.pth elsewhere"
    with pytest.raises(ZeromissError, match=told):
        load_backbone("xception")


def test_folded_norms_give_the_same_maps(drawn_xception: xception.Xception):
    with torch.no_grad():
        for one, two in zip(drawn_xception(drawn(96)), faster(drawn_xception, fold_norms=True)(drawn(96)), strict=True):
            assert (one - two).abs().max() <= FOLDED_TOLERANCE * one.abs().max()
