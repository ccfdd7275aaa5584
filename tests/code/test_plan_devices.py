"""Devices: time from operations by hand, refusals, and this machine measured."""

import pytest

from zeromiss.errors import ZeromissError
from zeromiss.planning.devices import CARDS, NAMES, Device, find_device, measured_cpu, seconds
from zeromiss.planning.tally import Work

PLAIN = Device(
    name="plain", gpu=True, memory=10**9, bf16=1e12, fp32=1e11, bandwidth=1e9, each=1e-3, reached=0.5, streamed=0.8, reserve=0,
    source="by hand",
)  # fmt: skip


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (Work(flops=10**12, bytes=1, half=True), 2.0),  # half of 1e12 a second
        (Work(flops=10**12, bytes=1, half=False), 20.0),  # half of 1e11
        (Work(flops=1, bytes=8 * 10**8, half=True), 1.0),  # 80 % of 1e9
        (Work(flops=0, bytes=8, half=False), 1e-3),  # no operation takes less
    ],
)
def test_an_operation_takes_its_arithmetic_or_its_traffic(work, expected):
    assert seconds([work], PLAIN) == pytest.approx(expected)
    assert seconds([work] * 3, PLAIN) == pytest.approx(3 * expected)


def test_an_unknown_device_is_refused_with_the_known_ones():
    with pytest.raises(ZeromissError, match="unknown device 'tpu': choose one of cpu, l4, a10g, a6000, l40s, a100, h100"):
        find_device("tpu")


@pytest.mark.parametrize("name", CARDS)
def test_a_card_says_that_its_shares_are_assumed(name):
    card = find_device(name)
    assert name in NAMES and card.gpu
    assert card.bf16 > card.fp32 > 1e13 and card.memory >= 24 * 10**9
    assert "data sheet" in card.source and "assumed, not measured" in card.source


def test_48_gb_cards_have_48_gb():
    assert {name for name, card in CARDS.items() if card.memory == 48 * 10**9} == {"a6000", "l40s"}


def test_this_machine_is_measured():
    cpu = measured_cpu()
    assert not cpu.gpu
    assert 1e9 < cpu.fp32 < 1e14 and 1e9 < cpu.bandwidth < 1e13 and 0 < cpu.each < 1e-2
    assert cpu.memory > 1 << 30
