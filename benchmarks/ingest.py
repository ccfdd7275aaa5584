"""Ingest and manifest of 100,000 small images against hashing them, adding them to DVC and copying them.

Everything lies in one temporary folder of about 3 GB: the images, a workspace with git and DVC, and a repository for
the bare `dvc add`. All files are in the page cache and all earlier writes are on the disk before a step is timed.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from benchmarks.measure import Figure, alone

COUNT, FEWER = 100_000, 10_000  # images
ROUNDS = 2
SIDE, LARGE = 64, 512  # pixels
_EACH = 1_000  # images a folder
_ROOT = Path(__file__).resolve().parents[1]
_SECTIONS = ("manifest", "vqgan", "metrics", "selection", "threshold", "promotion", "inspection")
_PARTS = {
    "ingest": "from zeromiss.images.ingest import ingest; ingest(product, workspace)",
    "versioning": "from dvc.repo import Repo; from tasks.dvc_add import add; add(Repo(), 'data/01_raw/small')",
    "manifest": "from zeromiss.stages import base, manifest; manifest.run(product, workspace, base.NoLog())",
}


@dataclass(frozen=True, kw_only=True)
class Round:
    """Seconds of one round; `parts` are the library's, each with the peak memory of its largest process in bytes."""

    sha256sum: float
    copy: float
    dvc_add: float
    start: float  # ingest of a handful of images: what the services cost
    ingest: float
    manifest: float
    again_ingest: float
    again_manifest: float
    peak: int


def run() -> list[Figure]:
    """Draw the images, time both sides in turn, and take the library's parts one by one."""
    with tempfile.TemporaryDirectory(prefix="zeromiss-bench-") as folder:
        base = Path(folder)
        source, tiny = draw(base / "source", COUNT), draw(base / "tiny", 400)
        rounds = [_round(base, source, tiny, number) for number in range(ROUNDS)]
        parts = _parts(base / "parts", source, tiny)
        fewer = _parts(base / "fewer", draw(base / "source-fewer", FEWER), tiny)
        flat = [_parts(base / f"side-{side}", draw(base / f"source-{side}", 600, side=side), tiny) for side in (SIDE, LARGE)]
    return [*_against(rounds), *_shares(rounds, parts), *_unchanged(rounds), *_memory(rounds, parts, fewer, flat)]


def draw(folder: Path, count: int, *, side: int = SIDE) -> Path:
    """Draw grey images, all different, 5 % of them defects; return the list that names them."""
    starts = range(0, count, _EACH)
    with ProcessPoolExecutor() as pool:
        jobs = [pool.submit(_draw_folder, folder, start, min(start + _EACH, count), side) for start in starts]
        for job in tqdm(jobs, desc="draw images", unit="folder", leave=False):
            job.result()
    lines = [f"{number // _EACH:03d}/{number:06d}.png,{'normal' if number % 20 else 'scratch'}" for number in range(count)]
    table = folder / "images.csv"
    table.write_text("\n".join(["path,label", *lines, ""]))
    return table


def _draw_folder(folder: Path, start: int, end: int, side: int) -> None:
    import cv2
    import numpy as np

    place, random = folder / f"{start // _EACH:03d}", np.random.default_rng(start)
    place.mkdir(parents=True)
    slope = np.add.outer(np.arange(side), np.arange(side)) * 64 // side
    for number in range(start, end):
        image = (slope + random.integers(0, 32, (side, side))).astype(np.uint8)
        image[0, :4] = np.frombuffer(number.to_bytes(4, "little"), np.uint8)
        (place / f"{number:06d}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())


def _round(base: Path, source: Path, tiny: Path, number: int) -> Round:
    """Time each side once; which goes first alternates."""
    found: dict[str, float] = {}
    for side in ("ours", "theirs") if number % 2 == 0 else ("theirs", "ours"):
        root = base / f"{side}-{number}"
        found |= _ours(root, source, tiny) if side == "ours" else _theirs(root, source.parent)
    return Round(**found)


def _ours(root: Path, source: Path, tiny: Path) -> dict[str, float]:
    """Time the commands that a user types, and the same again."""
    _workspace(root, source, tiny)
    zeromiss = [str(Path(sys.executable).with_name("zeromiss"))]
    repro = [sys.executable, "-P", str(_ROOT / "tasks/dvc_process.py"), "repro", "manifest@small"]
    alone([*zeromiss, "ingest", "tiny"], cwd=root, env=_env(root))  # the services make their databases
    alone([*zeromiss, "stage", "manifest", "--product", "tiny"], cwd=root, env=_env(root))
    (root / "data/01_raw/tiny.dvc").unlink()
    shutil.rmtree(root / "data/01_raw/tiny")
    start, _ = _timed([*zeromiss, "ingest", "tiny"], root)
    ingest, first = _timed([*zeromiss, "ingest", "small"], root)
    manifest, second = _timed(repro, root)
    again_ingest, _ = _timed([*zeromiss, "ingest", "small"], root)
    again_manifest, _ = _timed(repro, root)
    shutil.rmtree(root)
    return {
        "start": start, "ingest": ingest, "manifest": manifest, "again_ingest": again_ingest,
        "again_manifest": again_manifest, "peak": max(first, second),
    }  # fmt: skip


def _theirs(root: Path, images: Path) -> dict[str, float]:
    """Time hashing, copying and adding the same files."""
    find = ["sh", "-c", "find . -name '*.png' -print0 | xargs -0 -P 2 -n 500 sha256sum > /dev/null"]
    hashing = [_timed(find, images)[0] for _ in range(3)]
    root.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, env=_env(root), check=True)
    copy, _ = _timed(["cp", "-r", str(images), "raw"], root)
    adding, _ = _timed([sys.executable, "-m", "dvc", "add", "-q", "raw"], root)
    shutil.rmtree(root)
    return {"sha256sum": statistics.median(hashing), "copy": copy, "dvc_add": adding}


def _parts(root: Path, source: Path, tiny: Path) -> dict[str, tuple[float, int]]:
    """Return the seconds and peak memory of each part by itself: a Python process, without Prefect and MLflow."""
    _workspace(root, source, tiny)
    head = (
        "from pathlib import Path; from zeromiss.params import load_product; from zeromiss.workspace import Workspace;"
        "workspace = Workspace(root=Path.cwd()); product = load_product(workspace.params_file, 'small');"
    )
    found = {name: _timed([sys.executable, "-c", head + code], root) for name, code in _PARTS.items()}
    shutil.rmtree(root)
    return found


def _workspace(root: Path, source: Path, tiny: Path) -> None:
    """Make a workspace with this repository's pipeline and code."""
    root.mkdir()
    for name in ("src", "tasks", "flows"):
        (root / name).symlink_to(_ROOT / name)
    for name in ("dvc.yaml", ".gitignore"):
        shutil.copy(_ROOT / name, root / name)
    sections: dict[str, object] = {name: {} for name in _SECTIONS}
    products = {
        name: {"profile": "quick", "seed": 0, "size": None, "source": {"kind": "csv", "path": str(path)}, **sections}
        for name, path in (("tiny", tiny), ("small", source))
    }
    params = {"schema_version": 1, "profiles": {"quick": {"size": SIDE, **sections}}, "products": products}
    (root / "params.yaml").write_text(json.dumps(params))  # JSON is YAML
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, env=_env(root), check=True)


def _env(root: Path) -> dict[str, str]:
    """Return an environment in which nothing of another workspace is found, or sent anywhere."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # where a stage finds zeromiss
    return {"PATH": path, "DVC_NO_ANALYTICS": "true", "DO_NOT_TRACK": "true", "PYTHONPATH": str(_ROOT), "DVC_SITE_CACHE_DIR": str(root / ".dvc/tmp/site")}


def _timed(command: list[str], root: Path) -> tuple[float, int]:
    """Run a command with nothing waiting to be written; return its seconds and peak memory."""
    os.sync()
    return alone(command, cwd=root, env=_env(root))


def _against(rounds: list[Round]) -> list[Figure]:
    """Return the figures that have a target: the commands against hashing and against DVC."""
    seconds = statistics.median(one.ingest + one.manifest for one in rounds)
    what = f"`zeromiss ingest` and the manifest stage, {COUNT:,} images of {SIDE} x {SIDE} px, as typed, services and all"
    return [
        _ratio(what, "`sha256sum` over the same files, 2 processes", [(one.ingest + one.manifest) / one.sha256sum for one in rounds], most=3, note=f"{seconds:.1f} s against {statistics.median(one.sha256sum for one in rounds):.2f} s"),
        _ratio(what, "bare `dvc add` of the same files", [(one.ingest + one.manifest) / one.dvc_add for one in rounds], most=1, note=f"{seconds:.1f} s against {statistics.median(one.dvc_add for one in rounds):.1f} s; it neither copies into a raw folder nor looks into an image"),
        _ratio("`zeromiss ingest` alone: listing, hashing, copying, flushing, versioning", "bare `dvc add` of the same files", [one.ingest / one.dvc_add for one in rounds]),
        _ratio("`cp -r` of the same files: one of the two copies that an ingest makes", "`sha256sum` over the same files, 2 processes", [one.copy / one.sha256sum for one in rounds], note="so that 3 x leaves no room for two copies; a file system that shares blocks would not copy twice"),
    ]


def _shares(rounds: list[Round], parts: dict[str, tuple[float, int]]) -> list[Figure]:
    """Return where the time goes."""
    hashing = statistics.median(one.sha256sum for one in rounds)
    sayings = {
        "ingest": "list the source, hash, copy into 01_raw, flush, index",
        "versioning": "copy into DVC's cache, tell DVC's memory, flush, write the pointer",
        "manifest": "read every image to its last pixel, hash, splits, Great Expectations",
    }
    figures = [
        Figure(what=f"{name} by itself, without Prefect and MLflow", value=seconds, unit="s", note=f"{sayings[name]}; {seconds / hashing:.1f} x sha256sum; one round")
        for name, (seconds, _) in parts.items()
    ]
    total = sum(seconds for seconds, _ in parts.values())
    adding = statistics.median(one.dvc_add for one in rounds)
    figures.append(Figure(what="the three parts together", against="bare `dvc add` of the same files", value=total / adding, unit="x", note=f"{total:.1f} s, {total / hashing:.1f} x sha256sum"))
    start = [one.start for one in rounds]
    figures.append(Figure(what="`zeromiss ingest` of 400 images: what starting Prefect and DVC costs", value=statistics.median(start), unit="s", spread=(min(start), max(start))))
    return figures


def _unchanged(rounds: list[Round]) -> list[Figure]:
    """Return what a second run costs when nothing changed."""
    both = [100 * (one.again_ingest + one.again_manifest) / (one.ingest + one.manifest) for one in rounds]
    ours = [100 * one.again_ingest / one.ingest for one in rounds]
    again = statistics.median(one.again_ingest for one in rounds)
    repro = statistics.median(one.again_manifest for one in rounds)
    first = "the first run of it"
    return [
        _share("`zeromiss ingest` again, nothing changed", first, ours, f"{again:.2f} s"),
        _share("`zeromiss ingest` and `dvc repro` of the manifest again, nothing changed", first, both, f"{again:.2f} s and {repro:.2f} s: the latter is DVC, which asks its memory for every file"),
    ]


def _memory(rounds: list[Round], parts: dict[str, tuple[float, int]], fewer: dict[str, tuple[float, int]], flat: list[dict[str, tuple[float, int]]]) -> list[Figure]:
    """Return peak memory by images and by pixels."""
    most, least = (max(peak for _, peak in found.values()) for found in (parts, fewer))
    small, large = (max(peak for _, peak in found.values()) for found in flat)
    each = (most - least) / (COUNT - FEWER)
    peak = max(one.peak for one in rounds)
    return [
        Figure(what=f"peak memory of the largest process, {COUNT:,} images", against=f"{FEWER:,} images", value=most / least, unit="x", note=f"{most >> 20} MiB against {least >> 20} MiB: {each:.0f} bytes for a row of the tables; with the services {peak >> 20} MiB"),
        Figure(what=f"peak memory, 600 images of {LARGE} x {LARGE} px", against=f"{SIDE} x {SIDE} px", target="<= 1.1 x", value=large / small, unit="x", met=large / small <= 1.1, note="no image but the one in hand is held"),
    ]


def _ratio(what: str, against: str, ratios: list[float], *, most: float | None = None, note: str = "") -> Figure:
    """Return a figure of ratios of which fewer is better."""
    value = statistics.median(ratios)
    target, met = ("", None) if most is None else (f"<= {most:g} x", value <= most)
    note = f"{len(ratios)} rounds{'; ' + note if note else ''}"
    return Figure(what=what, against=against, target=target, value=value, unit="x", spread=(min(ratios), max(ratios)), met=met, note=note)


def _share(what: str, against: str, shares: list[float], note: str) -> Figure:
    """Return a figure in per cent, of which at most 5 were asked for."""
    value = statistics.median(shares)
    return Figure(what=what, against=against, target="<= 5 %", value=value, unit="%", spread=(min(shares), max(shares)), met=value <= 5, note=note)
