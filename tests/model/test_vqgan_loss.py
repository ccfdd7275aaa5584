"""Losses, adaptive weight and schedules against numbers worked out by hand."""

import math

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from zeromiss.detectors.vqgan.loss import (
    adaptive_weight,
    critic_counts,
    critic_learns,
    critic_loss,
    generator_loss,
    learning_rate_factor,
    psnr,
)


def test_adaptive_weight_by_hand():
    assert adaptive_weight(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0])).item() == pytest.approx(2.5)


def test_adaptive_weight_from_a_layers_gradients():
    # L = w, x_hat = w a: grad of (x_hat - x)^2 is 2 (w a - x) a, grad of -c x_hat is -c a.
    layer, a, x, c = torch.tensor([2.0], requires_grad=True), 3.0, 5.0, 0.5
    (rec,) = torch.autograd.grad((layer * a - x).square().sum(), layer)
    (gan,) = torch.autograd.grad((-c * layer * a).sum(), layer)
    assert adaptive_weight(rec, gan).item() == pytest.approx(2 * (2 * 3 - 5) * 3 / (0.5 * 3), rel=1e-5)


def test_adaptive_weight_is_capped_where_the_critic_is_flat():
    assert adaptive_weight(torch.tensor([1.0]), torch.tensor([0.0])).item() == 1e4
    assert adaptive_weight(torch.tensor([0.0]), torch.tensor([0.0])).item() == 0.0


def test_critic_loss_is_the_log_loss():
    real, fake = torch.tensor([1.0, -0.5]), torch.tensor([0.3, 2.0])
    by_hand = -torch.sigmoid(real).log().mean() - (1 - torch.sigmoid(fake)).log().mean()
    assert critic_loss(real, fake).item() == pytest.approx(by_hand.item(), rel=1e-6)
    assert critic_loss(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(2 * math.log(2))


def test_generator_loss_is_minus_log_d_and_survives_a_sure_critic():
    assert generator_loss(torch.tensor([0.7])).item() == pytest.approx(-math.log(1 / (1 + math.exp(-0.7))))
    assert generator_loss(torch.tensor([-500.0])).item() == 500.0


@pytest.mark.parametrize(
    ("step", "learns", "counts"), [(0, False, False), (9, False, False), (10, True, False), (14, True, False), (15, True, True)]
)
def test_critic_trains_before_it_counts(step: int, learns: bool, counts: bool):
    assert critic_learns(step, start=10) is learns
    assert critic_counts(step, start=10, warmup=5) is counts


def test_learning_rate_rises_then_falls():
    given = {"warmup": 50, "end": 0.01}
    assert learning_rate_factor(0, 1000, **given) == pytest.approx(0.02, rel=1e-3)
    assert learning_rate_factor(500, 1000, **given) == pytest.approx(0.01 + 0.99 / 2)
    assert learning_rate_factor(999, 1000, **given) == pytest.approx(0.01, rel=1e-2)


def test_learning_rate_falls_as_torchs_cosine_does():
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=40, eta_min=0.2)
    for step in range(40):
        assert learning_rate_factor(step, 40, warmup=0, end=0.2) == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        optimiser.step()
        schedule.step()


def test_learning_rate_stays_where_nothing_is_to_change_it():
    assert {learning_rate_factor(step, 30, warmup=0, end=1.0) for step in range(30)} == {1.0}


def test_psnr_by_hand_and_against_scikit_image():
    image = torch.zeros(3, 4, 4)
    assert psnr(image, image + 0.1) == pytest.approx(20.0, abs=1e-5)
    assert psnr(image, image) == 100.0
    other = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(1))
    assert psnr(image, other) == pytest.approx(peak_signal_noise_ratio(image.numpy(), other.numpy(), data_range=1.0), abs=1e-5)
