"""CycleGAN-AD's losses, scores and networks against figures worked out by hand and published sizes."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_squared_error
from torch import nn

from zeromiss.detectors.cyclegan import loss
from zeromiss.detectors.cyclegan.network import Critic, Generator
from zeromiss.detectors.cyclegan.score import error_map, pair_distance, sum_of_squares


@pytest.mark.parametrize(("wanted", "expected"), [(1.0, (0.25 + 0.25 + 1.0) / 3), (0.0, (0.25 + 2.25 + 0.0) / 3)])
def test_least_squares(wanted: float, expected: float):
    said = torch.tensor([[0.5, 1.5, 0.0]])
    assert loss.least_squares(said, wanted).item() == pytest.approx(expected)


def test_a_discriminator_pays_for_both_games():
    assert loss.critic_loss(torch.ones(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)).item() == 0.0
    assert loss.critic_loss(torch.full((4,), 0.5), torch.full((4,), 0.5)).item() == 0.25
    assert loss.critic_loss(torch.tensor([0.0]), torch.tensor([2.0])).item() == pytest.approx(0.5 * (1 + 4))


def test_cycle_and_identity_are_mean_absolute_differences():
    image, other = torch.tensor([[[[-1.0, 0.0], [0.5, 1.0]]]]), torch.tensor([[[[-0.5, 0.0], [0.0, -1.0]]]])
    for formula in (loss.cycle_loss, loss.identity_loss):
        assert formula(image, other).item() == pytest.approx((0.5 + 0 + 0.5 + 2) / 4)


def test_the_whole_loss_weighs_as_the_paper_does():
    adversarial, cycle, identity = (torch.tensor(value) for value in (0.7, 0.2, 0.3))
    # 0.7 + 10 * 0.2 + 0.5 * 10 * 0.3
    assert loss.generator_loss(adversarial, cycle, identity, cycle_weight=10.0, identity_share=0.5).item() == pytest.approx(4.2)


def test_the_learning_rate_is_even_for_half_the_steps_then_falls_in_a_line():
    factors = [loss.learning_rate_factor(step, 200) for step in range(200)]
    assert factors[:100] == [1.0] * 100
    assert factors[100:] == pytest.approx(np.linspace(1.0, 0.01, 100).tolist())
    assert loss.learning_rate_factor(0, 1) == 1.0


def test_images_are_seen_between_minus_one_and_one():
    image_BCHW = torch.tensor([0.0, 0.25, 1.0]).view(1, 3, 1, 1)
    assert loss.signed(image_BCHW).flatten().tolist() == [-1.0, -0.5, 1.0]


def test_sse_is_the_sum_over_pixels_and_channels():
    image_BCHW, image_hat_BCHW = torch.rand(3, 3, 8, 8), torch.rand(3, 3, 8, 8)
    found_B = sum_of_squares(image_BCHW, image_hat_BCHW)
    for image_CHW, image_hat_CHW, found in zip(image_BCHW, image_hat_BCHW, found_B, strict=True):
        expected = 192 * mean_squared_error(image_CHW.double().flatten().numpy(), image_hat_CHW.double().flatten().numpy())
        assert found.item() == pytest.approx(expected, rel=1e-6)
    one = torch.zeros(1, 3, 2, 2)
    one[0, 1, 0, 1], one[0, 2, 0, 1] = 0.5, -1.0
    assert sum_of_squares(one, torch.zeros(1, 3, 2, 2)).item() == 1.25
    assert error_map(one, torch.zeros(1, 3, 2, 2)).flatten().tolist() == pytest.approx([0, 1.25 / 3, 0, 0])


def test_sse_is_three_times_the_sum_of_the_map():
    image_BCHW, image_hat_BCHW = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    map_BHW = error_map(image_BCHW, image_hat_BCHW)
    torch.testing.assert_close(3 * map_BHW.sum(dim=(1, 2)), sum_of_squares(image_BCHW, image_hat_BCHW))


def test_fid_of_a_pair_is_the_squared_distance_of_its_features():
    features_BF, features_hat_BF = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[4.0, 6.0], [0.0, 1.0]])
    assert pair_distance(features_BF, features_hat_BF).tolist() == [25.0, 0.0]


def test_the_networks_are_those_of_the_cyclegan_paper():
    """11.378 and 2.765 million weights are the published sizes of the 9-block generator and the 70-pixel discriminator."""
    generator, critic = Generator(channels=64, blocks=9, correction=False), Critic(channels=64, layers=3)
    assert sum(weight.numel() for weight in generator.parameters()) == 11_378_179
    assert sum(weight.numel() for weight in critic.parameters()) == 2_764_737


@pytest.mark.parametrize(("layers", "side"), [(1, 16), (2, 34), (3, 70)])
def test_a_figure_of_the_discriminator_sees_a_patch(layers: int, side: int):
    critic = Critic(channels=2, layers=layers)
    for index, layer in enumerate(critic.layers):
        if isinstance(layer, nn.InstanceNorm2d):  # which knows the whole map
            critic.layers[index] = nn.Identity()
    image_BCHW = torch.rand(1, 3, 160, 160, requires_grad=True)
    said = critic(image_BCHW)
    said[0, 0, said.shape[2] // 2, said.shape[3] // 2].backward()
    touched_HW = image_BCHW.grad[0].abs().sum(dim=0) > 0
    assert (int(touched_HW.any(dim=1).sum()), int(touched_HW.any(dim=0).sum())) == (side, side)


def test_a_generator_returns_images_or_corrects_them():
    image_BCHW = torch.rand(2, 3, 32, 32) * 2 - 1
    for correction in (False, True):
        generator = Generator(channels=4, blocks=1, correction=correction)
        nn.init.zeros_(generator.layers[-1].weight)
        nn.init.zeros_(generator.layers[-1].bias)
        expected_BCHW = image_BCHW if correction else torch.zeros_like(image_BCHW)
        assert torch.equal(generator(image_BCHW), expected_BCHW)
