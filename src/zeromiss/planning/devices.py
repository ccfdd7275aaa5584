"""What trains: memory, peak rates and where these figures come from; a CPU is measured on the spot.

An operation takes as long as its arithmetic or its traffic, whichever is slower, at the share of the device's rates
that training reaches. On a CPU the shares were chosen to suit the training steps of five networks, which proves nothing
about others: `benchmarks/scaling` measures how far the plan is off. Those of graphics cards are assumptions.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from zeromiss.errors import ZeromissError
from zeromiss.planning.tally import Work

GIB = 1 << 30
_ROUNDS = 5
_SIDE = 1024  # of the matrices whose product is timed
_COPIED = 32 << 20  # bytes of the tensor whose copying is timed: beyond the caches
_SMALL = 2000  # operations on one number whose time is what any operation takes


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device with its peak rates, and the share of them that training reaches."""

    name: str
    gpu: bool
    memory: int  # bytes
    bf16: float  # floating-point operations a second in bf16, without sparsity
    fp32: float  # the same in fp32
    bandwidth: float  # bytes a second, reading and writing counted alike
    each: float  # seconds that any operation takes at least
    reached: float  # share of the arithmetic rates, in (0, 1]
    streamed: float  # share of the bandwidth, in (0, 1]
    reserve: int  # bytes that no tensor can have
    source: str


def _card(name: str, memory_gb: int, bf16: float, fp32: float, bandwidth: float, source: str) -> Device:
    """Return a graphics card from its data sheet: GB, TFLOP/s and GB/s."""
    return Device(
        name=name, gpu=True, memory=memory_gb * 10**9, bf16=bf16 * 1e12, fp32=fp32 * 1e12, bandwidth=bandwidth * 1e9,
        each=5e-6, reached=0.5, streamed=0.8, reserve=2 * 10**9,
        source=f"{source}; assumed, not measured: 50 % of these rates, 80 % of the bandwidth, 2 GB kept by driver and libraries",
    )  # fmt: skip


CARDS = {
    card.name: card
    for card in (
        _card("l4", 24, 121, 30.3, 300, "NVIDIA's data sheet of the L4, dense"),
        _card("a10g", 24, 70, 35, 600, "NVIDIA's data sheet of the A10G, dense"),
        _card("a6000", 48, 154.8, 38.7, 768, "NVIDIA's data sheet of the RTX A6000, dense"),
        _card("l40s", 48, 362, 91.6, 864, "NVIDIA's data sheet of the L40S, dense"),
        _card("a100", 80, 312, 19.5, 2039, "NVIDIA's data sheet of the A100 80 GB SXM, dense"),
        _card("h100", 80, 989, 67, 3350, "NVIDIA's data sheet of the H100 SXM, dense"),
    )
}
NAMES = ("cpu", *CARDS)


def find_device(name: str) -> Device:
    """Return the device `name`; `cpu` is measured, in about a second.

    Raises ZeromissError for an unknown name.
    """
    if name == "cpu":
        return measured_cpu()
    if name not in CARDS:
        raise ZeromissError(f"unknown device {name!r}: choose one of {', '.join(NAMES)}")
    return CARDS[name]


def seconds(work: Sequence[Work], device: Device) -> float:
    """Return how long the operations take one after the other: each by arithmetic or by traffic, whichever is slower."""
    return sum(_seconds(each, device) for each in work)


def _seconds(work: Work, device: Device) -> float:
    rate = device.bf16 if work.half else device.fp32
    return max(work.flops / (rate * device.reached), work.bytes / (device.bandwidth * device.streamed), device.each)


def measured_cpu() -> Device:
    """Return this machine, its rates measured with all threads that PyTorch uses."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    data = torch.ones(_COPIED, dtype=torch.uint8)
    target, one = torch.empty_like(data), torch.ones(1, requires_grad=True)
    operations = 2 * _SIDE**3
    return Device(
        name="cpu",
        gpu=False,
        memory=memory,
        bf16=operations / _least(_product(torch.bfloat16)),
        fp32=operations / _least(_product(torch.float32)),
        bandwidth=2 * _COPIED / _least(lambda: target.copy_(data)),
        each=_least(lambda: [one.add(1) for _ in range(_SMALL)]) / _SMALL,
        reached=0.6,
        streamed=0.8,
        reserve=GIB,
        source=f"measured just now on {torch.get_num_threads()} threads, of which training reaches 60 % (traffic: 80 %)",
    )


def _product(dtype: torch.dtype) -> Callable[[], object]:
    left, right = torch.ones(_SIDE, _SIDE, dtype=dtype), torch.ones(_SIDE, _SIDE, dtype=dtype)
    return lambda: left @ right


def _least(call: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some rounds: what the machine can do when it is left alone."""
    call()
    found = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)
