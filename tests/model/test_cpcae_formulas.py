"""The arithmetic of the patch autoencoder's paper against numbers worked out by hand, by scikit-learn or by sums in a row."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from zeromiss.detectors.cpcae.loss import activity, sparse_loss, squared_error
from zeromiss.detectors.cpcae.network import Autoencoder, Decoder, Encoder
from zeromiss.detectors.cpcae.patches import conditions, extract, places, reproject, starts
from zeromiss.detectors.cpcae.score import error_image, error_map, fit_standard, neighbour_distance, parallel_cascade_pool
from zeromiss.errors import ZeromissError


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Return numbers in [0, 1)."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("side", "patch", "step", "expected"),
    [(8, 4, 2, [0, 2, 4]), (9, 4, 2, [0, 2, 4, 5]), (8, 8, 3, [0]), (10, 4, 4, [0, 4, 6]), (5, 4, 9, [0, 1])],
)
def test_patches_begin_every_step_and_end_flush(side: int, patch: int, step: int, expected: list[int]):
    assert starts(side, patch, step) == expected


def test_patches_come_row_by_row_with_their_number_over_their_count():
    assert places(6, 6, 4, 2) == [(0, 0), (0, 2), (2, 0), (2, 2)]
    assert conditions(4).tolist() == [0.25, 0.5, 0.75, 1.0]
    image_CHW = torch.arange(36.0).view(1, 6, 6)
    patch_NCPP = extract(image_CHW, 4, 2)
    assert patch_NCPP.shape == (4, 1, 4, 4)
    assert patch_NCPP[:, 0, 0, 0].tolist() == [0.0, 2.0, 12.0, 14.0]
    assert patch_NCPP[3, 0, -1, -1] == 35.0


def test_patches_put_back_are_the_image():
    image_CHW = drawn(3, 11, 11)
    torch.testing.assert_close(reproject(extract(image_CHW, 4, 3), 11, 11, 3), image_CHW)


def test_overlapping_patches_are_averaged():
    patch_NCPP = torch.stack([torch.full((1, 2, 2), value) for value in (1.0, 2.0, 3.0, 6.0)])
    expected = [[1.0, 1.5, 2.0], [2.0, 3.0, 4.0], [3.0, 4.5, 6.0]]
    assert reproject(patch_NCPP, 3, 3, 1)[0].tolist() == expected


def test_loss_by_hand():
    image_BCPP = torch.zeros(2, 1, 2, 2)
    image_hat_BCPP = torch.tensor([[[[1.0, 0.0], [2.0, 0.0]]], [[[0.0, 0.0], [0.0, 3.0]]]])
    code_BD = torch.tensor([[1.0, 0.0, 2.0], [0.5, 0.0, 0.0]])
    assert squared_error(image_BCPP, image_hat_BCPP).tolist() == [5.0, 9.0]
    assert activity(code_BD).tolist() == [3.0, 0.5]
    assert sparse_loss(image_BCPP, image_hat_BCPP, code_BD, 2.0).item() == pytest.approx(((5 + 2 * 3) + (9 + 2 * 0.5)) / 2)


def test_the_penalty_pulls_each_active_code_by_its_weight():
    code_BD = torch.tensor([[0.4, 2.0]], requires_grad=True)
    flat = torch.zeros(1, 1, 1, 1)
    sparse_loss(flat, flat, code_BD, 0.3).backward()
    assert code_BD.grad.flatten().tolist() == pytest.approx([0.3, 0.3])


@pytest.mark.parametrize("side", [8, 16])
def test_network_shapes(side: int):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Autoencoder(side, (4, 6), 5)
    image_hat_BCPP, code_BD = network(drawn(3, 3, side, side), conditions(3))
    assert image_hat_BCPP.shape == (3, 3, side, side)
    assert code_BD.shape == (3, 5)
    assert [layer.stride for layer in network.encoder.body if isinstance(layer, torch.nn.Conv2d)] == [(2, 2), (2, 2)]
    assert [layer.stride for layer in network.decoder.body if isinstance(layer, torch.nn.ConvTranspose2d)] == [(2, 2), (2, 2)]


def test_the_condition_enters_both_dense_layers():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder, decoder = Encoder(8, (4,), 5), Decoder(8, (4,), 5)
    patch_BCPP, one_B, two_B = drawn(1, 3, 8, 8), torch.tensor([0.25]), torch.tensor([0.75])
    with torch.no_grad():
        moved_BD = encoder(patch_BCPP, two_B) - encoder(patch_BCPP, one_B)
        torch.testing.assert_close(moved_BD[0], 0.5 * encoder.dense.weight[:, -1], rtol=1e-4, atol=1e-5)
        code_BD = drawn(1, 5)
        assert not torch.equal(decoder(code_BD, one_B), decoder(code_BD, two_B))
    assert decoder.dense.in_features == 6


def test_a_patch_that_cannot_be_halved_is_refused():
    with pytest.raises(ZeromissError, match=r"cpcae.patch is 12: 3 strided layers \(cpcae.channels\) need a multiple of 8"):
        Autoencoder(12, (4, 4, 4), 5)


def test_error_by_hand():
    image_BCHW = torch.tensor([0.5, 0.25, 1.0]).view(1, 3, 1, 1)
    image_hat_BCHW = torch.tensor([0.75, 0.25, 0.5]).view(1, 3, 1, 1)
    assert error_image(image_BCHW, image_hat_BCHW).flatten().tolist() == [0.25, 0.0, 0.5]
    assert error_map(image_BCHW, image_hat_BCHW).tolist() == [[[0.25]]]


def test_pooling_layer_by_hand():
    map_BChw = torch.zeros(1, 2, 4, 4)
    map_BChw[0, 0, 0, 0] = 8.0  # one cell: 8, its block's mean 2, the whole's mean 0.5
    map_BChw[0, 1, :2, :2] = 3.0  # a block of four: 3, 3, 0.75
    assert parallel_cascade_pool(map_BChw).tolist() == [[8.0, 3.0, 2.0, 3.0, 0.5, 0.75]]


def test_pooling_layer_averages_a_rest_over_the_cells_it_has():
    map_BChw = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 20.0]]).view(1, 1, 3, 3)
    assert parallel_cascade_pool(map_BChw).tolist() == [[20.0, 20.0, (3.0 + 4.5 + 7.5 + 20.0) / 4]]
    assert parallel_cascade_pool(torch.full((1, 1, 1, 1), 2.0)).tolist() == [[2.0, 2.0, 2.0]]


def test_standardising_agrees_with_scikit_learn():
    embedding_NF = drawn(20, 6) * torch.tensor([1.0, 10.0, 0.1, 1.0, 1.0, 0.0]) + torch.tensor([0.0, 5.0, -3.0, 0.0, 0.0, 7.0])
    other_BF = drawn(4, 6, seed=1)
    expected = StandardScaler().fit(embedding_NF.double().numpy()).transform(other_BF.double().numpy())
    np.testing.assert_allclose(fit_standard(embedding_NF)(other_BF), expected, rtol=1e-4, atol=1e-5)
    assert fit_standard(embedding_NF).scale_F[5] == 1.0  # never varies: left alone


def test_neighbour_distance_by_hand():
    memory_NF = torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 4.0], [10.0, 10.0]])
    assert neighbour_distance(torch.tensor([[0.0, 0.0]]), memory_NF, 3).item() == pytest.approx((0 + 1 + 25) / 3)


def test_neighbour_distance_agrees_with_scikit_learn():
    memory_NF, embedding_BF = drawn(40, 12), drawn(5, 12, seed=1)
    distances, _ = NearestNeighbors(n_neighbors=15).fit(memory_NF).kneighbors(embedding_BF)
    np.testing.assert_allclose(neighbour_distance(embedding_BF, memory_NF, 15), (distances**2).mean(axis=1), rtol=1e-5)
