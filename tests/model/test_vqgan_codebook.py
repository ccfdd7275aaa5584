"""The codebook against numbers worked out by hand and against torch.cdist."""

import pytest
import torch

from zeromiss.detectors.vqgan.codebook import Codebook, nearest, usage

CODES_KD = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])


def codebook(*, ema: bool = True, beta: float = 0.25, dead_after: int = 100) -> Codebook:
    """Return a started codebook with the three codes above."""
    made = Codebook(codes=3, code_dim=2, beta=beta, ema=ema, dead_after=dead_after)
    with torch.no_grad():
        made.codes_KD.copy_(CODES_KD)
    made.count_K.fill_(1.0)
    made.sum_KD.copy_(CODES_KD)
    made.started.fill_(True)
    return made


def latent(*cells: tuple[float, float]) -> torch.Tensor:
    """Return cells as one image's latent, (1, 2, 1, cells)."""
    return torch.tensor(cells).T.reshape(1, 2, 1, len(cells))


def seeded() -> torch.Generator:
    """Return a generator with a fixed seed."""
    return torch.Generator().manual_seed(0)


def test_nearest_by_hand():
    cells_ND = torch.tensor([[0.4, 0.0], [0.6, 0.1], [0.1, 1.5], [-3.0, -3.0]])
    assert nearest(cells_ND, CODES_KD).tolist() == [0, 1, 2, 0]


def test_nearest_takes_the_lowest_of_a_tie():
    assert nearest(torch.tensor([[0.5, 0.0]]), CODES_KD).tolist() == [0]


def test_nearest_agrees_with_cdist():
    generator = seeded()
    cells_ND, codes_KD = torch.randn(500, 8, generator=generator), torch.randn(64, 8, generator=generator)
    assert torch.equal(nearest(cells_ND, codes_KD), torch.cdist(cells_ND, codes_KD).argmin(1))


def test_the_nearer_of_two_almost_equal_codes_is_found_in_evaluation():
    made = codebook()
    with torch.no_grad():
        made.codes_KD.copy_(torch.tensor([[3000.0, 1.0], [3000.0, -1.0], [0.0, 0.0]]))
    cell = latent((3000.0, -1e-4))  # squared distances 1.0002 and 0.9998; fp32 has 9,000,001 - 18,000,000 for both
    assert made.eval()(cell).codes_Bhw.tolist() == [[[1]]]
    assert made.train()(cell).codes_Bhw.tolist() == [[[0]]]


def test_quantised_values_distance_and_codes_by_hand():
    quantised = codebook()(latent((0.4, 0.0), (0.0, 1.5)))
    assert quantised.codes_Bhw.tolist() == [[[0, 2]]]
    torch.testing.assert_close(quantised.latent_BDhw, latent((0.0, 0.0), (0.0, 2.0)))
    assert quantised.distance_B.item() == pytest.approx((0.16 + 0.25) / 4)


def test_commitment_is_beta_times_the_mean_square_by_hand():
    assert codebook(beta=0.5)(latent((0.4, 0.0), (0.0, 1.5))).loss.item() == pytest.approx(0.5 * 0.41 / 4)
    assert codebook(beta=0.0)(latent((0.4, 0.0), (0.0, 1.5))).loss.item() == 0.0


def test_gradient_codebook_adds_its_own_term_and_moves_only_used_codes():
    made = codebook(ema=False, beta=0.25)
    quantised = made(latent((0.4, 0.0), (0.0, 1.5)))
    assert quantised.loss.item() == pytest.approx(1.25 * 0.41 / 4)
    quantised.loss.backward()
    expected_KD = torch.tensor([[2 * -0.4 / 4, 0.0], [0.0, 0.0], [0.0, 2 * 0.5 / 4]])
    torch.testing.assert_close(made.codes_KD.grad, expected_KD)


def test_gradient_passes_straight_through():
    cells_BDhw = latent((0.4, 0.0), (0.0, 1.5)).requires_grad_()
    weight_BDhw = torch.tensor([1.0, -2.0, 3.0, 0.5]).reshape(1, 2, 1, 2)
    (codebook(beta=0.0)(cells_BDhw).latent_BDhw * weight_BDhw).sum().backward()
    torch.testing.assert_close(cells_BDhw.grad, weight_BDhw)


def test_commitment_gradient_by_hand():
    cells_BDhw = latent((0.4, 0.0)).requires_grad_()
    codebook(beta=0.5)(cells_BDhw).loss.backward()
    torch.testing.assert_close(cells_BDhw.grad, latent((0.5 * 2 * 0.4 / 2, 0.0)))


def test_moving_average_by_hand():
    made = codebook()
    cells_BDhw = latent((0.4, 0.0), (0.2, 0.2), (0.0, 1.0))
    made.learn(cells_BDhw, torch.tensor([[[0, 0, 2]]]), seeded())
    torch.testing.assert_close(made.count_K, torch.tensor([1.01, 0.99, 1.0]))
    torch.testing.assert_close(made.sum_KD[0], torch.tensor([0.006, 0.002]))
    torch.testing.assert_close(made.codes_KD[0], torch.tensor([0.006, 0.002]) / 1.01, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(made.codes_KD[2], torch.tensor([0.0, 1.99]), atol=1e-4, rtol=1e-4)


def test_dead_code_is_revived_on_a_cell_of_the_batch():
    made = codebook(dead_after=2)
    cells_BDhw = latent((0.1, 0.0), (0.0, 1.9))
    used = torch.tensor([[[0, 2]]])
    assert made.learn(cells_BDhw, used, seeded()) == 0
    assert made.idle_K.tolist() == [0, 1, 0]
    assert made.learn(cells_BDhw, used, seeded()) == 1
    assert made.codes_KD[1].tolist() in [pytest.approx([0.1, 0.0]), pytest.approx([0.0, 1.9])]
    assert made.idle_K.tolist() == [0, 0, 0]
    assert made.count_K[1].item() == 1.0


def test_gradient_codebook_revives_too():
    made = codebook(ema=False, dead_after=1)
    assert made.learn(latent((0.1, 0.0)), torch.tensor([[[0]]]), seeded()) == 2
    torch.testing.assert_close(made.codes_KD[1:].detach(), torch.tensor([[0.1, 0.0], [0.1, 0.0]]))


def test_first_batch_places_the_codes_once():
    made = Codebook(codes=5, code_dim=2, beta=0.25, ema=True, dead_after=10)
    cells_BDhw = latent((1.0, 2.0), (3.0, 4.0))
    made.start(cells_BDhw, seeded())
    assert {tuple(code) for code in made.codes_KD.tolist()} <= {(1.0, 2.0), (3.0, 4.0)}
    before_KD = made.codes_KD.clone()
    made.start(cells_BDhw + 9, seeded())
    assert torch.equal(made.codes_KD, before_KD)


def test_usage_and_perplexity_by_hand():
    assert usage(torch.tensor([5, 5, 0, 0])) == (0.5, pytest.approx(2.0))
    share, perplexity = usage(torch.tensor([3, 1]))
    assert (share, perplexity) == (1.0, pytest.approx(4 / 27**0.25))
    assert usage(torch.full((8,), 7)) == (1.0, pytest.approx(8.0))


def test_quantising_stays_in_fp32_under_autocast():
    made = codebook()
    cells_BDhw = latent((0.4999, 0.0), (0.5001, 0.0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        quantised = made(cells_BDhw)
    assert quantised.codes_Bhw.flatten().tolist() == [0, 1]
    assert quantised.loss.dtype == torch.float32
