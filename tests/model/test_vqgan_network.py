"""Shapes and plans of the networks, and what a reconstruction promises."""

from pathlib import Path

import pytest
import torch
from torch import nn

from zeromiss.detectors.vqgan.critic import Critic
from zeromiss.detectors.vqgan.network import Attention, Decoder, Encoder, Norm, Plan, ResidualBlock, Upsample, reduction
from zeromiss.detectors.vqgan.trainer import Trainer
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.detector_params import VqganParams
from zeromiss.params import read_params


@pytest.mark.parametrize(
    ("stem", "channels", "f"),
    [("conv", (128, 128, 256, 256, 512), 16), ("conv", (8,), 1), ("unshuffle", (48, 96), 8), ("unshuffle", (48,), 4)],
)
def test_reduction_by_hand(stem: str, channels: tuple[int, ...], f: int):
    assert reduction(stem, channels) == f


@pytest.mark.parametrize("stem", ["conv", "unshuffle"])
def test_encoder_and_decoder_are_inverse_in_shape(stem: str):
    plan = Plan(stem=stem, channels=(8, 8, 16), blocks=1, attention=True, code_dim=5)
    latent_BDhw = Encoder(plan)(torch.zeros(2, 3, 64, 32))
    f = reduction(stem, (8, 8, 16))
    assert latent_BDhw.shape == (2, 5, 64 // f, 32 // f)
    assert Decoder(plan)(latent_BDhw).shape == (2, 3, 64, 32)


def test_residual_block_with_dead_convolution_is_the_identity():
    block = ResidualBlock(8, 8)  # its second convolution begins at zero
    nn.init.zeros_(block.conv2.bias)
    map_BCHW = torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(map_BCHW), map_BCHW)


@pytest.mark.parametrize("width", [4, 24])
def test_doubling_in_one_convolution_is_doubling_then_convolving(width: int):
    layer = Upsample(width).train()
    map_BCHW = torch.randn(2, width, 7, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weights = [map_BCHW, layer.conv.weight, layer.conv.bias]
    assert 7 * 8 >= 2 * width
    taught, judged = layer(map_BCHW), layer.eval()(map_BCHW)
    torch.testing.assert_close(taught, judged, atol=1e-5, rtol=1e-5)
    assert not torch.equal(taught, judged)  # sums in another order: it did take the other way
    pull_BCHW = torch.randn(judged.shape, generator=torch.Generator().manual_seed(1))
    for got, expected in zip(*(torch.autograd.grad(out, weights, pull_BCHW) for out in (taught, judged)), strict=True):
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_judging_doubles_by_repetition_then_convolution_bit_for_bit():
    layer = Upsample(4).eval()
    map_BCHW = torch.randn(2, 4, 7, 8, generator=torch.Generator().manual_seed(0))
    repeated_BCHW = map_BCHW.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(layer(map_BCHW), layer.conv(repeated_BCHW))


def test_small_maps_are_normalised_alike_in_training_and_judging():
    layer = Norm(4, 48, eps=1e-6)
    torch.nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(2))
    map_BCHW = torch.randn(2, 48, 6, 5, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=torch.channels_last)
    taught, judged = layer.train()(map_BCHW), layer.eval()(map_BCHW)
    assert taught.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(taught, judged, atol=1e-5, rtol=1e-5)
    assert torch.equal(judged, torch.nn.functional.group_norm(map_BCHW, 4, layer.weight, layer.bias, 1e-6))


def kept_bytes(vqgan: Vqgan, image_BCHW: torch.Tensor) -> tuple[int, torch.Tensor]:
    """Return the bytes that a forward pass keeps for its gradients, and the image."""
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        image_hat_BCHW = vqgan.decode(vqgan.encode(image_BCHW))
    return sum(kept.values()), image_hat_BCHW


def test_checkpointing_leaves_gradients_and_keeps_less(tiny_params: VqganParams):
    params = tiny_params.model_copy(update={"stem": "conv", "channels": (8, 16), "blocks": 2, "attention": True})
    image_BCHW = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = []
    for recompute in (False, True):
        vqgan = Vqgan(params.model_copy(update={"gradient_checkpointing": recompute}), seed=1).train()
        kept, image_hat_BCHW = kept_bytes(vqgan, image_BCHW)
        gradients = torch.autograd.grad(image_hat_BCHW.square().mean(), [*vqgan.encoder.parameters(), *vqgan.decoder.parameters()])
        found.append((kept, image_hat_BCHW, gradients))
    (most, plain, plainly), (least, again, recomputed) = found
    assert least < 0.5 * most
    assert torch.equal(plain, again)
    for got, expected in zip(recomputed, plainly, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-7, rtol=1e-5)


def test_attention_agrees_with_softmax_written_out():
    layer = Attention(4)
    map_BCHW = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    query, key, value = layer.query_key_value(layer.norm(map_BCHW)).flatten(2).chunk(3, dim=1)
    share_BNN = torch.softmax(query.mT @ key / 4**0.5, dim=-1)
    expected = map_BCHW + layer.project((value @ share_BNN.mT).view(2, 4, 3, 5))
    torch.testing.assert_close(layer(map_BCHW), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("layers", "side"), [(2, 14), (3, 6)])
def test_critic_gives_one_logit_a_patch(layers: int, side: int):
    # 64 -> 32 -> 16 (-> 8), then two unpadded-by-one 4 x 4 convolutions of stride 1: minus 2.
    critic = Critic(channels=4, layers=layers)
    assert critic(torch.zeros(2, 3, 64, 64)).shape == (2, 1, side, side)


def test_reconstruction_is_repeatable_clipped_and_of_the_images_size(tiny_params: VqganParams):
    vqgan = Vqgan(tiny_params, seed=1).train()
    image_BCHW = torch.rand(1, 3, 45, 50, generator=torch.Generator().manual_seed(0))
    first, second = vqgan.reconstruct(image_BCHW), vqgan.reconstruct(image_BCHW)
    assert first.image_hat_BCHW.shape == image_BCHW.shape
    assert torch.equal(first.image_hat_BCHW, second.image_hat_BCHW)
    assert torch.equal(first.critic_B, second.critic_B)
    assert first.image_hat_BCHW.min() >= 0
    assert first.image_hat_BCHW.max() <= 1
    assert first.image_hat_BCHW.dtype == torch.float32
    assert not first.image_hat_BCHW.requires_grad
    assert vqgan.training


def test_quantisation_distance_is_the_latents_to_its_code(tiny_params: VqganParams):
    vqgan = Vqgan(tiny_params, seed=1).eval()
    image_BCHW = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        latent_ND = vqgan.encode(image_BCHW).movedim(1, -1).flatten(1, 2)
    smallest_BN = torch.cdist(latent_ND, vqgan.codebook.codes_KD.expand(2, -1, -1)).min(dim=2).values
    expected_B = smallest_BN.square().mean(dim=1) / tiny_params.code_dim
    torch.testing.assert_close(vqgan.reconstruct(image_BCHW).quantisation_B, expected_B, rtol=1e-4, atol=1e-6)


def test_same_seed_same_weights_and_the_global_generator_is_left_alone(tiny_params: VqganParams):
    before = torch.random.get_rng_state()
    first, second, other = (Vqgan(tiny_params, seed=seed).encoder.out.weight for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.fixture
def paper(repository: Path) -> VqganParams:
    """The profile `paper` of params.yaml."""
    return VqganParams.model_validate(read_params(repository / "params.yaml")["profiles"]["paper"]["vqgan"])


def test_paper_profile_is_the_papers_plan(paper: VqganParams):
    with torch.device("meta"):
        vqgan = Vqgan(paper)
    assert vqgan.f == 16
    assert vqgan.codebook.codes_KD.shape == (2048, 512)
    assert vqgan.encoder(torch.empty(1, 3, 1024, 1024, device="meta")).shape == (1, 512, 64, 64)
    assert paper.backbone == "vgg16"
    assert paper.gradient_checkpointing
    assert (paper.lr_warmup, paper.lr_end, paper.ema_decay) == (0, 1.0, 0.0)  # it names no schedule and no average


def test_paper_profile_takes_a_step_with_an_eighth_of_the_channels(paper: VqganParams, tiny_backbone):
    narrow = {"channels": tuple(width // 8 for width in paper.channels), "code_dim": 64, "codes": 64, "critic_channels": 8}
    params = paper.model_copy(update=narrow | {"critic_start": 0, "critic_warmup": 0, "codebook_start": 0})
    trainer = Trainer(Vqgan(params), tiny_backbone, seed=0)
    before = trainer.vqgan.codebook.codes_KD.detach().clone()
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    values = trainer.step(image, 0)
    assert all(torch.isfinite(value) for value in values.values())
    assert 0 < values["lambda"] <= 1e4
    assert not torch.equal(before, trainer.vqgan.codebook.codes_KD)


def test_bf16_redraws_with_the_same_codes_a_shade_apart(tiny_params: VqganParams) -> None:
    vqgan = Vqgan(tiny_params, seed=0)
    image_BCHW = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    exact, low = vqgan.reconstruct(image_BCHW), vqgan.reconstruct(image_BCHW, "bf16")
    assert torch.equal(low.quantisation_B, exact.quantisation_B)  # distance to the chosen codes
    apart = (low.image_hat_BCHW - exact.image_hat_BCHW).abs().max()
    assert 0 < apart < 1 / 128
    assert low.image_hat_BCHW.dtype == low.critic_B.dtype == torch.float32
