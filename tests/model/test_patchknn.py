"""Whitened patch neighbours: the search against scipy, the fit's plan, what is stored, and the maps of one image."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, mahalanobis
from zeromiss.backbones.block_colours import block_colours
from zeromiss.backbones.load import load_backbone
from zeromiss.detector_params import PatchknnParams
from zeromiss.detectors.base import Context
from zeromiss.detectors.patchknn.nearest import PlaceBank, coreset, nearest_anywhere, nearest_by_place
from zeromiss.detectors.patchknn.patchknn import Patchknn
from zeromiss.detectors.patchknn.store import load_patchknn, save_patchknn
from zeromiss.detectors.patchknn.train import describe, plan_bank, train
from zeromiss.errors import ZeromissError

PARAMS = PatchknnParams(strides=(8, 16), bank_dims=16, place_dims=8)


def drawn_images(count, *, side=64, seed=0):
    """Return grey ramps with grain, uint8 (count, 3, side, side)."""
    random = np.random.default_rng(seed)
    ramp = np.linspace(60, 160, side)[None, None, None].repeat(side, 2).repeat(3, 1)
    return torch.from_numpy((ramp + random.normal(0, 6, (count, 3, side, side))).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def fitted():
    """Return one fitted where parts lie alike, and one where they do not."""
    anywhere = PARAMS.model_copy(update={"radius": None, "coreset": 50})
    return {name: train(params, drawn_images(24), size=64, seed=3).detector for name, params in (("place", PARAMS), ("anywhere", anywhere))}


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_neighbours_of_the_same_place_are_scipy_s(radius):
    random = np.random.default_rng(1)
    bank_hwNK, query_hwK = random.normal(size=(5, 6, 4, 3)), random.normal(size=(5, 6, 3))
    found_hw = nearest_by_place(torch.from_numpy(query_hwK).float(), PlaceBank.of(torch.from_numpy(bank_hwNK)), radius=radius)
    for row in range(5):
        for column in range(6):
            rows, columns = slice(max(0, row - radius), row + radius + 1), slice(max(0, column - radius), column + radius + 1)
            expected = cdist(query_hwK[row, column][None], bank_hwNK[rows, columns].reshape(-1, 3)).min()
            assert found_hw[row, column] == pytest.approx(expected, rel=1e-4)


def test_neighbours_anywhere_are_scipy_s_whatever_the_chunk(monkeypatch):
    random = np.random.default_rng(2)
    bank_MK, query_QK = random.normal(size=(40, 5)), random.normal(size=(23, 5))
    expected = cdist(query_QK, bank_MK).min(1)
    for chunk in (4, 1000):
        monkeypatch.setattr("zeromiss.detectors.patchknn.nearest.CHUNK", chunk)
        found = nearest_anywhere(torch.from_numpy(query_QK).float(), torch.from_numpy(bank_MK).float())
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_coreset_takes_the_farthest_cell_each_time():
    cells = torch.tensor([[0.0], [1.0], [10.0], [4.0]])
    chosen = coreset(cells, 3, torch.Generator().manual_seed(0)).tolist()
    by_hand = [chosen[0]]
    while len(by_hand) < 3:
        distance = [min(abs(float(cells[i] - cells[j])) for j in by_hand) for i in range(4)]
        by_hand.append(int(np.argmax(distance)))
    assert chosen == by_hand
    assert coreset(cells, 9, torch.Generator()).tolist() == [0, 1, 2, 3]


def test_the_bank_is_planned_within_its_memory():
    bank = plan_bank(PatchknnParams(strides=(8, 16), bank_dims=64, bank_mib=1.0), (32, 32), dims=152, images=300)
    assert (bank.kept, bank.bank_dims, bank.place_dims) == (8, 64, 64)  # 1,024 cells of 64 halves are 128 KiB an image
    assert "keeps 8 of 300 images, 1024 cells of 64 numbers each (1.0 MiB)" in describe(bank, 300, anywhere=False)
    with pytest.raises(ZeromissError, match="has no room for one image of 96 x 96 cells"):
        plan_bank(PatchknnParams(strides=(4, 8), bank_mib=0.25), (96, 96), dims=64, images=300)
    assert plan_bank(PatchknnParams(radius=None, coreset=100), (4, 4), dims=9, images=3).kept == 48


def test_all_maps_are_highest_where_the_part_differs(fitted):
    image = drawn_images(1, seed=9)[0].float() / 255
    image[:, 40:52, 8:20] = 1.0
    found = fitted["place"].detect(image[None])
    assert list(found.maps) == ["nearest", "gaussian", "colour"] and tuple(found.map_BHW.shape) == (1, 64, 64)
    for map_Bhw in found.maps.values():
        row, column = divmod(int(map_Bhw[0].argmax()), 8)
        assert row in (4, 5, 6) and column in (0, 1, 2, 3)
    bank = fitted["place"].bank
    assert found.residual_BK.shape == (1, bank.dims + bank.colour_dims) and bank.colour_dims == 12
    clean = fitted["place"].detect(drawn_images(1, seed=10).float() / 255)
    assert float(found.score_B) > 1.5 * float(clean.score_B) and float(found.scores["gaussian"]) > 1.5 * float(clean.scores["gaussian"])
    assert float(found.scores["colour"]) == float(found.maps["colour"].max()) > 3 * float(clean.scores["colour"])
    assert list(fitted["anywhere"].detect(image[None]).maps) == ["nearest"]


def test_images_are_inspected_each_for_itself_and_by_shared_maps_alike(fitted):
    images = drawn_images(2, seed=4).float() / 255
    detector = fitted["place"]
    both, alone = detector.detect(images), detector.detect(images[1:])
    assert torch.equal(both.map_BHW[1], alone.map_BHW[0]) and torch.equal(both.residual_BK[1], alone.residual_BK[0])
    shared = detector.detect(images[1:], detector.maps(images[1:]))
    assert torch.equal(shared.map_BHW, alone.map_BHW) and torch.equal(shared.scores["gaussian"], alone.scores["gaussian"])


@pytest.mark.parametrize("kind", ["place", "anywhere"])
def test_what_is_stored_gives_the_same_bits(fitted, kind, tmp_path):
    save_patchknn(tmp_path, fitted[kind])
    again, image = load_patchknn(tmp_path), drawn_images(1, seed=5).float() / 255
    one, other = fitted[kind].detect(image), again.detect(image)
    assert again.bank == fitted[kind].bank and torch.equal(one.map_BHW, other.map_BHW) and torch.equal(one.residual_BK, other.residual_BK)


def test_the_colours_map_is_the_least_of_scipy_s_mahalanobis_distances(fitted):
    detector, image = fitted["place"], drawn_images(1, seed=6)[0].float() / 255
    found_hw = detector.detect(image[None]).maps["colour"][0]
    normal = [detector.colour_whitening(block_colours(one.float() / 255, 8)).double().numpy() for one in drawn_images(24)]
    for row, column in ((0, 0), (3, 5), (7, 7)):
        cells = np.stack([one[row, column] for one in normal])
        covariance = np.cov(cells.T, bias=True)
        shrunk = 0.99 * covariance + (0.01 * np.trace(covariance) / 12 + 1e-6) * np.eye(12)
        tried = [detector.colour_whitening(block_colours(image, 8, (down, right)))[row, column].double().numpy() for down in (-2, 0, 2) for right in (-2, 0, 2)]
        expected = min(mahalanobis(one, cells.mean(0), np.linalg.inv(shrunk)) for one in tried)
        assert found_hw[row, column] == pytest.approx(expected, rel=1e-3)


def test_colours_can_be_left_out():
    detector = train(PARAMS.model_copy(update={"colours": False}), drawn_images(24), size=64, seed=3).detector
    assert detector.score_names == ("gaussian",) and list(detector.detect(drawn_images(1).float() / 255).maps) == ["nearest", "gaussian"]


def test_few_images_give_neighbours_and_no_gaussian(capsys):
    detector = train(PARAMS, drawn_images(5), size=64, seed=0).detector
    assert "no Gaussian a place, which needs 20 images" in capsys.readouterr().out
    found = detector.detect(drawn_images(1, seed=8).float() / 255)
    assert list(found.maps) == ["nearest"] and detector.score_names == () and torch.isfinite(found.residual_BK).all()


def test_the_same_seed_keeps_the_same_cells():
    params = PARAMS.model_copy(update={"bank_mib": 2 * 16 * 64 * 5 / 2**20})  # five images
    one, other, third = (train(params, drawn_images(24), size=64, seed=seed).detector.state_dict() for seed in (1, 1, 2))
    assert one["kept_NK"].shape[2] == 5
    assert all(torch.equal(one[key], other[key]) for key in one) and not torch.equal(one["kept_NK"], third["kept_NK"])


def test_refusals(fitted, tmp_path):
    with pytest.raises(ZeromissError, match="patchknn needs two normal images at least and was given 1"):
        train(PARAMS, drawn_images(1), size=64, seed=0)
    with pytest.raises(ZeromissError, match="has no map at stride 64: choose among 2, 4, 8, 16, 32"):
        train(PARAMS.model_copy(update={"strides": (8, 64)}), drawn_images(24), size=64, seed=0)
    with pytest.raises(ZeromissError, match="learned images of 8 x 8 cells, this one has 16 x 16"):
        fitted["place"].detect(torch.rand(1, 3, 128, 128))
    with pytest.raises(ZeromissError, match="no map at stride None"):
        Patchknn(PatchknnParams(), load_backbone("efficientnet_lite0"), fitted["place"].bank)
    save_patchknn(tmp_path, fitted["place"])
    config = (tmp_path / "config.json").read_text().replace('"kept": 24', '"kept": -1')
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ZeromissError, match="bank must name .* as whole numbers"):
        load_patchknn(tmp_path)


class Designs:
    """The contexts of images of two designs: bright ones and dark ones."""

    def __init__(self, *designs):
        self.designs = list(designs)

    def __getitem__(self, index):
        return Context(design=self.designs[index])


@pytest.mark.parametrize("radius", [1, None])
def test_neighbours_and_gaussians_are_those_of_the_design(radius):
    images = drawn_images(40)
    images[1::2] = 255 - images[1::2]
    params = PARAMS.model_copy(update={"radius": radius, "coreset": 60})
    detector = train(params, images, size=64, seed=0, contexts=Designs(*["day", "night"] * 20)).detector
    alone = {name: train(params, images[start::2], size=64, seed=0).detector for start, name in enumerate(("day", "night"))}
    assert detector.designs == ({"day": 20, "night": 20} if radius else {"day": 30, "night": 30}) and detector.placed == ("day", "night")
    image = drawn_images(1, seed=8).float() / 255
    right, wrong = (float(detector.detect(image, context=Context(design=design)).score_B) for design in ("day", "night"))
    assert wrong > (1.4 if radius else 1.1) * right  # anywhere, a cell finds a like one more easily
    if radius:  # the bank of the design is that of its images alone, in the whitening of all
        order = detector.kept_of("night")
        assert detector.kept_NK[:, :, order].shape[2] == alone["night"].bank.kept == 20
    with pytest.raises(ZeromissError, match="the design 'dawn' is not among those of the training images: name one of day, night"):
        detector.detect(image, context=Context(design="dawn"))


def test_designs_are_stored(tmp_path):
    detector = train(PARAMS, drawn_images(26), size=64, seed=0, contexts=Designs(*["day"] * 22, *["night"] * 4)).detector
    save_patchknn(tmp_path, detector)
    again, image = load_patchknn(tmp_path), drawn_images(1, seed=5).float() / 255
    assert again.designs == {"day": 22, "night": 4} and again.placed == ("", "day")
    for design in ("day", "night"):
        one, other = (each.detect(image, context=Context(design=design)) for each in (detector, again))
        assert torch.equal(one.map_BHW, other.map_BHW) and torch.equal(one.scores["gaussian"], other.scores["gaussian"])
    config = (tmp_path / "config.json").read_text().replace('"night": 4', '"night": 5')
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ZeromissError, match="designs and placed must name the designs of the kept images"):
        load_patchknn(tmp_path)
