"""SimpleNet's formulas: features, loss, score and map against numbers worked out by hand or by another library."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from zeromiss.backbones.local_features import local_features, neighbourhoods
from zeromiss.detectors.simplenet.loss import truncated_l1
from zeromiss.detectors.simplenet.maps import KeptMaps, mean_and_std
from zeromiss.detectors.simplenet.network import Head
from zeromiss.detectors.simplenet.score import image_score, pixel_map, positive
from zeromiss.errors import ZeromissError


def drawn(*shape: int) -> torch.Tensor:
    """Drawn numbers about zero."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_neighbourhood_of_a_small_map_by_hand():
    map_BCHW = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])  # zero around it
    assert neighbourhoods(map_BCHW, 1).ravel().tolist() == pytest.approx([10 / 9] * 4)
    rows_DHW = neighbourhoods(map_BCHW, 3)[0]  # the means of the row above, the cell's own and the one below
    assert rows_DHW[:, 0, 0].tolist() == pytest.approx([0, 1, 7 / 3])
    assert rows_DHW[:, 1, 1].tolist() == pytest.approx([1, 7 / 3, 0])


def test_one_mean_a_channel_is_average_pooling():
    map_BCHW = drawn(2, 5, 6, 7)
    torch.testing.assert_close(neighbourhoods(map_BCHW, 5), functional.avg_pool2d(map_BCHW, 3, stride=1, padding=1))


def test_pooling_agrees_with_values_laid_out_by_hand():
    map_BCHW = drawn(1, 4, 3, 3)
    values = map_BCHW[0].reshape(4, 9).numpy()  # around the cell in the middle: all there is
    assert neighbourhoods(map_BCHW, 6)[0, :, 1, 1].tolist() == pytest.approx(values.reshape(6, 6).mean(axis=1).tolist(), abs=1e-6)
    assert neighbourhoods(map_BCHW, 4)[0, :, 1, 1].tolist() == pytest.approx(values.mean(axis=1).tolist(), abs=1e-6)


def test_without_a_depth_each_level_gives_one_mean_a_channel():
    maps = [drawn(1, 3, 8, 8), drawn(1, 5, 4, 4)]
    features = local_features(maps, None)
    assert features.shape == (1, 8, 8, 8)
    torch.testing.assert_close(features[:, :3], functional.avg_pool2d(maps[0], 3, stride=1, padding=1))


def test_levels_are_enlarged_and_follow_each_other():
    fine_BCHW, coarse_BCHW = drawn(1, 4, 8, 8), torch.full((1, 6, 4, 4), 2.5)
    features = local_features([fine_BCHW, coarse_BCHW], 8)
    assert features.shape == (1, 8, 8, 8)
    torch.testing.assert_close(features[:, :4], functional.avg_pool2d(fine_BCHW, 3, stride=1, padding=1))
    torch.testing.assert_close(features[:, 4:, 3:5, 3:5], torch.full((1, 4, 2, 2), 2.5))  # far from the zeros beyond the map


def test_truncated_l1_by_hand():
    normality_N, noisy_N = torch.tensor([0.7, 0.5, 0.1, -1.0]), torch.tensor([-0.9, -0.5, 0.0, 2.0])
    assert float(truncated_l1(normality_N, noisy_N, 0.5)) == pytest.approx((0 + 0 + 0.4 + 1.5) / 4 + (0 + 0 + 0.5 + 2.5) / 4)
    assert float(truncated_l1(torch.zeros(3), torch.zeros(3), 0.5)) == 1.0


def test_truncated_l1_lets_go_of_what_lies_beyond_the_margin():
    normality_N = torch.tensor([0.6, 0.4], requires_grad=True)
    truncated_l1(normality_N, torch.tensor([-1.0, -1.0]), 0.5).backward()
    assert normality_N.grad.tolist() == [0.0, -0.5]


def test_head_is_a_matrix_then_a_normed_layer_with_a_leak():
    head = Head(3, 4).eval()
    features_ND = drawn(5, 3)
    first, norm, _, last = head.discriminator
    adapted = features_ND.numpy() @ head.adapter.weight.detach().numpy().T
    hidden = adapted @ first.weight.detach().numpy().T + first.bias.detach().numpy()
    hidden = hidden / np.sqrt(1 + norm.eps)
    by_hand = np.where(hidden > 0, hidden, 0.2 * hidden) @ last.weight.detach().numpy()[0]
    with torch.no_grad():
        np.testing.assert_allclose(head.normality(head.adapt(features_ND)), by_hand, rtol=1e-5, atol=1e-6)


def test_score_is_the_largest_cell():
    assert image_score(torch.tensor([[[-3.0, -1.5], [-2.0, -4.0]], [[0.0, 1.0], [2.0, 0.5]]])).tolist() == [-1.5, 2.0]


def test_positive_by_hand_keeps_every_order():
    value = torch.tensor([-99.0, -1.0, -0.0, 0.0, 3.0])
    assert positive(value).tolist() == pytest.approx([0.01, 0.5, 1.0, 1.0, 4.0])
    rising = positive(torch.cat([-torch.logspace(30, -5, 200), torch.logspace(-5, 30, 200)]))
    assert (rising[1:] > rising[:-1]).all()
    assert (rising > 0).all() and rising.isfinite().all()


def test_map_is_that_of_scipy_and_torch_made_positive():
    cells_Bhw = drawn(2, 4, 4)
    map_BHW = pixel_map(cells_Bhw, (32, 32), smoothing=4)
    large_BHW = functional.interpolate(cells_Bhw[:, None], size=(32, 32), mode="bilinear", align_corners=False)[:, 0].numpy()
    for index in range(2):
        smooth_HW = gaussian_filter(large_BHW[index], sigma=4)
        np.testing.assert_allclose(map_BHW[index], np.where(smooth_HW >= 0, 1 + smooth_HW, 1 / (1 - smooth_HW)), rtol=1e-5)
        assert np.array_equal(np.argsort(smooth_HW.ravel())[-5:], map_BHW[index].ravel().argsort()[-5:].numpy())


def test_map_without_smoothing_is_enlarged_only():
    torch.testing.assert_close(pixel_map(torch.tensor([[[2.0]]]), (3, 5), smoothing=0), torch.full((1, 3, 5), 3.0))


def halves(image_BCHW: torch.Tensor) -> list[torch.Tensor]:
    """Two levels of an image in bytes: itself and its upper left quarter."""
    return [image_BCHW.float(), image_BCHW[:, :, :2, :2].float()]


def test_kept_maps_come_back_as_they_were():
    images = torch.arange(3 * 3 * 16, dtype=torch.uint8).view(3, 3, 4, 4)
    kept = KeptMaps(images, halves, keep_mib=1)
    for found, expected in zip(kept.maps(torch.stack([kept[2], kept[0]])), halves(images[[2, 0]]), strict=True):
        assert torch.equal(found, expected)


def test_maps_that_take_too_much_are_refused_with_what_they_take():
    images = torch.zeros(3000, 3, 12, 12, dtype=torch.uint8)  # 3,000 x (432 + 12) x 4 bytes = 5.08 MiB
    with pytest.raises(ZeromissError, match="simplenet.keep_mib is 5, but the maps of 3000 training images take 6 MiB: raise it, or set it to 0"):
        KeptMaps(images, halves, keep_mib=5)


def test_mean_and_deviation_are_those_of_numpy():
    maps_NCHW = 100 + drawn(6, 2, 3, 5)
    maps_NCHW[:, 1] = 7.0  # never changes
    ((mean_C11, std_C11),) = mean_and_std(lambda index: [maps_NCHW[index][None]], 6)
    values = maps_NCHW.numpy().astype(np.float64)
    np.testing.assert_allclose(mean_C11.ravel(), values.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(std_C11.ravel(), [values[:, 0].std(), 1.0], rtol=1e-5)
