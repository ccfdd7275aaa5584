"""Which cluster is meant, and what is refused before any work: no cluster is started here but an empty one."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from zeromiss import cli, cluster
from zeromiss.cluster import VARIABLE, Session, at_cluster, active_session, choose_address
from zeromiss.errors import ZeromissError
from zeromiss.params import read_cluster

A, B, C = "tcp://a:1", "tls://b:2", "tcp://c:3"


def test_the_option_goes_before_the_environment_and_that_before_the_file(monkeypatch):
    monkeypatch.setenv(VARIABLE, B)
    assert choose_address(A, C) == A
    assert choose_address(None, C) == B
    monkeypatch.delenv(VARIABLE)
    assert choose_address(None, C) == C
    assert choose_address(None, None) is None
    assert choose_address("local", C) is None


@pytest.mark.parametrize("address", ["a:1", "tcp://a", "tcp://:", "http://a:1", "tcp://a b:1"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ZeromissError, match="is no address of a Dask scheduler: write tcp://HOST:PORT"):
        choose_address(address, None)


def test_the_block_holds_the_session_and_gives_it_back():
    with at_cluster(A):
        assert active_session().address == A
        with at_cluster(None):
            assert active_session() is None
        assert active_session().address == A
    assert active_session() is None


@pytest.mark.parametrize(("line", "found"), [("", None), ("cluster: null\n", None), ("cluster: tcp://a:1\n", A)])
def test_params_may_name_a_cluster(tmp_path, line, found):
    path = tmp_path / "params.yaml"
    path.write_text(f"schema_version: 1\n{line}profiles: {{}}\nproducts: {{}}\n")
    assert read_cluster(path) == found


def test_a_cluster_in_params_must_be_text(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("schema_version: 1\ncluster: 8786\nprofiles: {}\nproducts: {}\n")
    with pytest.raises(ZeromissError, match="cluster: 8786 is no address"):
        read_cluster(path)


def test_a_stage_runs_at_the_cluster_that_was_named(repository, monkeypatch):
    from zeromiss.registry import stage_runner

    seen = []
    monkeypatch.chdir(repository)
    monkeypatch.setattr(stage_runner, "run_stage", lambda name, product, workspace: seen.append(active_session()))
    assert cli.main(["stage", "metrics", "--product", "pcba", "--cluster", A]) == 0
    assert cli.main(["stage", "metrics", "--product", "pcba", "--cluster", "local"]) == 0
    assert seen[0].address == A
    assert seen[1] is None


def test_without_a_cluster_nothing_of_dask_is_imported():
    code = (
        "import sys; from zeromiss.parallel import run_all; from zeromiss.cluster import at_cluster\n"
        "with at_cluster('tcp://a:1'): pass\n"
        "with at_cluster(None): assert run_all(divmod, [(7, 2), (9, 4)], jobs=1, title='t', unit='u') == [(3, 1), (2, 1)]\n"
        "assert not {'dask', 'distributed'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ZeromissError, match=r"needs the extra packages: pip install 'zeromiss\[cluster\]'"):
        _ = Session(A).client


def test_a_scheduler_that_does_not_answer_is_named():
    with pytest.raises(ZeromissError, match="the cluster tcp://127.0.0.1:9 does not answer .*: start its scheduler or mend the address"):
        _ = Session("tcp://127.0.0.1:9", patience=0.5).client


def test_a_cluster_without_workers_is_refused():
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, processes=True, dashboard_address=None, host="127.0.0.1") as empty:
        with pytest.raises(ZeromissError, match=f"the cluster {empty.scheduler_address} has no worker, 0.5 seconds after"):
            _ = Session(empty.scheduler_address, patience=0.5).client


@pytest.mark.parametrize(
    ("package", "theirs", "told"),
    [("torch", "2.0.0", "torch 2.0.0, this machine 1.0"), ("xgboost", None, "xgboost not installed, this machine 1.0"),
     ("python", "3.12.1.final.0", "python 3.12, this machine 3.11")],
)  # fmt: skip
def test_a_worker_with_another_version_is_named(package, theirs, told):
    mine = {"python": "3.11.7.final.0", **dict.fromkeys(cluster.PACKAGES, "1.0")}
    workers = {"tcp://w:1": {"packages": mine | {"python": "3.11.9.final.0"}}, "tcp://w:2": {"packages": mine | {package: theirs}}}
    client = SimpleNamespace(get_versions=lambda packages: {"client": {"packages": mine}, "workers": workers})
    with pytest.raises(ZeromissError, match=f"worker tcp://w:2 has {told}"):
        cluster._check_versions(client)


def test_a_process_with_other_code_or_another_processor_is_refused():
    facts = cluster.own_facts()
    cluster.check_process(facts)
    with pytest.raises(ZeromissError, match=f"has the code {facts['code']}, this machine abc: bring both to one commit"):
        cluster.check_process(facts | {"code": "abc"})
    with pytest.raises(ZeromissError, match="this machine PDP-11: results would differ in their last bits"):
        cluster.check_process(facts | {"processor": "PDP-11"})
