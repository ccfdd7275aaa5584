"""Extraction, search and leave-one-out on a real cluster: two worker processes, one of which is killed, or lacks data."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd
import pytest

from zeromiss import parallel
from tests.workspace_parts import unaligned
from zeromiss.cluster import Session, active_session, at_cluster, own_facts
from zeromiss.detectors.taught import write_taught
from zeromiss.detectors.vqgan.store import save_vqgan
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, sha256_file
from zeromiss.metrics import chunks
from zeromiss.parallel import run_all
from zeromiss.detector_params import VqganParams
from zeromiss.params import Product, resolve_product
from zeromiss.stages import metrics, selection
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    from distributed import LocalCluster

SIZE, NORMALS, DEFECTS = 64, 9, 4
PRELOAD = Path(__file__).parents[1] / "loopback_preload.py"


def product() -> Product:
    """Return a product of small images and a short search."""
    own = {
        "source": {"kind": "pcba"},
        "size": SIZE,
        "metrics": {"pixels": 10, "patches": 20},
        "selection": {"families": ["dt", "rf", "lr", "nb"], "draws": 3, "trees": 5, "folds": 2, "smote_below": 0.0, "jobs": 1},
    }
    return resolve_product({"products": {"tiny": own}, "profiles": {"quick": {}}}, "tiny", origin=Path("params.yaml"))


def draw_image(raw: Path, name: str, *, seed: int, spot: bool) -> dict:
    """Draw a part, with or without a white spot, and return its manifest row."""
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8), (0, 0), 4)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for top, left in ((20, 24), (40, 8 + seed % 7)) if spot else ():
        image[top : top + 9, left : left + 13] = mask[top : top + 9, left : left + 13] = 255
    cv2.imwrite(str(raw / "images" / name), image)
    cv2.imwrite(str(raw / "masks" / name), mask)
    return {
        "path": f"images/{name}", "sha256": sha256_file(raw / "images" / name), "width": SIZE, "height": SIZE,
        "label": "defect" if spot else "normal", "defect_type": "spot" if spot else "", "part_id": name,
        "mask": f"masks/{name}" if spot else None, "source_split": "", "seed": 0, "split": "table",
    }  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Lay out images, manifest and detector, and run both stages on this machine."""
    workspace = Workspace(root=tmp_path_factory.mktemp("here"))
    raw = workspace.raw("tiny")
    for folder in ("images", "masks"):
        (raw / folder).mkdir(parents=True)
    rows = [draw_image(raw, f"m{i}.png", seed=90 + i, spot=False) | {"split": "mask"} for i in range(2)]
    rows += [draw_image(raw, f"n{i}.png", seed=i, spot=False) for i in range(NORMALS)]
    rows += [draw_image(raw, f"d{i}.png", seed=50 + i, spot=True) for i in range(DEFECTS)]
    write_table(workspace.manifest("tiny") / "manifest.parquet", pd.DataFrame(rows), schema_version=2)
    unaligned(workspace, "tiny")
    small = VqganParams(channels=(8, 16), blocks=1, codes=16, code_dim=4, critic_channels=8, attention=False)
    save_vqgan(workspace.detector("tiny", "vqgan"), Vqgan(small, seed=1))
    write_taught(workspace.detector("tiny", "vqgan"), normal=[], abnormal=[])
    metrics.run(product(), workspace, NoLog())
    selection.run(product(), workspace, NoLog())
    return workspace


@pytest.fixture
def there(here: Workspace, tmp_path: Path) -> Workspace:
    """Return a copy of the workspace without what the two stages wrote."""
    shutil.copytree(here.root, tmp_path / "there")
    workspace = Workspace(root=tmp_path / "there")
    shutil.rmtree(workspace.metrics("tiny"))
    shutil.rmtree(workspace.selection("tiny"))
    return workspace


@pytest.fixture(scope="module")
def cluster() -> Iterator["LocalCluster"]:
    """Start two worker processes of one thread each."""
    from distributed import LocalCluster

    own_facts()
    with LocalCluster(
        n_workers=2, processes=True, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", preload=[str(PRELOAD)], silence_logs=50
    ) as started:
        yield started


@pytest.fixture
def address(cluster: "LocalCluster") -> str:
    """Return the scheduler's address."""
    return cluster.scheduler_address


def other_metrics(one: Workspace, other: Workspace) -> list[str]:
    """Return what is not the same, bit for bit, of both tables, masks and rankings; a figure that is missing is not the same."""
    folders = [workspace.metrics("tiny") for workspace in (one, other)]
    first, second = (read_json(folder / "native.json", schema_version=2) for folder in folders)
    files = [name for name in ("table.parquet", "native.parquet", "vqgan/mask.safetensors") if len({(folder / name).read_bytes() for folder in folders}) > 1]
    figures = ("image_auroc", "average_precision", "fpr_at_zero_missed", "pixel_auroc", "pro")
    ranked = [name for name in figures if not first["detectors"]["vqgan"][name] == second["detectors"]["vqgan"][name] is not None]
    return files + ranked + (["images"] if first["images"] != second["images"] else [])


def other_selection(one: Workspace, other: Workspace) -> list[str]:
    """Return what is not the same, bit for bit, of both winners, their candidates' accuracies and out-of-fold probabilities."""
    folders = [workspace.selection("tiny") for workspace in (one, other)]
    winners = {read_json(folder / "families.json", schema_version=1)["winner"] for folder in folders}
    tables = [read_table(folder / "candidates.parquet", schema_version=1).drop(columns="seconds") for folder in folders]
    same = {
        "winner": len(winners) == 1,
        "oof.parquet": len({(folder / "oof.parquet").read_bytes() for folder in folders}) == 1,
        "candidates.parquet": tables[0].equals(tables[1]),
    }
    return [name for name, holds in same.items() if not holds]


def leave_the_machine(host: str) -> None:
    """Try to open a connection off loopback."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as opened:
        opened.settimeout(1)
        opened.connect((host, 9))


def test_the_guard_against_connections_holds_in_the_workers(address: str) -> None:
    with at_cluster(address), pytest.raises(AssertionError, match="a test tried to connect to"):
        run_all(leave_the_machine, [("192.0.2.1",)], jobs=1, title="guard", unit="task")


def test_the_same_table_and_the_same_winner(address: str, here: Workspace, there: Workspace) -> None:
    with at_cluster(address):
        metrics.run(product(), there, NoLog())
        assert other_metrics(here, there) == []
        selection.run(product(), there, NoLog())
    assert other_selection(here, there) == []


def two_alive(session: Session) -> dict[str, int]:
    """Return both workers' process ids by address, once both answer: the scheduler counts a killed one for a while still."""
    ends = time.monotonic() + 180
    while time.monotonic() < ends:
        session.client.wait_for_workers(2, timeout=180)
        pids = session.client.run(os.getpid, on_error="ignore")
        if len(pids) == 2:
            return pids
        time.sleep(0.2)
    raise AssertionError("two workers did not answer within three minutes")


def test_a_worker_killed_in_the_middle_loses_nothing(
    cluster: "LocalCluster", here: Workspace, there: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: dict[str, int] = {}
    run_there = parallel._there

    def kill_one(task: Callable, arguments: Sequence, session: Session) -> Iterator:
        """Do the tasks; after the first result of each kind of work, kill a worker's process."""
        pids = two_alive(session)
        for number, result in enumerate(run_there(task, arguments, session)):
            if number == 0 and task.__name__ not in killed:
                killed[task.__name__] = pids[sorted(pids)[len(killed) % 2]]
                os.kill(killed[task.__name__], signal.SIGKILL)
                assert task is not chunks.measure_chunk or any(one.state == "processing" for one in cluster.scheduler.tasks.values())
            yield result

    monkeypatch.setattr(parallel, "_there", kill_one)
    monkeypatch.setattr(chunks, "CHUNK", 1)
    with at_cluster(cluster.scheduler_address):
        metrics.run(product(), there, NoLog())
        assert other_metrics(here, there) == []
        selection.run(product(), there, NoLog())
    assert other_selection(here, there) == []
    assert len(killed) == 3  # extraction, search, leave-one-out


def test_a_task_that_kills_its_workers_ends_in_a_sentence(cluster: "LocalCluster", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)  # 3, if nobody asks for less
    told = f"workers of the cluster {cluster.scheduler_address} died one after another at the same task"
    with at_cluster(cluster.scheduler_address), pytest.raises(ZeromissError, match=told):
        run_all(os.abort, [()], jobs=1, title="deadly", unit="task")


def test_a_worker_without_the_images_is_named(address: str, there: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(there.root)
    mine = Workspace(root=Path("/proc/self/cwd"))  # another folder in every process: there.root in this one only
    told = r"worker tcp://127\.0\.0\.1:\d+: /proc/self/cwd/data/01_raw/tiny/images/n\d\.png is not there: .* bring the same commit there with dvc pull"
    with at_cluster(address), pytest.raises(ZeromissError, match=told):
        metrics.run(product(), mine, NoLog())
    assert not there.metrics("tiny").exists()


def test_a_worker_with_other_images_is_named(address: str, there: Workspace) -> None:
    draw_image(there.raw("tiny"), "n3.png", seed=77, spot=False)
    with at_cluster(address), pytest.raises(ZeromissError, match=r"worker tcp://.*images/n3\.png is another file there than here"):
        metrics.run(product(), there, NoLog())


def test_a_worker_of_another_commit_is_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = own_facts() | {"code": "0123"}
    monkeypatch.setattr("zeromiss.cluster.own_facts", lambda: facts)
    with at_cluster(address), pytest.raises(ZeromissError, match=r"worker tcp://127\.0\.0\.1:\d+ has the code \w+, this machine 0123"):
        run_all(divmod, [(7, 2)], jobs=1, title="sum", unit="task")


def test_what_many_tasks_share_is_sent_once_a_block(address: str) -> None:
    table = np.arange(1000.0)
    with at_cluster(address):
        first = run_all(np.dot, [(table, table), (table, table)], jobs=1, title="dot", unit="task")
        sent = dict(active_session()._shared)
        assert run_all(np.dot, [(table, table), (table, table)], jobs=1, title="dot", unit="task") == first == [332833500.0] * 2
        assert active_session()._shared == sent and len(sent) == 1
        table[0] = 1.0  # the same array, but no longer the same data
        assert run_all(np.dot, [(table, table), (table, table)], jobs=1, title="dot", unit="task") == [332833501.0] * 2
