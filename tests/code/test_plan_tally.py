"""Counting operations and bytes: by hand, and on paper as for real."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from zeromiss.planning.tally import Tally


def test_a_convolution_is_counted_by_its_formula():
    image_BCHW, kernel = torch.ones(2, 3, 8, 8), torch.ones(5, 3, 3, 3)
    with Tally() as tally:
        functional.conv2d(image_BCHW, kernel, padding=1)
    assert tally.flops == 2 * 2 * 5 * 3 * 3 * 3 * 8 * 8  # multiply and add, images, out, in, kernel, places
    (work,) = [work for work in tally.work if work.flops]
    assert work.bytes == 4 * (2 * 3 * 64 + 5 * 3 * 9 + 2 * 5 * 64)
    assert not work.half


def test_attention_is_counted_although_it_runs_on_a_cpu():
    query = torch.ones(1, 1, 16, 4)
    with Tally() as tally:
        functional.scaled_dot_product_attention(query, query, query)
    assert tally.flops == 2 * (2 * 16 * 16 * 4)  # two products of matrices


def test_live_bytes_and_their_peak_follow_the_tensors():
    with Tally() as tally:
        first = torch.zeros(1000)  # 4000 bytes
        second = first + 1
        assert (tally.live, tally.peak) == (8000, 8000)
        del first
        assert (tally.live, tally.peak) == (4000, 8000)
        tally.begin()
        third = second * 2
        assert (tally.live, tally.peak) == (8000, 8000)
        view = third[:10]
        assert view is not None and tally.live == 8000
        del second, third
        assert tally.live == 4000  # the view keeps its storage
        assert len(tally.work) == 1  # a view is no work


def test_half_precision_is_told_apart():
    with Tally() as tally:
        left = torch.ones(4, 4, dtype=torch.bfloat16)
        tally.begin()
        left @ left
    assert [(work.half, work.flops, work.bytes) for work in tally.work] == [(True, 2 * 4**3, 3 * 32)]


@pytest.mark.parametrize("fake", [True, False])
def test_an_in_place_change_is_work_and_makes_nothing(fake):
    with FakeTensorMode() if fake else torch.no_grad(), Tally() as tally:
        numbers = torch.empty(100)
        tally.begin()
        numbers.add_(1)
        assert tally.live == 400
    assert [work.bytes for work in tally.work] == [800]  # read and written
