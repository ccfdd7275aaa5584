"""The training flow over a small repository: DVC's order, skipping, stopping, and what the terminal says."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.usefixtures("prefect_server", "fake_inspector")


def names(calls):
    return [name for name, _, _ in calls]


def write_report(root):
    """Write what the report stage would about the bundle in place."""
    from tests.report_parts import old_facts
    from zeromiss.files import sha256_file
    from zeromiss.reports.facts import write_facts

    digest, folder = sha256_file(root / "data/07_bundle/tiny/bundle.json"), root / "data/08_report/tiny"
    write_facts(folder, old_facts(folder).model_copy(update={"product": "tiny", "bundle": digest}))


def test_runs_through_in_dvcs_order_then_skips_what_is_unchanged(small, calls, record, capfd):
    from flows import train
    from zeromiss.registry.store import prepare
    from zeromiss.workspace import Workspace

    incoming = small / "data/00_incoming/tiny"
    incoming.mkdir(parents=True)
    (incoming / "new.txt.png").write_text("0.75")

    assert train.run("tiny", small) == 0
    first = calls()
    assert names(first) == ["manifest", "threshold", "bundle"]  # dvc.yaml names them the other way round
    assert len({parent for _, parent, _ in first}) == 1
    assert {came for _, _, came in first} == {"False"}  # MLFLOW_RUN_ID is not handed down
    told = capfd.readouterr().out
    assert "registered as zeromiss-tiny version 1" in told
    assert "zeromiss-tiny version 1 is champion now" in told
    assert "judged 1 new images: 1 abnormal, 0 normal" in told

    client = prepare(Workspace(root=small))
    parent = client.get_run(first[0][1])
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["stage"] == "train"
    assert str(client.get_model_version_by_alias("zeromiss-tiny", "champion").version) == "1"
    assert record()["outcome"] == "promoted"
    assert record()["n_defects"] == 3

    status = subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=small, capture_output=True, text=True, check=True)
    assert "up to date" in status.stdout
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=small, capture_output=True, text=True, check=True)
    assert changed.stdout.split() == ["??", "dvc.lock"]

    write_report(small)
    assert train.run("tiny", small) == 0
    assert calls() == first
    told = capfd.readouterr().out
    page = small / "data/08_report/tiny.html"
    assert f"Report:  {page}" in told
    assert "of the 3 defects in the locked audit set" in page.read_text()  # the gate's own record, though no model waited this time
    run = client.get_model_version("zeromiss-tiny", "1").run_id
    assert [one.path for one in client.list_artifacts(run, "report")] == ["report/tiny.html"]
    assert "the bundle is unchanged: it is zeromiss-tiny version 1 already" in told
    assert record()["outcome"] == "stays champion"
    assert len(list((small / "data/09_inspection/tiny").iterdir())) == 2


def test_a_refusing_stage_stops_the_run_and_is_heard_once(small, calls, capfd):
    from flows import train
    from zeromiss.registry.store import prepare
    from zeromiss.workspace import Workspace

    (small / "word.txt").write_text("refuse me\n")
    assert train.run("tiny", small) == 2
    assert names(calls()) == ["manifest", "threshold"]  # nothing downstream, and no second try
    told = capfd.readouterr()
    assert (told.out + told.err).count("the word is refused: choose another") == 1
    assert "Traceback" not in told.out + told.err
    assert prepare(Workspace(root=small)).get_run(calls()[0][1]).info.status == "FAILED"
    assert not (small / "data/07_bundle/tiny").exists()


def test_a_stage_that_a_signal_ended_is_tried_once_more(small, calls):
    from flows import train

    (small / "word.txt").write_text("die first\n")
    assert train.run("tiny", small) == 0
    assert names(calls()) == ["manifest", "threshold", "threshold", "bundle"]


def test_a_refused_challenger_is_a_normal_end_and_judges_as_challenger(small, record, capfd):
    from flows import promote, train

    (small / "data/01_raw/tiny/images/d2").write_text("0.4")
    incoming = small / "data/00_incoming/tiny"
    incoming.mkdir(parents=True)
    (incoming / "a").write_text("0.1")
    (incoming / "b").write_text("no image")
    assert train.run("tiny", small) == 2  # because of the file that cannot be judged
    told = capfd.readouterr().out
    assert record()["promoted"] is False
    assert record()["images"] == [
        {"path": "images/d2", "why": "missed defect", "score": 0.4, "threshold": 0.5, "defect_type": "scratch"}
    ]
    assert "was refused and stays challenger" in told
    assert "version 1 (challenger: no champion has been promoted) judged 2 new images: 0 abnormal, 1 normal, 1" in " ".join(told.split())

    assert promote.run("tiny", small) == 0
    told = capfd.readouterr().out
    assert "refused: 1 of 3 audit defects missed" in told
    assert "missed defect: images/d2 (score 0.4, threshold 0.5)" in told


def test_code_that_changes_while_stages_run_is_refused(small, monkeypatch):
    from flows import train
    from zeromiss.errors import ZeromissError

    (small / "stage.py").write_text((small / "stage.py").read_text() + '\nopen("word.txt", "a").write("more")\n')
    with pytest.raises(ZeromissError, match="middle@tiny changed while the stages ran"):
        train.run("tiny", small)
