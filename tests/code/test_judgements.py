"""Judgements are appended, the last one counts, and an image is found by its file or the start of its hash."""

import hashlib

import pytest

from tests.inspection_parts import grey_file, mean_inspector
from zeromiss.errors import ZeromissError
from zeromiss.inspection.batch import inspect_paths
from zeromiss.inspection.judgements import find_image, judge, last_judgements
from zeromiss.inspection.ledger import read
from zeromiss.inspection.rows import keep_folder


@pytest.fixture
def kept(tmp_path):
    """The data set of two inspected images, and the images."""
    files = [grey_file(tmp_path / "in" / name, value) for name, value in (("dark.png", 51), ("bright.png", 204))]
    inspect_paths(mean_inspector(), files, out=tmp_path / "out", overlays=False, progress=False)
    assert keep_folder(tmp_path / "verdicts", tmp_path / "out") == 2
    assert keep_folder(tmp_path / "verdicts", tmp_path / "out") == 0
    return tmp_path / "verdicts", *files


def test_every_verdict_is_kept_with_the_metrics_that_its_score_rests_on(kept):
    verdicts, dark, bright = kept
    rows = read(verdicts).to_pandas().set_index("name")
    assert list(rows["verdict"][["dark.png", "bright.png"]]) == ["normal", "abnormal"]
    assert rows.loc["bright.png", "mean"] == rows.loc["bright.png", "score"] == pytest.approx(0.8, abs=1e-6)
    assert rows.loc["dark.png", "sha256"] == hashlib.sha256(dark.read_bytes()).hexdigest()
    assert set(rows["model_version"]) == {"7"} and set(rows["threshold"]) == {0.4} and (rows["seconds"] > 0).all()
    assert "unused" not in rows


def test_the_last_judgement_counts_and_all_stay(tmp_path):
    judge(tmp_path, "a" * 64, "defect", by="Ada", why="X-ray")
    judge(tmp_path, "b" * 64, "normal", by="Ada")
    judge(tmp_path, "a" * 64, "normal", by="Bo")
    assert last_judgements(tmp_path) == {"a" * 64: "normal", "b" * 64: "normal"}
    assert read(tmp_path)["why"].to_pylist() == ["X-ray", "", ""]
    assert last_judgements(tmp_path / "none") == {}


def test_an_image_is_found_by_its_file_or_the_start_of_its_hash(kept, tmp_path):
    verdicts, dark, _ = kept
    digest = hashlib.sha256(dark.read_bytes()).hexdigest()
    assert find_image(verdicts, str(dark)) == find_image(verdicts, digest) == find_image(verdicts, digest[:8].upper()) == digest


def test_what_was_never_inspected_cannot_be_judged(kept, tmp_path):
    verdicts, *_ = kept
    with pytest.raises(ZeromissError, match="no verdict about .*other.png is kept"):
        find_image(verdicts, str(grey_file(tmp_path / "other.png", 7)))
    with pytest.raises(ZeromissError, match="no verdict about 00000000 is kept"):
        find_image(verdicts, "00000000")
    with pytest.raises(ZeromissError, match="neither an image file nor 8 to 64 digits"):
        find_image(verdicts, "part-17.png")
