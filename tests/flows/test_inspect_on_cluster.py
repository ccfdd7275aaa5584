"""Inspection mapped over a real Dask cluster by Prefect: the same verdicts and overlays as on one machine."""

from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from tests.inspection_parts import grey_file, mean_inspector
from zeromiss.errors import ZeromissError

PRELOAD = Path(__file__).parents[1] / "loopback_preload.py"


def judge_by_brightness():
    """Let this process, a worker's, load every model as an inspector whose score is the mean brightness."""
    from zeromiss.registry import remote

    remote._inspector = lambda product, root, version: mean_inspector()


@pytest.fixture(scope="module")
def cluster():
    """Start two worker processes and return the scheduler's address."""
    from distributed import Client, LocalCluster

    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with LocalCluster(n_workers=2, preload=[str(PRELOAD)], silence_logs=50, **options) as started:
        with Client(started.scheduler_address, set_as_default=False) as client:
            client.run(judge_by_brightness)
        yield started.scheduler_address


@pytest.fixture
def job(small, monkeypatch):
    """Return a workspace with images to judge, two of one name, one that is no image, in chunks of three."""
    import tasks.inspect
    import tasks.inspect_chunks

    (small / "params.yaml").write_text((small / "params.yaml").read_text().replace("overlays: false", "overlays: true, boxes: 1"))
    for number in range(7):
        grey_file(small / f"new/{number}.png", 20 + 30 * number)
    grey_file(small / "new/again/5.png", 190)
    (small / "new/broken.png").write_text("no image")
    monkeypatch.setattr(tasks.inspect_chunks, "CHUNK", 3)
    monkeypatch.setattr(tasks.inspect, "name_in_charge", lambda product, workspace: ("7", "zeromiss-toy version 7"))
    return small


def test_verdicts_and_overlays_are_those_of_one_machine(prefect_server, cluster, job, tmp_path, capsys):
    from flows import inspect
    from zeromiss.inspection.batch import inspect_paths

    alone = tmp_path / "alone"
    result = inspect_paths(mean_inspector(), [job / "new"], out=alone, boxes=1, progress=False)
    assert inspect.run("tiny", [job / "new"], job, cluster=cluster) == 2  # because of the file that is no image
    told = capsys.readouterr()
    assert "zeromiss-toy version 7 judged 9 images: 5 abnormal, 3 normal, 1 that could not be judged" in told.out
    assert "broken.png is not an image" in told.err

    folder = Path(told.out.splitlines()[-1])
    assert pq.read_table(folder / "verdicts.parquet").equals(pq.read_table(alone / "verdicts.parquet"), check_metadata=True)
    names = sorted(path.relative_to(alone) for path in (alone / "overlays").iterdir())
    assert len(names) == len(result.verdicts) == 8
    assert {"abnormal-5.png", "abnormal-5-2.png"} < {name.name for name in names}
    for name in names:
        assert (folder / name).read_bytes() == (alone / name).read_bytes()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_worker_without_the_images_is_named(prefect_server, cluster, job, monkeypatch):
    from flows import inspect

    monkeypatch.chdir(job)
    mine = Path("/proc/self/cwd/new")  # another folder in every process
    with pytest.raises(ZeromissError, match=r"worker tcp://127\.0\.0\.1:\d+: /proc/self/cwd/new/\S+ is not there: share its folder"):
        inspect.run("tiny", [mine], job, cluster=cluster)
    assert not list((job / "data/09_inspection/tiny").glob("*"))


def test_without_a_server_that_workers_reach_it_is_refused(job, monkeypatch):
    from flows import inspect

    monkeypatch.setattr(inspect, "PREFECT_API_URL", SimpleNamespace(value=lambda: None))
    with pytest.raises(ZeromissError, match="start one and set PREFECT_API_URL"):
        inspect.run("tiny", [job / "new"], job, cluster="tcp://127.0.0.1:9")


def test_json_and_a_cluster_are_refused_together(job):
    from flows import inspect

    with pytest.raises(ZeromissError, match="leave one of the two out"):
        inspect.run("tiny", [job / "new"], job, as_json=True, cluster="tcp://127.0.0.1:9")
