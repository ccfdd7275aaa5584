"""GanoDIP's formulas against numbers worked out by hand or by autograd."""

import math

import pytest
import torch

from zeromiss.detectors.ganodip import loss
from zeromiss.detectors.ganodip.resize import resized
from zeromiss.detectors.ganodip.score import laid_back, patch_errors, worst_mean


def test_points_lie_between_real_and_fake():
    real, fake = torch.full((2, 1, 1, 1), 4.0), torch.zeros(2, 1, 1, 1)
    assert loss.between(real, fake, torch.tensor([0.25, 1.0])).flatten().tolist() == [1.0, 4.0]


def test_penalty_of_a_linear_critic_is_its_weights_length():
    """D(x) = w x has the gradient w everywhere: with ||w|| = 5 the penalty is (5 - 1)^2 = 16, at any point."""
    weight_CHW = torch.tensor([3.0, 0.0, 0.0, 4.0]).view(1, 2, 2)
    point_BCHW = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (gradient_BCHW,) = torch.autograd.grad((point_BCHW * weight_CHW).sum(), point_BCHW)
    assert loss.gradient_penalty(gradient_BCHW).item() == pytest.approx(16.0)
    assert loss.gradient_penalty(gradient_BCHW / 5).item() == pytest.approx(0.0, abs=1e-12)


def test_penalty_is_a_mean_over_images_and_two_sided():
    gradient_BCHW = torch.tensor([3.0, 0.0]).view(2, 1, 1, 1)  # (3 - 1)^2 = 4 and (0 - 1)^2 = 1
    assert loss.gradient_penalty(gradient_BCHW).item() == pytest.approx(2.5)


def test_penalty_of_a_quadratic_critic_moves_its_factor_as_worked_out():
    """D(x) = a x^2 / 2 at x = 2: gradient 2 a, penalty (2 a - 1)^2, which changes with a by 4 (2 a - 1) = 20 at a = 3."""
    factor = torch.tensor(3.0, requires_grad=True)
    point_BCHW = torch.full((1, 1, 1, 1), 2.0, requires_grad=True)
    (gradient_BCHW,) = torch.autograd.grad((factor * point_BCHW.square() / 2).sum(), point_BCHW, create_graph=True)
    penalty = loss.gradient_penalty(gradient_BCHW)
    penalty.backward()
    assert penalty.item() == pytest.approx(25.0)
    assert factor.grad.item() == pytest.approx(20.0)


def test_equation_1_by_hand():
    real_B, fake_B = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 5.0])  # means 2 and 2.5
    assert loss.wasserstein(real_B, fake_B).item() == pytest.approx(-0.5)
    assert loss.critic_loss(real_B, fake_B, torch.tensor(0.2), 10.0).item() == pytest.approx(0.5 + 2.0)
    assert loss.generator_loss(fake_B).item() == pytest.approx(-2.5)


def test_equation_2_by_hand():
    image_BCHW, image_hat_BCHW = torch.ones(2, 3, 1, 1), torch.tensor([1.0, 1.0, 4.0, 1.0, 1.0, 1.0]).view(2, 3, 1, 1)
    residual_B = loss.residual(image_BCHW, image_hat_BCHW)
    feature_B = loss.feature_residual(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[2.0, 0.0], [1.0, 3.0]]))
    assert residual_B.tolist() == [3.0, 0.0]  # 9 / 3 values
    assert feature_B.tolist() == [2.0, 2.0]  # 4 / 2 dimensions
    assert loss.encoder_loss(residual_B, feature_B, 0.5).item() == pytest.approx(1.5 + 0.5 * 2.0)


def test_learning_rate_is_even_and_then_falls():
    assert [loss.decay(step, 8) for step in (0, 4, 6, 7)] == [1.0, 1.0, 0.5, 0.25]


def test_base_is_what_tanh_turns_into_the_image():
    image_CHW = torch.tensor([-1.0, -0.5, 0.0, 0.9]).view(1, 2, 2)
    assert torch.tanh(loss.atanh_of(image_CHW)).flatten().tolist() == pytest.approx([-0.98, -0.5, 0.0, 0.9], abs=1e-6)


def test_patch_errors_by_hand():
    image_BCHW = torch.zeros(1, 2, 4, 4)
    image_hat_BCHW = image_BCHW.clone()
    image_hat_BCHW[0, 0, 0, 1] = 2.0  # of the first 2 x 2 patch, 8 values: 4 / 8
    image_hat_BCHW[0, :, 2:, 2:] = 1.0  # the whole last patch
    assert patch_errors(image_BCHW, image_hat_BCHW, 2).tolist() == [[[0.5, 0.0], [0.0, 1.0]]]


def test_a_patch_over_the_edge_is_averaged_over_what_there_is_of_it():
    image_hat_BCHW = torch.zeros(1, 1, 5, 5)
    image_hat_BCHW[..., 4, 4] = 3.0  # alone in its patch
    image_hat_BCHW[..., 0, 4] = 2.0  # one of four pixels
    errors_Bhw = patch_errors(torch.zeros(1, 1, 5, 5), image_hat_BCHW, 4)
    assert errors_Bhw.tolist() == [[[0.0, 1.0], [0.0, 9.0]]]
    assert laid_back(errors_Bhw, 4, 5, 5)[0].tolist() == [[0.0, 0.0, 0.0, 0.0, 1.0]] * 4 + [[0.0, 0.0, 0.0, 0.0, 9.0]]


@pytest.mark.parametrize(("alpha", "expected"), [(0.0015, 9.0), (0.25, 9.0), (0.5, 8.0), (1.0, 5.25)])
def test_equation_3_averages_the_worst_share_and_at_least_one(alpha: float, expected: float):
    assert worst_mean(torch.tensor([[[9.0, 2.0], [3.0, 7.0]]]), alpha).item() == pytest.approx(expected)


def test_the_papers_share_is_25_of_its_16384_patches():
    errors_Bhw = torch.arange(128.0 * 128).view(1, 128, 128)
    assert round(0.0015 * 128**2) == 25
    assert worst_mean(errors_Bhw, 0.0015).item() == pytest.approx(128 * 128 - 1 - 12)  # the mean of the last 25 whole numbers


def test_shrinking_averages_areas_and_growing_keeps_the_mean():
    image_BCHW = torch.arange(16.0).view(1, 1, 4, 4)
    assert resized(image_BCHW, (2, 2)).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert resized(image_BCHW, (4, 4)) is image_BCHW
    grown_BCHW = resized(image_BCHW, (8, 8))
    assert grown_BCHW.shape == (1, 1, 8, 8)
    assert math.isclose(grown_BCHW.mean().item(), 7.5, abs_tol=1e-5)
