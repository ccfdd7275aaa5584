"""The tasks' own parts, without a Prefect server."""

import json
import shutil
from types import SimpleNamespace

import pytest

from tasks.environment import set_defaults
from tasks.failure import StageFailed, ended
from zeromiss.errors import ZeromissError


def test_order_and_workers_are_read_from_dvc(small):
    from tasks.pipeline import read_order

    assert read_order("tiny", small) == [("start@tiny", "cpu"), ("middle@tiny", "gpu"), ("finish@tiny", "cpu")]


def test_a_product_without_stages_is_refused(small):
    from tasks.pipeline import read_order

    with pytest.raises(ZeromissError, match="has no stage for 'other': add it with zeromiss product add"):
        read_order("other", small)


def test_a_broken_graph_is_refused_in_one_line(small):
    from tasks.pipeline import read_order

    (small / "dvc.yaml").write_text("stages: {a: {cmd: x, deps: [b], outs: [b]}}")
    with pytest.raises(ZeromissError, match="cannot be read by DVC"):
        read_order("tiny", small)


@pytest.mark.parametrize(
    ("code", "killed", "ends_with"), [(2, False, 2), (1, False, 2), (137, True, 2), (-9, True, 2), (130, False, 130), (-2, False, 130)]
)
def test_exit_codes(code, killed, ends_with):
    failure = StageFailed("vqgan@tiny", code)
    assert failure.killed is killed
    assert ended(failure, debug=False) == ends_with


def test_debug_shows_where_a_stage_failed(capsys):
    assert ended(StageFailed("vqgan@tiny", 3), debug=True) == 2
    assert "StageFailed: vqgan@tiny ended with exit code 3" in capsys.readouterr().err


def test_defaults_leave_what_the_user_has_set(tmp_path, monkeypatch):
    monkeypatch.setattr("os.environ", {"PREFECT_HOME": "/somewhere", "PREFECT_LOGGING_LEVEL": "DEBUG"})
    set_defaults(tmp_path)
    import os

    assert os.environ["PREFECT_HOME"] == "/somewhere"
    assert os.environ["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


@pytest.mark.parametrize(("address", "home"), [("", True), ("http://127.0.0.1:4200/api", False)])
def test_the_embedded_server_lives_in_the_repository(tmp_path, monkeypatch, address, home):
    values = {"PREFECT_API_URL": address}
    monkeypatch.setattr("os.environ", values)
    set_defaults(tmp_path)
    assert values.get("PREFECT_HOME") == (str(tmp_path / ".prefect") if home else None)
    assert values["PREFECT_LOGGING_LEVEL"] == "CRITICAL"


def test_raw_images_are_versioned_and_come_back_from_the_cache(small):
    from tasks.versioning import restore_raw, version_raw

    raw = small / "data/01_raw/tiny"
    before = {path.relative_to(raw): path.read_bytes() for path in raw.rglob("*") if path.is_file()}
    assert version_raw.fn("tiny", str(small)) == str(small / "data/01_raw/tiny.dvc")
    assert restore_raw.fn("tiny", str(small)) is True
    shutil.rmtree(raw)
    assert restore_raw.fn("tiny", str(small)) is True
    assert {path.relative_to(raw): path.read_bytes() for path in raw.rglob("*") if path.is_file()} == before
    shutil.rmtree(raw)
    shutil.rmtree(small / ".dvc/cache")
    assert restore_raw.fn("tiny", str(small)) is False
    assert not raw.exists()


def test_dvcs_own_refusal_is_one_line(small, capfd):
    from tasks.pipeline import act

    with pytest.raises(StageFailed):
        act("repro", "nothing@tiny", small, {})
    error = capfd.readouterr().err
    assert error.startswith("dvc: ")
    assert "nothing" in error
    assert "Traceback" not in error


def test_json_lines_name_what_could_not_be_judged():
    from tasks.inspect import json_lines
    from zeromiss.inspection.batch import BatchResult, InspectionError
    from zeromiss.inspection.verdict import ModelName, Patch, Verdict

    model = ModelName(name="zeromiss-tiny", version="3")
    good = Verdict(
        path="a.png", verdict="abnormal", score=0.75, threshold=0.5, patches=(Patch(x=1, y=2, size=4, distance=0.5),),
        model=model, sha256="s", width=64, height=64,
    )  # fmt: skip
    result = BatchResult(verdicts=(good,), errors=(InspectionError(path="b.png", error="b.png is truncated"),))
    lines = [json.loads(line) for line in json_lines(result, SimpleNamespace(model=model, threshold=0.5))]
    assert lines[0]["patches"] == [{"x": 1, "y": 2, "size": 4, "distance": 0.5}]
    assert lines[0]["model"] == lines[1]["model"] == {"name": "zeromiss-tiny", "version": "3"}
    assert (lines[1]["verdict"], lines[1]["score"], lines[1]["error"]) == ("error", None, "b.png is truncated")


def test_promotion_in_words():
    from flows.promote import words

    image = {"why": "missed defect", "path": "images/d.png", "score": 0.25, "threshold": 0.5}
    unjudged = {"why": "not judged", "path": "images/e.png", "score": None, "threshold": 0.5}
    record = {"model": "m version 2", "statement": "refused: why", "images": [image, unjudged], "advice": ["do this"], "notes": ["know that"]}
    assert words(record) == [
        "m version 2: refused: why",
        "  missed defect: images/d.png (score 0.25, threshold 0.5)",
        "  not judged: images/e.png (no score)",
        "  - do this",
        "  know that",
    ]


def test_the_audit_set_in_words():
    from flows.promote import words

    record = {"model": "m version 2", "statement": "promoted: why", "images": [], "advice": [], "audit_sentence": "None of the 3 defects is missed."}
    told = [words(record | {"openings": openings, "looks": looks})[1] for openings, looks in ((1, 1), (3, 2))]
    assert told == [
        "  None of the 3 defects is missed. It was opened once so far, for one model.",
        "  None of the 3 defects is missed. It was opened 3 times so far, for 2 different models.",
    ]
