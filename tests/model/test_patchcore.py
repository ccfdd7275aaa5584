"""PatchCore on anomalib: nearest neighbours in a bounded coreset, which is chosen greedily and the same for the same seed."""

from pathlib import Path

import pytest
import torch
from scipy.spatial.distance import cdist
from torch.nn import functional

from tests.model.peers_parts import SIDE, assert_found_alike, assert_keeps_its_promises, assert_same, drawn_weights, parts, unseen
from zeromiss.detector_params import PatchcoreParams
from zeromiss.detectors.load import load_detector
from zeromiss.detectors.patchcore.patchcore import Patchcore
from zeromiss.detectors.patchcore.store import load_patchcore, save_patchcore
from zeromiss.detectors.patchcore.train import coreset, train
from zeromiss.errors import ZeromissError
from zeromiss.params import read_params

TINY = PatchcoreParams(patches=200, share=0.2)


@pytest.fixture(scope="module")
def patchcore() -> Patchcore:
    """Fitted on eight parts."""
    return train(TINY, parts(8), size=SIDE, seed=5).detector


def features(detector: Patchcore, image_BCHW: torch.Tensor) -> torch.Tensor:
    """What anomalib embeds of images, one row a position."""
    with torch.no_grad():
        found = {layer: functional.avg_pool2d(level, 3, 1, 1) for layer, level in detector.model.feature_extractor(detector.normalised(image_BCHW)).items()}
    return detector.model.reshape_embedding(detector.model.generate_embedding(found))


def test_blots_stand_out(patchcore):
    normal, spoiled = patchcore.detect(unseen()), patchcore.detect(unseen(spoiled=True))
    assert spoiled.score_B.min() > 1.3 * normal.score_B.max()
    marked_BHW = (unseen(spoiled=True) - unseen()).abs().amax(dim=1) > 0.3
    assert all(map_HW[mask_HW].mean() > 1.5 * map_HW[~mask_HW].mean() for map_HW, mask_HW in zip(spoiled.map_BHW, marked_BHW, strict=True))


def test_the_map_holds_distances_from_the_nearest_of_the_coreset(patchcore):
    nearest_N = cdist(features(patchcore, unseen()[:1]).double(), patchcore.model.memory_bank.double()).min(axis=1)
    grid_BCHW = torch.tensor(nearest_N, dtype=torch.float32).view(1, 1, 8, 8)
    expected = patchcore.model.anomaly_map_generator.blur(functional.interpolate(grid_BCHW, size=(SIDE, SIDE)))
    torch.testing.assert_close(patchcore.detect(unseen()[:1]).map_BHW, expected[:, 0], rtol=2e-3, atol=1e-3)


def test_the_score_is_the_largest_distance_weighed_by_the_neighbourhood(patchcore):
    bank_KD, asked_ND = patchcore.model.memory_bank.double(), features(patchcore, unseen(spoiled=True)[:1]).double()
    distance_NK = torch.tensor(cdist(asked_ND, bank_KD))
    furthest = int(distance_NK.min(dim=1).values.argmax())
    nearest = int(distance_NK[furthest].argmin())
    around = torch.tensor(cdist(bank_KD[nearest : nearest + 1], bank_KD))[0].argsort()[: TINY.neighbours]
    weight = 1 - torch.softmax(distance_NK[furthest, around], dim=0)[0]
    score = patchcore.detect(unseen(spoiled=True)[:1]).score_B[0]
    assert float(score) == pytest.approx(float(weight * distance_NK[furthest, nearest]), rel=1e-3)


def test_the_coreset_is_bounded_and_made_of_what_was_seen(patchcore):
    assert patchcore.kept == 40  # a fifth of the 200 drawn of 8 x 64
    seen_ND = torch.cat([features(patchcore, image_CHW[None].float() / 255) for image_CHW in parts(8)])
    assert cdist(patchcore.model.memory_bank.double(), seen_ND.double()).min(axis=1).max() < 1e-6
    whole = train(TINY.model_copy(update={"patches": None, "share": 0.1}), parts(8), size=SIDE, seed=5).detector
    assert whole.kept == 51


def test_the_greedy_choice_takes_one_of_each_heap():
    draws = torch.Generator().manual_seed(0)
    heaps = [100 * torch.eye(6)[index] + 0.01 * torch.randn(count, 6, generator=draws) for index, count in enumerate((90, 5, 3, 2))]
    kept_ND = coreset(torch.cat(heaps), 0.04, 1)
    assert sorted(kept_ND.argmax(dim=1).tolist()) == [0, 1, 2, 3]


def test_a_coreset_has_one_position_at_least():
    assert coreset(torch.eye(3), 0.01, 1).shape == (1, 3)


def test_detection_is_what_it_promises(patchcore):
    assert_keeps_its_promises(patchcore, unseen(spoiled=True))


def test_same_seed_gives_the_same_coreset_and_another_seed_another(patchcore):
    state = torch.random.get_rng_state()
    assert_same(patchcore, train(TINY, parts(8), size=SIDE, seed=5).detector)
    assert not torch.equal(patchcore.model.memory_bank, train(TINY, parts(8), size=SIDE, seed=6).detector.model.memory_bank)
    assert torch.equal(state, torch.random.get_rng_state())


def test_it_stays_in_evaluation_mode_and_keeps_no_image(patchcore):
    patchcore.train()
    patchcore.detect(unseen())
    assert patchcore.model.embedding_store == [] and not any(module.training for module in patchcore.modules())


def test_reloaded_it_judges_bit_for_bit(patchcore, tmp_path):
    save_patchcore(tmp_path, patchcore)
    loaded = load_detector(tmp_path)
    assert isinstance(loaded, Patchcore) and loaded.params == TINY
    assert_same(patchcore, loaded)
    assert_found_alike(patchcore.detect(unseen(spoiled=True)), loaded.detect(unseen(spoiled=True)))


def test_a_damaged_or_missing_file_is_named(patchcore, tmp_path: Path):
    save_patchcore(tmp_path, patchcore)
    (tmp_path / "config.json").write_text((tmp_path / "config.json").read_text().replace('"kept": 40', '"kept": 41'))
    with pytest.raises(ZeromissError, match="memory_bank has shape"):
        load_patchcore(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ZeromissError, match="model.safetensors cannot be read"):
        load_patchcore(tmp_path)


def test_what_it_cannot_do_is_told(patchcore):
    with pytest.raises(ZeromissError, match="no normal image"):
        train(TINY, parts(1)[:0], size=SIDE, seed=5)
    with pytest.raises(ZeromissError, match="building patchcore failed .*: check patchcore.backbone and patchcore.layers"):
        Patchcore(TINY.model_copy(update={"layers": (2, 9)}), size=SIDE)
    with pytest.raises(ZeromissError, match="patchcore learned images of 64 pixels"):
        patchcore.detect(torch.zeros(1, 3, 48, 64))


def test_the_papers_parameters_fit(repository, tmp_path):
    params = PatchcoreParams(**read_params(repository / "params.yaml")["profiles"]["paper"]["patchcore"])
    assert (params.backbone, params.layers, params.patches, params.share) == ("wide_resnet50_2", (2, 3), None, 0.01)
    file = drawn_weights(tmp_path / "wide.safetensors", params.backbone, params.layers)
    fitted = train(params.model_copy(update={"backbone_path": file}), parts(2), size=SIDE, seed=5).detector
    assert fitted.model.memory_bank.shape == (1, 512 + 1024)  # 1 % of 2 x 64
    assert fitted.detect(unseen()).score_B.isfinite().all()
