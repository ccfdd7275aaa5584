"""The comparison's flow over a small repository: what it runs, what the training flow leaves to it, what it prints."""

import json

import pytest

from tests.systems_parts import content_of

PAGE = "data/14_compare/tiny/compare.html"
STAGE = """
  aside:
    foreach: ${products}
    do:
      cmd: echo compared >> calls.txt && mkdir -p data/14_compare && cp -r prepared data/14_compare/${key}
      meta: {worker: cpu, flow: compare}
      deps: [prepared, "data/02_manifest/${key}"]
      outs: ["data/14_compare/${key}"]
"""


@pytest.fixture
def with_comparison(small, tmp_path):
    """The small repository with a stage that only the comparison's flow runs."""
    (small / "dvc.yaml").write_text((small / "dvc.yaml").read_text() + STAGE)
    (small / "prepared").mkdir()
    found = {"schema_version": 2} | content_of(tmp_path / "folds", product="tiny")
    (small / "prepared/compare.json").write_text(json.dumps(found))
    return small


def test_each_flow_has_its_own_stages(with_comparison):
    from tasks.pipeline import read_order

    assert [target for target, _ in read_order("tiny", with_comparison)] == ["start@tiny", "middle@tiny", "finish@tiny"]
    assert read_order("tiny", with_comparison, "compare") == [("start@tiny", "cpu"), ("aside@tiny", "cpu")]


@pytest.mark.usefixtures("prefect_server")
def test_it_runs_what_it_needs_and_prints_what_was_found(with_comparison, calls, capfd):
    from flows import compare

    assert compare.run("tiny", with_comparison) == 0
    told = capfd.readouterr().out
    assert "Honest protocol (%)" in told and told.rstrip().endswith(PAGE)
    ran = [line[0] for line in calls()]
    assert ran == ["manifest", "compared"]  # neither threshold nor bundle
    assert compare.run("tiny", with_comparison, as_json=True) == 0
    assert json.loads(capfd.readouterr().out)["product"] == "tiny"  # and nothing besides: what stages print goes to stderr
    assert compare.run("tiny", with_comparison, layout="poster") == 0
    assert "Published: paper 3" in capfd.readouterr().out
    assert [line[0] for line in calls()] == ran  # nothing changed, nothing ran again


@pytest.mark.usefixtures("prefect_server")
def test_a_stage_that_fails_ends_it(with_comparison, capfd):
    from flows import compare

    (with_comparison / "manifest.parquet").unlink()
    assert compare.run("tiny", with_comparison) == 2
    assert "Honest protocol" not in capfd.readouterr().out
