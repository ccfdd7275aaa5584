"""The golden sample: scores of pairs against the detector's own score, the choice against one made by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from zeromiss.detectors.ganodip.golden import best_of, golden_samples, pair_scores
from zeromiss.detectors.ganodip.score import patch_errors, worst_mean
from zeromiss.errors import ZeromissError
from zeromiss.metrics.ranking import fpr_at_zero_missed


def noise(count: int, side: int, seed: int) -> Tensor:
    """Return random uint8 images (count, 3, side, side)."""
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("side", [16, 18])
@pytest.mark.parametrize("alpha", [0.0015, 0.3])
def test_pairs_score_as_reconstructions_do(side: int, alpha: float):
    reference_RCHW, judged_NCHW = noise(3, side, 1), noise(5, side, 2)
    scores_RN = pair_scores(reference_RCHW, judged_NCHW, patch=4, alpha=alpha)
    assert scores_RN.shape == (3, 5)
    for row, reference_CHW in enumerate(reference_RCHW.double() / 255):
        errors_Nhw = patch_errors(judged_NCHW.double() / 255, reference_CHW.expand(5, -1, -1, -1), 4)
        assert torch.allclose(scores_RN[row], worst_mean(errors_Nhw, alpha), rtol=1e-12)


def test_an_image_beside_itself_has_no_error_at_all():
    images_NCHW = noise(3, 17, 3)
    assert pair_scores(images_NCHW, images_NCHW, patch=4, alpha=1.0).diagonal().tolist() == [0.0] * 3


def test_the_reference_with_the_fewest_false_alarms_stays():
    normal_RN = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 5.0], [1.0, 1.0, 1.0, 9.0]])
    defect_RN = np.array([[3.0, 9.0], [4.0, 5.0], [2.0, 3.0]])  # false alarms: 2 of 4, 1 of 4, 1 of 4
    best = best_of([40, 7, 12], normal_RN, defect_RN)
    assert (best.reference, best.fpr) == (7, 0.25)
    assert best.normal_N.tolist() == [1.0, 1.0, 1.0, 5.0]
    assert best.defect_N.tolist() == [4.0, 5.0]
    assert best.fpr == fpr_at_zero_missed(np.array([0] * 4 + [1] * 2), np.concatenate([best.normal_N, best.defect_N]))


def test_groups_find_the_one_clean_reference():
    """Of four training images one is clean: whatever group holds it keeps it and tells all defects from all normals."""
    clean_CHW = torch.full((3, 16, 16), 100, dtype=torch.uint8)
    training = noise(4, 16, 5)
    training[2] = clean_CHW
    normal = clean_CHW.repeat(3, 1, 1, 1) + torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1)
    defect = clean_CHW.repeat(2, 1, 1, 1)
    defect[:, :, 4:8, 8:12] = 130
    found = golden_samples(training, normal, defect, seed=0, groups=6, group_size=3)
    assert len(found) == 6
    assert {sample.reference for sample in found if sample.fpr == 0.0} == {2}
    clean = next(sample for sample in found if sample.reference == 2)
    assert clean.normal_N == pytest.approx([0.0, (1 / 255) ** 2, (2 / 255) ** 2])
    assert clean.defect_N == pytest.approx([(30 / 255) ** 2] * 2)
    again = golden_samples(training, normal, defect, seed=0, groups=6, group_size=3)
    assert [sample.reference for sample in again] == [sample.reference for sample in found]


def test_too_few_images_are_refused():
    images = noise(4, 8, 6)
    with pytest.raises(ZeromissError, match="chosen among 36 training images and there are 4: add normal images"):
        golden_samples(images, images, images, seed=0)
    with pytest.raises(ZeromissError, match="there are 4 normals and 0 defects"):
        golden_samples(images, images, images[:0], seed=0, group_size=2)
