"""Several threads for one image: the same bits, the same errors, nothing left behind."""

import threading

import pytest
import torch
from torch.nn import functional

from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.metrics import threads
from zeromiss.metrics.threads import Banded, Lanes, one_thread, row_bands
from zeromiss.detector_params import VqganParams


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (4, 2, 1), (4, 1, 1), (1, 1, 0), (5, 2, 2), (3, 1, 0)])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("height", [9, 16, 31])
def test_bands_are_every_row_of_the_convolution_once(kernel: int, stride: int, padding: int, count: int, height: int) -> None:
    map_BCHW = torch.arange(height * 8.0).reshape(1, 1, height, 8)  # whole numbers: every sum is exact in any order
    weight = torch.arange(1.0, kernel * kernel + 1).reshape(1, 1, kernel, kernel)
    whole = functional.conv2d(map_BCHW, weight, stride=stride, padding=padding)
    found = []
    for band in row_bands(height, kernel, stride, padding, count):
        out = functional.conv2d(map_BCHW[:, :, band.first : band.last], weight, stride=stride, padding=padding)
        found.append(out[:, :, band.skip : band.skip + band.rows])
    assert torch.equal(torch.cat(found, dim=2), whole)


def test_bands_of_a_3x3_convolution_by_hand() -> None:
    first, second = row_bands(8, 3, 1, 1, 2)
    assert (first.first, first.last, first.skip, first.rows) == (0, 5, 0, 4)
    assert (second.first, second.last, second.skip, second.rows) == (3, 8, 1, 4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("side", [64, 72])
def test_a_network_in_bands_gives_the_bits_of_the_network(
    monkeypatch: pytest.MonkeyPatch, count: int, side: int, precision: str
) -> None:
    monkeypatch.setattr(threads, "LEAST_WORK", 1)
    network = Vqgan(VqganParams(channels=(8, 16), codes=16, code_dim=4, critic_channels=4)).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, 0.1)
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    lanes = Lanes(count)
    used: list[int] = []
    together = lanes.together
    lanes.together = lambda *tasks: used.append(len(tasks)) or together(*tasks)
    with one_thread(), torch.inference_mode():
        alone = network.reconstruct(image, precision)
        with Banded(lanes):
            shared = network.reconstruct(image, precision)
    assert used and set(used) == {count}
    for name in ("image_hat_BCHW", "quantisation_B", "critic_B", "critic_hat_B"):
        assert torch.equal(getattr(shared, name), getattr(alone, name)), name


def test_a_convolution_whose_bits_would_change_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "LEAST_WORK", 1)
    whole, real = [], torch.conv2d

    def fickle(map_BCHW: torch.Tensor, *rest: object) -> torch.Tensor:
        """A library that rounds otherwise when given fewer rows."""
        whole.append(map_BCHW.shape[2] == 16)
        return real(map_BCHW, *rest) * (1.0 if whole[-1] else 1.0 + 1e-6)

    convolution = torch.nn.Conv2d(3, 4, 3, padding=1)
    image = torch.rand(1, 3, 16, 16)
    expected = convolution(image)
    with torch.inference_mode(), Banded(Lanes(2)):
        monkeypatch.setattr(torch, "conv2d", fickle)
        banded = Banded(Lanes(2))
        args = (image, convolution.weight, convolution.bias, (1, 1), (1, 1), (1, 1), 1)
        assert not banded._may(*args)
    assert torch.equal(convolution(image), expected)


def test_lanes_keep_the_order_and_run_at_once() -> None:
    meet = threading.Barrier(3, timeout=20)
    results = Lanes(3).together(*(lambda number=number: (meet.wait(), number)[1] for number in range(3)))
    assert results == [0, 1, 2]
    assert Lanes(1).together(lambda: 4, lambda: 5) == [4, 5]


def test_an_error_in_any_lane_is_raised_when_all_have_ended() -> None:
    ended = []

    def fail() -> None:
        raise ValueError("no such patch")

    for tasks in ((fail, lambda: ended.append(1)), (lambda: ended.append(2), fail)):
        with pytest.raises(ValueError, match="no such patch"):
            Lanes(2).together(*tasks)
    assert sorted(ended) == [1, 2]


def test_lanes_compute_on_one_thread_without_gradients() -> None:
    with one_thread(), torch.inference_mode():
        found = Lanes(2).together(*[lambda: (torch.get_num_threads(), torch.is_inference_mode_enabled())] * 2)
    assert found == [(1, True), (1, True)]
