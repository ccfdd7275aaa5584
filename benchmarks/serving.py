"""`zeromiss serve` against the bare Inspector on the same image, with hey (a load tool, `apt-get install hey`) as its clients.

One run serves a champion of the quick profile over loopback. Every round asks the server with 1, 8 and 32 clients and
in batches, and lets an Inspector in another process judge alone in between, so that a busy machine slows both. hey,
server and Inspector share the cores: what the clients cost is counted against the server.
"""

import base64
import csv
import io
import json
import multiprocessing
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.measure import Figure
from benchmarks.parts import draw_images, make_bundle, quick_product
from zeromiss.files import write_json
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.summary import SCHEMA_VERSION as SUMMARY_VERSION
from zeromiss.params import load_product
from zeromiss.registry.events import move_alias
from zeromiss.registry.publish import CHAMPION, register
from zeromiss.registry.store import prepare
from zeromiss.workspace import Workspace

SIZE, SIDE, BATCH, ROUNDS, SECONDS, ALONE = 256, 300, 16, 2, 5, 8  # ALONE: images that the bare Inspector judges in a round
CLIENTS = (1, 8, 32)
THRESHOLD = {"value": 0.5, "rule": "zfn", "n_defects": 1, "n_candidates": 1, "miss_rate_bound_95": 1.0, "next_defect_miss_bound": 0.5, "bound_is": "descriptive"}
PARAMS = "schema_version: 1\nprofiles:\n  quick: {size: 256, metrics: {norms: folded, precision: bf16}}\nproducts:\n  bench: {profile: quick, source: {kind: elpv}, manifest: {}, serving: {queue: 64}}\n"


@dataclass(frozen=True, kw_only=True)
class Load:
    """What hey has measured: seconds of each answered request, statuses, and of the whole."""

    seconds: tuple[float, ...]
    statuses: tuple[int, ...]
    whole: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.whole

    def quantile(self, share: float) -> float:
        """Return a quantile of the seconds."""
        return float(np.quantile(self.seconds, share))


def run() -> list[Figure]:
    """Return images a second and seconds of the server over those of the bare Inspector."""
    if shutil.which("hey") is None:
        raise SystemExit("hey, the load tool, is not installed: apt-get install hey")
    with tempfile.TemporaryDirectory() as scratch:
        images = draw_images(Path(scratch) / "images", 24, side=SIDE)
        bundle = make_bundle(Path(scratch) / "made", quick_product(SIZE), images)
        workspace = registered(Path(scratch) / "workspace", bundle)
        with bare(bundle, images[0]) as judge, served(workspace) as address:
            return against_bare(address, judge, images[0], Path(scratch))


def against_bare(address: str, judge: Callable[[str, int], float], image: Path, scratch: Path) -> list[Figure]:
    """Return the figures of the server."""
    one, many = scratch / "one.json", scratch / "many.json"
    entry = {"image": base64.b64encode(image.read_bytes()).decode()}
    one.write_text(json.dumps(entry))
    many.write_text(json.dumps({"images": [entry] * BATCH}))
    rounds: dict[str, list[tuple[Load, float]]] = {}
    for _ in tqdm(range(ROUNDS), desc="rounds", unit="round", leave=False):
        for clients in CLIENTS:
            alone = judge("alone" if clients == 1 else "threads", ALONE)
            rounds.setdefault(f"{clients} client{'s' if clients > 1 else ''}", []).append((hey(f"{address}/inspect", one, clients), alone))
        rounds.setdefault(f"2 clients, batches of {BATCH}", []).append((hey(f"{address}/inspect/batch", many, 2), judge("threads", ALONE)))
    return [figure(name, found, BATCH if "batches" in name else 1) for name, found in rounds.items()]


def figure(name: str, found: list[tuple[Load, float]], images: int) -> Figure:
    """Return the figure of one number of clients: images a second over those of the bare Inspector, medians of the rounds."""
    ratios = [images * load.rate / bare_rate for load, bare_rate in found]
    p50, p95 = (statistics.median(load.quantile(share) for load, _ in found) for share in (0.5, 0.95))
    rate, bare_rate = statistics.median(images * load.rate for load, _ in found), statistics.median(rate for _, rate in found)
    bad = sum(status != 200 for load, _ in found for status in load.statuses)
    return Figure(
        what=f"images a second served, {name}",
        against="bare Inspector, one image after the other" if name == "1 client" else "bare Inspector, examine_many",
        value=statistics.median(ratios),
        unit="x",
        spread=(min(ratios), max(ratios)),
        note=f"{rate:.1f} against {bare_rate:.1f} images/s; a request takes p50 {p50 * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms; {sum(len(load.seconds) for load, _ in found)} requests by "
        f"hey in {len(found)} rounds of {SECONDS} s, {bad} not answered with 200; {len(os.sched_getaffinity(0))} cores shared with hey",
    )


def hey(url: str, body: Path, clients: int) -> Load:
    """Send a body again and again for a while with so many clients at once."""
    command = ["hey", "-z", f"{SECONDS}s", "-c", str(clients), "-m", "POST", "-T", "application/json", "-D", str(body), "-t", "60", "-o", "csv", url]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    if not rows:
        raise RuntimeError(f"hey has no answer: {done.stderr}")
    ends = [float(row["offset"]) + float(row["response-time"]) for row in rows]
    whole = max(ends) if max(ends) > 0 else time.perf_counter() - started
    return Load(seconds=tuple(float(row["response-time"]) for row in rows), statuses=tuple(int(row["status-code"]) for row in rows), whole=whole)


def registered(root: Path, bundle: Path) -> Workspace:
    """Return a workspace in which a bundle is champion of the product bench."""
    root.mkdir()
    (root / "params.yaml").write_text(PARAMS)
    (root / "dvc.yaml").write_text("stages: {}\n")
    workspace = Workspace(root=root)
    shutil.copytree(bundle, workspace.bundle("bench"))
    write_json(workspace.bundle("bench") / "summary.json", {"threshold": THRESHOLD}, schema_version=SUMMARY_VERSION)
    found = register(load_product(workspace.params_file, "bench"), workspace)
    move_alias(prepare(workspace), "bench", workspace, CHAMPION, found.version, "a benchmark's")
    return workspace


@contextmanager
def served(workspace: Workspace) -> Iterator[str]:
    """Yield the address of a server in a process of its own."""
    command = [sys.executable, "-m", "zeromiss.cli", "serve", "bench", "--port", "0"]
    process = subprocess.Popen(command, cwd=workspace.root, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if " at http" not in line:
            raise RuntimeError("the server did not start")
        yield line.split(" at ")[1].split()[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


@contextmanager
def bare(bundle: Path, image: Path) -> Iterator[Callable[[str, int], float]]:
    """Yield a function that has an Inspector in another process judge so many images one way, and returns images a second."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_judge, args=(theirs, bundle, image), daemon=True)
    process.start()
    ours.recv()

    def judge(way: str, count: int) -> float:
        """Return images a second: `alone` one after the other on all cores, `threads` one a core."""
        started = time.perf_counter()
        ours.send((way, count))
        ours.recv()
        return count / (time.perf_counter() - started)

    try:
        yield judge
    finally:
        ours.send(None)
        process.join()


def _judge(pipe: Connection, bundle: Path, image: Path) -> None:
    """Judge as the pipe says until it says no more."""
    inspector = Inspector.load(bundle)
    inspector.warm_up()
    pipe.send(None)
    while (order := pipe.recv()) is not None:
        way, count = order
        if way == "alone":
            for path in repeat(image, count):
                inspector.inspect(path)
        else:
            for _ in inspector.examine_many(repeat(image, count)):
                pass
        pipe.send(None)
