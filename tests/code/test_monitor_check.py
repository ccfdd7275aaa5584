"""A check from stored rows to monitor.json, sentences and page."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from zeromiss.errors import ZeromissError
from zeromiss.inspection.judgements import judge
from zeromiss.inspection.rows import FACTS, keep, verdict_table
from zeromiss.monitoring.check import check
from zeromiss.monitoring.watched import Watched
from zeromiss.params import MonitorParams
from zeromiss.reports.monitor_page import write_monitor
from zeromiss.reports.monitor_words import sentences

METRICS = ("vqgan.image.mse", "vqgan.patch.<b>.max")
FIRST = datetime(2031, 3, 2, 9, tzinfo=UTC)
PARAMS = MonitorParams(permutations=99, false_alarm=0.02)


@pytest.fixture
def watched():
    """Version 3 with sixty normal images in its table."""
    values = np.random.default_rng(0).normal(size=(60, 2))
    return Watched(version="3", normals=pd.DataFrame(values, columns=list(METRICS)), expected_fpr=0.1, expected_from="forecast by outer folds")


def week(number, *, images=40, abnormal=4, shift=0.0, version="3"):
    """The rows of one week's first day; images are named by week and place, the first ones abnormal."""
    values = np.random.default_rng(100 + number).normal(shift, size=(images, 2))
    rows = [
        {
            "sha256": f"{number:02d}{place:062d}", "name": f"{place}.png", "time": FIRST + timedelta(days=7 * number, seconds=place), "model_version": version,
            "score": 0.5, "threshold": 0.4, "verdict": "abnormal" if place < abnormal else "normal", "seconds": 0.1, **dict(zip(METRICS, map(float, values[place]), strict=True)),
        }
        for place in range(images)
    ]  # fmt: skip
    return verdict_table(rows, METRICS)


def checked(tmp_path, watched, params=PARAMS):
    """What a check finds in the folders of a test."""
    return check("bolt", params, watched, verdicts=tmp_path / "verdicts", judgements=tmp_path / "judgements", seed=0)


def test_an_unchanged_week_calls_for_nothing(tmp_path, watched):
    keep(tmp_path / "verdicts", week(0))
    found = checked(tmp_path, watched)
    assert found["reasons"] == [] and found["drift"]["p"] > 0.02
    assert (found["since"], found["until"], found["images"]) == ("2031-02-24", "2031-03-02", 40)
    assert (found["abnormal"]["count"], found["fpr"], found["missed"]) == (4, None, [])
    assert [one["metric"] for one in found["drift"]["metrics"]] == sorted(METRICS, key=lambda name: -next(one["ks"] for one in found["drift"]["metrics"] if one["metric"] == name))


def test_only_the_last_days_and_the_version_in_charge_are_compared(tmp_path, watched):
    keep(tmp_path / "verdicts", week(0, shift=5.0))
    keep(tmp_path / "verdicts", week(1))
    keep(tmp_path / "verdicts", week(2, shift=5.0, version="2"))
    found = checked(tmp_path, watched)
    assert found["until"] == "2031-03-09" and found["reasons"] == []
    assert [(one["until"], one["images"]) for one in found["course"]] == [("2031-03-02", 40), ("2031-03-09", 40)]
    assert found["course"][0]["mean"] > 0.8 > 0.3 > found["course"][1]["mean"]


def test_a_drifted_week_is_told_with_its_metrics(tmp_path, watched):
    keep(tmp_path / "verdicts", week(0, shift=2.0))
    found = checked(tmp_path, watched)
    assert found["reasons"] == ["drift"] and found["drift"]["p"] == 0.02
    text = " ".join(sentences(found))
    assert "bolt: version 3 should be trained anew: the images have drifted." in text
    assert f"Beyond chance: {found['drift']['metrics'][0]['metric']}, " in text


def test_parts_known_as_defects_are_no_drift(tmp_path, watched):
    keep(tmp_path / "verdicts", week(0))
    keep(tmp_path / "verdicts", week(0, shift=9.0).set_column(0, "sha256", pa.array([f"d{place:063d}" for place in range(40)])))
    assert checked(tmp_path, watched)["reasons"] == ["drift"]
    for place in range(40):
        judge(tmp_path / "judgements", f"d{place:063d}", "defect", by="Ada")
    found = checked(tmp_path, watched)
    assert found["drift"]["images"] == 40 and found["drift"]["p"] > 0.02


def test_judgements_give_the_observed_rate_and_a_miss_of_long_ago_counts(tmp_path, watched):
    keep(tmp_path / "verdicts", week(0))
    keep(tmp_path / "verdicts", week(5))
    for place in range(4):
        judge(tmp_path / "judgements", f"05{place:062d}", "normal", by="Ada")
    judge(tmp_path / "judgements", f"00{30:062d}", "defect", by="Ada", why="came back from the field")
    found = checked(tmp_path, watched)
    assert (found["fpr"]["count"], found["fpr"]["of"]) == (4, 40)
    assert found["missed"] == [f"00{30:062d}"] and found["reasons"] == ["missed"]
    text = " ".join(sentences(found))
    assert "4 of 4 alarms were judged; of good parts 10 % (4 of 40; 95 % interval 2.79 to 23.66 %) were called abnormal" in text
    assert "Missed defects: 1 image called normal by this version is a defect, as someone judged later." in text


def test_of_few_images_no_drift_is_told(tmp_path, watched):
    keep(tmp_path / "verdicts", week(0, images=12, shift=9.0))
    found = checked(tmp_path, watched)
    assert found["drift"] is None and found["reasons"] == []
    assert "Drift: 12 images are too few to tell a drift by: monitor.least is 30." in sentences(found)


def test_a_model_that_judged_nothing_cannot_be_checked(tmp_path, watched):
    with pytest.raises(ZeromissError, match="version 3 of bolt has judged no images yet"):
        checked(tmp_path, watched)
    keep(tmp_path / "verdicts", week(0, version="2"))
    with pytest.raises(ZeromissError, match="version 3 of bolt has judged no images yet"):
        checked(tmp_path, watched)


def test_the_page_shows_it_all_in_one_file(tmp_path, watched):
    keep(tmp_path / "verdicts", week(0))
    keep(tmp_path / "verdicts", week(1, shift=2.0))
    judge(tmp_path / "judgements", f"00{30:062d}", "defect", by="Ada")
    page = write_monitor(tmp_path / "out", checked(tmp_path, watched) | {"told": None}).read_text()
    assert "Train anew" in page and "drift, missed" in page and f"<code>00{30:062d}</code>" in page
    assert page.count("data:image/svg+xml;base64,") == 3 and "http" not in page.replace("http://www.w3.org", "")
    assert "vqgan.patch.&lt;b&gt;.max" in page and "<b>.max" not in page
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".html", ".json", ".svg", ".svg", ".svg"]


def test_the_columns_of_a_row_are_those_that_the_page_of_rows_names():
    assert list(FACTS) == ["sha256", "name", "time", "model_version", "score", "threshold", "verdict", "seconds"]
