"""Checks of a table: which rows failed, in which order, and the page that is left."""

from pathlib import Path

import pandas as pd

from zeromiss.quality import Failure, validate


def test_failures_name_their_rows_in_the_order_of_the_expectations(tmp_path: Path) -> None:
    import great_expectations.expectations as gxe

    frame = pd.DataFrame(
        {"path": ["a", "b", "c", "d"], "score": [0.1, None, 3.0, -2.0], "kind": ["x", "y", "x", "z"]},
        index=[9, 9, 3, 1],
    )
    failures = validate(
        frame,
        [
            gxe.ExpectColumnValuesToBeUnique(column="kind", meta={"why": "one of each"}),
            gxe.ExpectColumnValuesToBeBetween(column="score", min_value=0.0, max_value=1.0),
            gxe.ExpectColumnValuesToNotBeNull(column="path"),
            gxe.ExpectColumnValuesToNotBeNull(column="score"),
            gxe.ExpectTableRowCountToBeBetween(min_value=5),
        ],
        name="scores",
        docs=tmp_path,
    )
    assert failures == [
        Failure(
            expectation="expect_column_values_to_be_unique", column="kind", position=0, rows=(0, 2), observed=None,
            meta={"why": "one of each"},
        ),
        Failure(
            expectation="expect_column_values_to_be_between", column="score", position=1, rows=(2, 3), observed=None,
            meta={},
        ),
        Failure(
            expectation="expect_column_values_to_not_be_null", column="score", position=3, rows=(1,), observed=None,
            meta={},
        ),
        Failure(
            expectation="expect_table_row_count_to_be_between", column="", position=4, rows=(), observed=4, meta={}
        ),
    ]  # fmt: skip


def test_a_missing_column_is_a_failure(tmp_path: Path) -> None:
    import great_expectations.expectations as gxe

    frame = pd.DataFrame({"path": ["a"]})
    failures = validate(frame, [gxe.ExpectColumnValuesToNotBeNull(column="score")], name="scores", docs=tmp_path)
    assert [(failure.column, failure.rows) for failure in failures] == [("score", ())]


def test_the_page_shows_failing_values_as_text_and_fetches_nothing(tmp_path: Path) -> None:
    import great_expectations.expectations as gxe

    frame = pd.DataFrame({"path": ["images/<script>x</script>.png", "b.png"], "kind": ["<b>odd</b> {0}", "fine"]})
    validate(frame, [gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=["fine"])], name="kinds", docs=tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;odd&lt;/b&gt; {0}" in page and "images/&lt;script&gt;x&lt;/script&gt;.png" in page
    assert "<script" not in page and "http" not in page and "<link" not in page
    assert page.count("Data checks: kinds") == 2


def test_checking_prints_nothing(tmp_path: Path, capfd) -> None:
    import great_expectations.expectations as gxe

    validate(
        pd.DataFrame({"path": ["a"]}), [gxe.ExpectColumnValuesToNotBeNull(column="path")], name="quiet", docs=tmp_path
    )
    assert capfd.readouterr() == ("", "")
