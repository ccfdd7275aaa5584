"""Training learns, repeats itself bit for bit, and goes on after a kill as if there had been none."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from zeromiss.backbones.base import Backbone
from zeromiss.detectors.batches import Batches
from zeromiss.detectors.checkpoint import checkpoint_key
from zeromiss.detectors.vqgan.evaluate import code_usage, mean_psnr
from zeromiss.detectors.vqgan.train import train
from zeromiss.detectors.vqgan.trainer import Trainer
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.errors import ZeromissError
from zeromiss.detector_params import VqganParams


def weights(vqgan: Vqgan) -> dict[str, Tensor]:
    """Return all tensors of a network."""
    return vqgan.state_dict()


def assert_same(first: Vqgan, second: Vqgan) -> None:
    """Assert that two networks are equal bit for bit."""
    for key, value in weights(first).items():
        assert torch.equal(value, weights(second)[key]), key


def test_tiny_network_learns_two_images_by_heart(tiny_params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor):
    params = tiny_params.model_copy(
        update={
            "steps": 120,
            "learning_rate": 4e-3,
            "channels": (16, 24),
            "batch": 1,
            "codes": 64,
            "crop": None,
            "codebook_start": 40,
            "critic_start": 110,
            "critic_warmup": 5,
            "dead_after": 20,
            "precision": "fp32",
        }
    )
    trained = train(params, drawn_images[:2], tiny_backbone, seed=0)
    images = [image.float() / 255 for image in drawn_images[:2]]
    assert mean_psnr(Vqgan(params, seed=0), images) < 12
    assert mean_psnr(trained.detector, images) > 22
    share, perplexity = code_usage(trained.detector, images)
    assert 0.2 < share <= 1
    assert 5 < perplexity <= 64 * share


def test_same_seed_gives_the_same_weights(tiny_params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor):
    first, second = (train(tiny_params, drawn_images, tiny_backbone, seed=5) for _ in range(2))
    assert_same(first.detector, second.detector)
    assert first.history == second.history
    other = train(tiny_params, drawn_images, tiny_backbone, seed=6)
    assert not torch.equal(first.detector.decoder.out.weight, other.detector.decoder.out.weight)


@pytest.mark.parametrize("killed_after", [2, 4, 7])
@pytest.mark.parametrize("codebook", ["ema", "gradient"])
def test_killed_training_goes_on_to_the_same_weights(
    tmp_path: Path, tiny_params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor, killed_after: int, codebook: str
):
    params = tiny_params.model_copy(update={"codebook": codebook})
    whole = train(params, drawn_images, tiny_backbone, seed=5)
    file = tmp_path / "state.safetensors"
    train(params, drawn_images, tiny_backbone, seed=5, checkpoint=file, stop_after=killed_after)
    assert file.exists() == (killed_after >= 3)
    resumed = train(params, drawn_images, tiny_backbone, seed=5, checkpoint=file)
    assert_same(whole.detector, resumed.detector)
    assert whole.history == resumed.history


def test_checkpoint_holds_steps_done_and_optimisers(
    tmp_path: Path, tiny_params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor
):
    file = tmp_path / "state.safetensors"
    train(tiny_params, drawn_images, tiny_backbone, seed=5, checkpoint=file, stop_after=7)
    with safe_open(file, framework="pt") as state:
        assert '"step": 6' in state.metadata()["zeromiss"]
        assert state.get_tensor("optimiser.generator.0.step").item() == 6.0
        assert state.get_tensor("optimiser.critic.0.step").item() == 4.0  # it began at step 2
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_damaged_checkpoint_is_refused(tmp_path: Path, tiny_params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor):
    file = tmp_path / "state.safetensors"
    file.write_bytes(b"half a file")
    with pytest.raises(ZeromissError, match="state.safetensors cannot be resumed .*: delete it to train anew"):
        train(tiny_params, drawn_images, tiny_backbone, seed=5, checkpoint=file)


def test_checkpoint_key_changes_with_all_that_matters(tiny_params: VqganParams):
    given = {"size": 64, "seed": 0, "manifest_sha256": "ab"}
    key = checkpoint_key(tiny_params, **given)
    assert key == checkpoint_key(tiny_params, **given)
    others = [given | change for change in ({"size": 65}, {"seed": 1}, {"manifest_sha256": "ac"})]
    keys = {key, *(checkpoint_key(tiny_params, **other) for other in others)}
    assert len(keys | {checkpoint_key(tiny_params.model_copy(update={"codes": 17}), **given)}) == 5


def test_critic_is_still_until_its_start_and_reaches_the_generator_after_its_warmup(
    tiny_params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor
):
    trainer = Trainer(Vqgan(tiny_params, seed=0), tiny_backbone, seed=0)
    batches = Batches(drawn_images, batch=2, crop=32, seed=0, steps=8)
    moved, weight = [], []
    for step in range(6):
        before = trainer.vqgan.critic.layers[0].weight.detach().clone()
        values = trainer.step(batches[step], step)
        moved.append(not torch.equal(before, trainer.vqgan.critic.layers[0].weight))
        weight.append(values["lambda"].item() > 0)
    assert moved == [False, False, True, True, True, True]
    assert weight == [False, False, False, False, True, True]


def test_codes_are_placed_when_quantising_begins_and_not_before(
    tiny_params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor
):
    params = tiny_params.model_copy(update={"codebook_start": 2})
    trainer = Trainer(Vqgan(params, seed=0), tiny_backbone, seed=0)
    batches = Batches(drawn_images, batch=2, crop=32, seed=0, steps=8)
    started, terms = [], []
    for step in range(3):
        terms.append(trainer.step(batches[step], step)["codebook"].item())
        started.append(bool(trainer.vqgan.codebook.started))
    assert started == [False, False, True]
    assert terms[:2] == [0.0, 0.0]
    assert terms[2] > 0


def test_gradient_at_the_image_is_the_gradient_of_the_total_loss(
    tiny_params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor
):
    params = tiny_params.model_copy(update={"precision": "fp32", "critic_start": 0, "critic_warmup": 0})
    trainer = Trainer(Vqgan(params, seed=0), tiny_backbone, seed=0)
    image_BCHW = drawn_images[:1, :, :32, :32].float() / 255
    decoder = trainer.vqgan.decoder
    latent_BDhw = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    image_hat_BCHW = trainer.vqgan.decode(latent_BDhw)
    leaf_BCHW = image_hat_BCHW.detach().requires_grad_()
    gradient_BCHW, values = trainer._image_gradient(image_BCHW, image_hat_BCHW, leaf_BCHW, trainer._judge(leaf_BCHW))
    (got,) = torch.autograd.grad(image_hat_BCHW, decoder.out.weight, gradient_BCHW)

    image_hat_BCHW = trainer.vqgan.decode(latent_BDhw)
    features = [tiny_backbone(each)[-1] for each in (image_BCHW, image_hat_BCHW)]
    rec = 4 * (image_hat_BCHW - image_BCHW).square().mean() + 0.1 * (features[0] - features[1]).square().mean()
    gan = -torch.sigmoid(trainer.vqgan.judge(image_hat_BCHW)).log().mean()
    rec_L, gan_L = (torch.autograd.grad(loss, decoder.out.weight, retain_graph=True)[0] for loss in (rec, gan))
    weight = rec_L.norm() / (gan_L.norm() + 1e-6)
    torch.testing.assert_close(values["lambda"], weight, rtol=1e-4, atol=0)
    torch.testing.assert_close(got, rec_L + params.adversarial * weight * gan_L, rtol=1e-3, atol=1e-6)


def test_batches_depend_on_seed_and_step_alone(drawn_images: Tensor):
    first, second, other = (Batches(drawn_images, batch=3, crop=16, seed=seed, steps=9) for seed in (1, 1, 2))
    assert first[4].shape == (3, 3, 16, 16)
    second[0]
    assert torch.equal(first[4], second[4])
    assert not torch.equal(first[4], other[4])
    assert not torch.equal(first[4], first[5])


def test_crop_is_a_part_of_its_image(drawn_images: Tensor):
    crop_CHW = Batches(drawn_images[:1], batch=1, crop=16, seed=0, steps=1)[0][0]
    windows = drawn_images[0].unfold(1, 16, 1).unfold(2, 16, 1).permute(1, 2, 0, 3, 4).reshape(-1, 3, 16, 16)
    assert (windows == crop_CHW).flatten(1).all(1).any()


def test_crops_reach_the_ends_of_an_image_more_often(drawn_images: Tensor):
    places = Batches(drawn_images[:1], batch=1, crop=16, seed=0, steps=1)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.tensor([places._place(48, generator) for _ in range(4100)])
    counts = torch.bincount(drawn, minlength=33)
    assert len(counts) == 33
    # 41 places are drawn evenly, from 4 before the image to 4 beyond it: 5 of 41 land on either end
    assert 410 <= counts[0] <= 590
    assert 410 <= counts[32] <= 590
    assert counts[1:32].max() < 150


def test_impossible_params_and_no_images_are_refused(tiny_params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor):
    with pytest.raises(ZeromissError, match="vqgan.crop is 30: it must be a multiple of f = 8"):
        train(tiny_params.model_copy(update={"crop": 30}), drawn_images, tiny_backbone, seed=0)
    with pytest.raises(ZeromissError, match="vqgan.crop is 64 but the images' shorter side has 48 pixels: lower it"):
        train(tiny_params.model_copy(update={"crop": 64}), drawn_images, tiny_backbone, seed=0)
    with pytest.raises(ZeromissError, match="vqgan.codebook_start is 8: it must be below vqgan.steps = 8, or no code is ever"):
        train(tiny_params.model_copy(update={"codebook_start": 8}), drawn_images, tiny_backbone, seed=0)
    with pytest.raises(ZeromissError, match="no normal image to train on"):
        train(tiny_params, drawn_images[:0], tiny_backbone, seed=0)


def test_a_loss_that_is_not_finite_stops_the_training(tiny_params: VqganParams, tiny_backbone: Backbone, drawn_images: Tensor):
    for weight in tiny_backbone.parameters():
        weight.fill_(float("inf"))
    with pytest.raises(ZeromissError, match=r"training lost its way at step 8 \(loss nan\): lower vqgan.learning_rate"):
        train(tiny_params, drawn_images, tiny_backbone, seed=0)
