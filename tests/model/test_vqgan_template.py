"""The template of products that always lie alike: the network redraws deviations from the mean good part."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from zeromiss.backbones.base import Backbone
from zeromiss.detectors.batches import Batches, WithTemplate, mean_image
from zeromiss.detectors.vqgan.store import load_vqgan, save_vqgan
from zeromiss.detectors.vqgan.train import train
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.errors import ZeromissError
from zeromiss.detector_params import VqganParams


@pytest.fixture
def params(tiny_params: VqganParams) -> VqganParams:
    """The tiny network, with a template."""
    return tiny_params.model_copy(update={"template": True})


def test_mean_image_by_hand():
    images = torch.tensor([[[[0, 10]]], [[[1, 20]]], [[[1, 240]]]], dtype=torch.uint8)
    assert mean_image(images).tolist() == [[[1, 90]]]


def test_a_crop_cuts_image_and_template_alike(drawn_images: Tensor):
    template_CHW = 255 - drawn_images[0]
    both = WithTemplate(drawn_images[:1], template_CHW)
    assert (len(both), both[0].shape) == (1, (6, 48, 48))
    for step in range(4):
        crop_BCHW = Batches(both, batch=2, crop=16, seed=3, steps=4)[step]
        assert torch.equal(crop_BCHW[:, 3:], 255 - crop_BCHW[:, :3])


def test_the_template_is_the_mean_of_the_training_images(params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor):
    vqgan = train(params, drawn_images, tiny_backbone, seed=0).detector
    assert torch.equal(vqgan.template_CHW, mean_image(drawn_images).float() / 255)


def test_a_decoder_that_adds_nothing_returns_the_template(params: VqganParams):
    vqgan = Vqgan(params, size=48).eval()
    vqgan.template_CHW.copy_(torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(0)))
    torch.nn.init.zeros_(vqgan.decoder.out.weight)
    torch.nn.init.zeros_(vqgan.decoder.out.bias)
    image_hat_BCHW = vqgan.reconstruct(torch.zeros(1, 3, 48, 48)).image_hat_BCHW
    torch.testing.assert_close(image_hat_BCHW[0], vqgan.template_CHW, atol=0, rtol=0)


def test_an_image_of_another_size_is_refused(params: VqganParams):
    with pytest.raises(ZeromissError, match="template has 48 x 48 pixels, the image 64 x 64: judge images at the product's size"):
        Vqgan(params, size=48).reconstruct(torch.zeros(1, 3, 64, 64))


def test_killed_training_goes_on_to_the_same_weights(
    tmp_path: Path, params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor
):
    whole = train(params, drawn_images, tiny_backbone, seed=5).detector.state_dict()
    file = tmp_path / "state.safetensors"
    train(params, drawn_images, tiny_backbone, seed=5, checkpoint=file, stop_after=4)
    resumed = train(params, drawn_images, tiny_backbone, seed=5, checkpoint=file).detector.state_dict()
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())


def test_a_stored_network_keeps_its_template(tmp_path: Path, params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor):
    trained = train(params, drawn_images, tiny_backbone, seed=0).detector
    save_vqgan(tmp_path, trained)
    image_BCHW = drawn_images[1:2].float() / 255
    read = load_vqgan(tmp_path).reconstruct(image_BCHW)
    assert torch.equal(read.image_hat_BCHW, trained.reconstruct(image_BCHW).image_hat_BCHW)
