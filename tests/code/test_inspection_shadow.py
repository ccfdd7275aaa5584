"""Shadow verdicts: each image once a pair of versions, flips counted each way, and no harm to an inspection."""

import hashlib

import pytest

from zeromiss.errors import ZeromissError
from zeromiss.inspection.shadow import ShadowCount, count, judge_shadow
from zeromiss.inspection.verdict import ModelName, Verdict, decide


class Judge:
    """Judges a file by the number in it, times a factor; counts what it judged."""

    threshold, size = 0.5, 64

    def __init__(self, version, factor=1.0):
        self.model, self.factor, self.judged = ModelName(name="zeromiss-tiny", version=version), factor, 0

    def examine_many(self, paths, *, companion_of=None):
        for path in paths:
            yield self.examine(path)

    def examine(self, path, *, companion=None):
        from types import SimpleNamespace

        self.judged += 1
        text = path.read_text()
        if text == "broken" and self.factor != 1.0:
            return ZeromissError(f"{path} cannot be judged")
        score = min(1.0, self.factor * float(text if text != "broken" else 0.1))
        return SimpleNamespace(verdict=Verdict(
            path=str(path), verdict=decide(score, 0.5), score=score, threshold=0.5, patches=(), model=self.model,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(), width=64, height=64,
        ))  # fmt: skip


@pytest.fixture
def live(tmp_path):
    """Return a function that writes images and lets version 1 judge them."""

    def judge(**texts):
        (tmp_path / "images").mkdir(exist_ok=True)
        for name, text in texts.items():
            (tmp_path / "images" / name).write_text(text)
        champion = Judge("1")
        return [champion.examine(tmp_path / "images" / name).verdict for name in texts]

    return judge


def test_flips_are_counted_each_way_on_the_images_both_judged(tmp_path, live):
    counted = judge_shadow(tmp_path / "18", live(a="0.1", b="0.3", c="0.9"), Judge("2", 2.0))
    assert counted == ShadowCount(champion="1", challenger="2", images=3, to_abnormal=1, to_normal=0, errors=0)
    lower = judge_shadow(tmp_path / "18", live(a="0.1", b="0.3", c="0.9"), Judge("3", 0.5))
    assert (lower.to_abnormal, lower.to_normal) == (0, 1)


def test_an_image_is_judged_once_a_pair_of_versions_under_whatever_name(tmp_path, live):
    judge_shadow(tmp_path / "18", live(a="0.1", b="0.3"), Judge("2", 2.0))
    again = Judge("2", 2.0)
    counted = judge_shadow(tmp_path / "18", live(a="0.1", other_name_of_b="0.3", c="0.4"), again)
    assert again.judged == 1
    assert (counted.images, counted.to_abnormal) == (3, 2)
    assert count(tmp_path / "18", "1", "2") == counted
    assert len(list((tmp_path / "18").glob("day=*/part-*.parquet"))) == 2


def test_a_pair_counts_its_own_images_only(tmp_path, live):
    judge_shadow(tmp_path / "18", live(a="0.1", b="0.3"), Judge("2", 2.0))
    assert count(tmp_path / "18", "1", "3") is None
    assert count(tmp_path / "nothing", "1", "2") is None
    latest = judge_shadow(tmp_path / "18", live(c="0.4"), Judge("2", 2.0))
    assert latest.images == 1  # of this inspection
    assert count(tmp_path / "18", "1", "2").images == 3  # of all


def test_what_the_challenger_cannot_judge_is_an_error_and_never_normal(tmp_path, live):
    counted = judge_shadow(tmp_path / "18", live(a="0.9", b="broken"), Judge("2", 0.5))
    assert (counted.images, counted.to_normal, counted.errors) == (2, 1, 1)
    assert counted.sentence().endswith("; 1 could not be judged by the challenger")


def test_an_image_that_changed_between_the_verdicts_is_left_out(tmp_path, live):
    verdicts = live(a="0.1", b="0.9")
    (tmp_path / "images/a").write_text("0.8")
    counted = judge_shadow(tmp_path / "18", verdicts, Judge("2", 1.5))
    assert (counted.images, counted.to_abnormal) == (1, 0)
