"""The report finds the version it is about, with what the gate said of that one, and lies among its run's artifacts."""

import json
from pathlib import Path

import pytest

from tests.report_parts import GATE, old_facts
from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file, write_json
from zeromiss.registry import publish
from zeromiss.registry.attach import Standing, attach_page, standing
from zeromiss.registry.store import prepare
from zeromiss.reports.facts import write_facts

SUMMARY = {"threshold": {"value": 0.5, "rule": "zfn", "n_defects": 9, "n_candidates": 1, "miss_rate_bound_95": 0.28, "bound_is": "descriptive"}}


@pytest.fixture
def version(tiny, tracked, tmp_path):
    """Return a function that registers a bundle with some content, gives it a gate's record if asked, and returns its digest."""

    def make(content, *, judged):
        folder = tracked.bundle("tiny")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bundle.json").write_text(json.dumps({"schema_version": 1, "content": content}))
        (folder / "summary.json").write_text(json.dumps({"schema_version": 3} | SUMMARY))
        found = publish.register(tiny, tracked)
        if judged:
            client = prepare(tracked)
            write_json(tmp_path / "tiny.json", GATE | {"model": f"zeromiss-tiny version {found.version}"}, schema_version=1)
            client.log_artifact(client.get_model_version("zeromiss-tiny", found.version).run_id, str(tmp_path / "tiny.json"), "promotion")
        return sha256_file(folder / "bundle.json")

    return make


def test_a_bundle_that_was_never_registered_is_nowhere(tracked, version):
    version("a", judged=True)
    assert standing("tiny", tracked, "00" * 32) == Standing(model="zeromiss-tiny", aliases={"challenger": "1"})


def test_each_version_has_the_record_that_is_about_it(tracked, version):
    first, second = version("a", judged=True), version("b", judged=False)
    old, new = standing("tiny", tracked, first), standing("tiny", tracked, second)
    assert (old.version, old.gate["model"], old.aliases) == ("1", "zeromiss-tiny version 1", {"challenger": "2"})
    assert old.gate["audit_sentence"] == GATE["audit_sentence"]
    assert (new.version, new.gate, new.aliases) == ("2", None, {"challenger": "2"})
    assert len(new.tags["git.commit"]) == 40


def test_a_broken_record_is_refused(tracked, version, tmp_path):
    digest = version("a", judged=False)
    client = prepare(tracked)
    (tmp_path / "tiny.json").write_text("{")
    client.log_artifact(client.get_model_version("zeromiss-tiny", "1").run_id, str(tmp_path / "tiny.json"), "promotion")
    with pytest.raises(ZeromissError, match="tiny.json is not valid JSON"):
        standing("tiny", tracked, digest)


def test_a_page_takes_the_place_of_the_one_before(tracked, version, tmp_path):
    version("a", judged=False)
    client, page = prepare(tracked), tmp_path / "tiny.html"
    for text in ("first", "second"):
        page.write_text(text)
        attach_page("tiny", tracked, page, version="1")
    run = client.get_model_version("zeromiss-tiny", "1").run_id
    assert [one.path for one in client.list_artifacts(run, "report")] == ["report/tiny.html"]
    assert Path(client.download_artifacts(run, "report/tiny.html", str(tmp_path))).read_text() == "second"


def test_the_task_makes_the_page_of_the_bundle_that_the_stage_saw(tracked, version):
    from tasks.report import render_report

    assert render_report.fn("tiny", str(tracked.root)) is None  # the stage has not run here
    digest = version("a", judged=True)
    version("b", judged=False)
    write_facts(tracked.report("tiny"), old_facts(tracked.report("tiny")).model_copy(update={"product": "tiny", "bundle": digest}))
    assert render_report.fn("tiny", str(tracked.root)) == str(tracked.root / "data/08_report/tiny.html")
    page = tracked.page("tiny").read_text()
    assert GATE["audit_sentence"] in page
    assert "This page shows zeromiss-tiny version 1, neither champion nor challenger; version 2 is challenger." in page
    client = prepare(tracked)
    kept = {number: client.list_artifacts(client.get_model_version("zeromiss-tiny", number).run_id, "report") for number in ("1", "2")}
    assert [one.path for one in kept["1"]] == ["report/tiny.html"] and kept["2"] == []
