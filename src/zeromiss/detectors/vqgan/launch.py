"""Train on several devices of one machine: one process each, each with its share of every batch.

Fabric starts the processes and joins them. All they leave behind is the checkpoint, which the caller takes up in a
process of its own; so a training that was cut goes on with more or fewer devices than it began with.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from threading import Thread

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from zeromiss.backbones.base import Backbone
from zeromiss.detectors.batches import Images
from zeromiss.detectors.loop import Curves, Trained, device
from zeromiss.detectors.vqgan.train import train
from zeromiss.errors import ZeromissError
from zeromiss.detector_params import VqganParams

_HERE = {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}  # processes of one machine talk over loopback
_GO_ON = "start it again and it goes on from its last checkpoint"
_REFUSAL = f"{ZeromissError.__module__}.{ZeromissError.__name__}: "
_SAID = re.compile(r"[\w.]+(Error|Exception): ")  # the line of a trace that names its exception


def train_on_devices(
    params: VqganParams,
    images: Images,
    load: Callable[[], Backbone],
    *,
    seed: int,
    checkpoint: Path,
    log: Curves | None = None,
    workers: int = 0,
) -> Trained:
    """Train on `params.devices` GPUs, or as many processes where there is none; `load` gives each its backbone.

    The result is that of one device up to rounding. `images` and `load` must be picklable where devices > 1.
    Raises ZeromissError when the devices cannot share a batch evenly, there are fewer of them, or one of the
    processes fails or is killed; then all end.
    """
    if params.devices > 1:
        _refuse(params)
        with _here(), _forwarded(log) as posts:
            _launch(params, _rank, images, load, seed, checkpoint, posts, workers)
        log = None  # it has every point
    return train(params, images, load(), seed=seed, log=log, checkpoint=checkpoint, workers=workers)


def fabric_of(params: VqganParams) -> Fabric:
    """Return the Fabric of a training on several devices; its processes start with `launch`."""
    strategy = DDPStrategy(
        start_method="spawn",
        forward_sync_buffers=False,  # the codebook's averages are equal everywhere: they come from the whole batch
        find_unused_parameters=params.codebook == "gradient" and params.codebook_start > 0,  # until codes are used
    )
    return Fabric(accelerator=device().type, devices=params.devices, strategy=strategy, plugins=[LightningEnvironment()])


def _refuse(params: VqganParams) -> None:
    if params.batch % params.devices:
        raise ZeromissError(
            f"vqgan.batch is {params.batch} and cannot be shared evenly by vqgan.devices = {params.devices}: "
            "make it a multiple of the devices, or lower them"
        )
    if torch.cuda.is_available() and torch.cuda.device_count() < params.devices:
        raise ZeromissError(f"vqgan.devices is {params.devices} but this machine has {torch.cuda.device_count()} GPU: lower it")


def _launch(params: VqganParams, function: Callable[..., None], *arguments: object) -> None:
    """Run `function(fabric, params, *arguments)` in each process; end all when one ends badly."""
    try:
        fabric_of(params).launch(function, params, *arguments)
    except (ProcessExitedException, ProcessRaisedException) as error:
        raise ZeromissError(_sentence(error, params.devices)) from error


def _sentence(error: ProcessExitedException | ProcessRaisedException, devices: int) -> str:
    """Return what a process refused, in its own words, or how else it ended."""
    who = f"training process {error.error_index} of {devices}"
    if isinstance(error, ProcessExitedException):
        return f"{who} {f'was killed ({error.signal_name})' if error.signal_name else f'ended with code {error.exit_code}'}: {_GO_ON}"
    said = [line for line in str(error).splitlines() if _SAID.match(line)] or [str(error).strip()]
    if said[-1].startswith(_REFUSAL):
        return said[-1].removeprefix(_REFUSAL)
    return f"{who} failed ({said[-1][:200]}): {_GO_ON}"


def _rank(
    fabric: Fabric,
    params: VqganParams,
    images: Images,
    load: Callable[[], Backbone],
    seed: int,
    checkpoint: Path,
    posts: SimpleQueue,
    workers: int,
) -> None:
    """Train as one of the processes."""
    log = _Posted(posts) if fabric.is_global_zero else None
    train(params, images, load(), seed=seed, log=log, checkpoint=checkpoint, workers=workers, fabric=fabric)


class _Posted:
    """Curves that are sent to the process that keeps them."""

    def __init__(self, posts: SimpleQueue) -> None:
        self._posts = posts

    def metrics(self, values: dict[str, float], *, step: int | None = None) -> None:
        """Send a point of the curves."""
        self._posts.put((values, step))


@contextmanager
def _forwarded(log: Curves | None) -> Iterator[SimpleQueue]:
    """Give a queue whose points reach `log` while the processes run."""
    posts: SimpleQueue = get_context("spawn").SimpleQueue()

    def forward() -> None:
        """Hand points on until the processes have ended."""
        while (post := posts.get()) is not None:
            if log:
                log.metrics(post[0], step=post[1])

    thread = Thread(target=forward, daemon=True)
    thread.start()
    try:
        yield posts
    finally:
        posts.put(None)
        thread.join()


@contextmanager
def _here() -> Iterator[None]:
    """Keep the processes' talk on this machine, and the environment as it was afterwards, its port too."""
    before = dict(os.environ)
    for name in ("MASTER_PORT", "LOCAL_RANK", "WORLD_SIZE"):  # of an earlier launch: the port is found anew
        os.environ.pop(name, None)
    os.environ.update(_HERE)
    try:
        yield
    finally:
        for name in {*os.environ} - {*before}:
            del os.environ[name]
        os.environ.update(before)
