"""f-AnoGAN's grid of tiles and its score against numbers worked out by hand."""

import pytest
import torch

from zeromiss.detectors.f_anogan.score import image_score, tile_scores
from zeromiss.detectors.f_anogan.tiles import cut, places, put_together, starts


@pytest.mark.parametrize(
    ("length", "tile", "expected"),
    [(256, 64, [0, 64, 128, 192]), (64, 64, [0]), (65, 64, [0, 1]), (100, 64, [0, 36]), (130, 64, [0, 64, 66])],
)
def test_tiles_cover_a_side_and_the_last_is_flush(length: int, tile: int, expected: list[int]):
    assert starts(length, tile) == expected
    covered = {pixel for start in expected for pixel in range(start, start + tile)}
    assert covered == set(range(length))


def test_places_go_row_by_row():
    assert places(4, 5, 4) == [(0, 0), (0, 1)]
    assert places(8, 8, 4) == [(0, 0), (0, 4), (4, 0), (4, 4)]


@pytest.mark.parametrize("side", [8, 11, 16])
def test_what_was_cut_comes_together_again(side: int):
    image_CHW = torch.rand(3, side, side, generator=torch.Generator().manual_seed(0))
    tile_TCtt = cut(image_CHW, 8)
    assert torch.equal(tile_TCtt[0], image_CHW[:, :8, :8])
    assert torch.equal(tile_TCtt[-1], image_CHW[:, -8:, -8:])
    assert torch.allclose(put_together(tile_TCtt, side, side), image_CHW, atol=1e-7)


def test_overlaps_are_averaged():
    """Tiles of 2 pixels on 3: the middle column and row lie in two tiles, the middle pixel in all four."""
    tile_TCtt = torch.tensor([1.0, 2.0, 3.0, 6.0]).view(4, 1, 1, 1).expand(4, 1, 2, 2)
    assert put_together(tile_TCtt, 3, 3)[0].tolist() == [[1.0, 1.5, 2.0], [2.0, 3.0, 4.0], [3.0, 4.5, 6.0]]


def test_a_tile_scores_residual_plus_kappa_feature_and_the_worst_speaks_for_the_image():
    score_T = tile_scores(torch.tensor([0.5, 0.25]), torch.tensor([1.0, 3.0]), 0.5)
    assert score_T.tolist() == [1.0, 1.75]
    assert image_score(score_T).item() == 1.75
