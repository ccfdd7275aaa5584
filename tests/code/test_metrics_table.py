"""The streamed table equals one made in memory, and unsound tables are stopped."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from zeromiss import schemas
from zeromiss.errors import ZeromissError
from zeromiss.metrics.checks import check_table, value_range
from zeromiss.metrics.columns import KEY_COLUMNS, feature_columns
from zeromiss.metrics.table import table_schema, write_rows
from zeromiss.tables import read_table

FEATURES = feature_columns("vqgan", masked=True)


def rows(count: int) -> list[dict]:
    """Draw rows of the table."""
    rng = np.random.default_rng(0)
    keys = [
        {
            "path": f"images/{index}.png",
            "sha256": "ab" * 32,
            "label": "defect" if index % 3 == 0 else "normal",
            "defect_type": "scratch" if index % 3 == 0 else "",
            "part_id": None if index == 1 else f"part{index}",
            "native_score": float(rng.random()),
        }
        for index in range(count)
    ]
    return [key | dict(zip(FEATURES, rng.random(len(FEATURES)) * 0.9, strict=True)) | {"vqgan.image.orb_no_keypoints": 0.0} for key in keys]


def frame(count: int = 6) -> pd.DataFrame:
    """Return a sound table."""
    return pd.DataFrame(rows(count))


def check(table: pd.DataFrame, docs: Path, images: int = 6) -> None:
    """Check against the full set of columns."""
    check_table(table, features=FEATURES, images=images, docs=docs)


@pytest.mark.parametrize("count", [1, 4, 5, 8])
def test_streamed_in_chunks_equals_in_memory(tmp_path: Path, count: int) -> None:
    written = write_rows(tmp_path / "table.parquet", iter(rows(count)), features=FEATURES, chunk=4)
    found = read_table(tmp_path / "table.parquet", schema_version=schemas.METRIC_TABLE)
    assert written == count
    assert list(found.columns) == [*KEY_COLUMNS, *FEATURES]
    pd.testing.assert_frame_equal(found, frame(count), check_dtype=False)


def test_rows_are_written_while_they_come(tmp_path: Path) -> None:
    write_rows(tmp_path / "table.parquet", iter(rows(10)), features=FEATURES, chunk=4)
    file = pq.ParquetFile(tmp_path / "table.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [4, 4, 2]


def test_a_failure_half_way_leaves_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_rows(path, iter(rows(2)), features=FEATURES)
    before = path.read_bytes()

    def broken() -> Iterator[dict]:
        yield from rows(6)
        raise ZeromissError("an image is truncated")

    with pytest.raises(ZeromissError, match="truncated"):
        write_rows(path, broken(), features=FEATURES, chunk=2)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_keep_their_64_bits(tmp_path: Path) -> None:
    one = rows(1)[0] | {FEATURES[0]: 1 / 3, "native_score": 0.1 + 0.2}
    write_rows(tmp_path / "table.parquet", [one], features=FEATURES)
    found = read_table(tmp_path / "table.parquet", schema_version=schemas.METRIC_TABLE)
    assert found[FEATURES[0]][0] == 1 / 3 and found["native_score"][0] == 0.1 + 0.2


def test_the_schema_is_text_then_numbers() -> None:
    assert [str(field.type) for field in table_schema(FEATURES[:1])] == ["string"] * 5 + ["double"] * 2


def test_a_sound_table_passes_and_leaves_its_pages(tmp_path: Path) -> None:
    check(frame(), tmp_path)
    assert (tmp_path / "index.html").is_file() and (tmp_path / "columns" / "index.html").is_file()


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("vqgan.patch.ssim.max", float("nan"), r"vqgan.patch.ssim.max is missing or no number in images/2.png"),
        ("vqgan.image.mse", float("inf"), r"vqgan.image.mse lies above .* or is infinite in images/2.png"),
        ("vqgan.patch.cosine.q2.masked", 2.5, r"vqgan.patch.cosine.q2.masked lies above .* in images/2.png"),
        ("native_score", -0.1, r"native_score lies below its smallest possible value in images/2.png"),
        ("vqgan.image.orb_no_keypoints", 0.5, r"vqgan.image.orb_no_keypoints is a flag and neither 0 nor 1"),
        ("label", "odd", r"a label is neither normal nor defect: images/2.png"),
        ("path", "images/1.png", r"an image has two rows: images/1.png"),
    ],
)
def test_an_unsound_table_is_stopped_with_one_sentence(tmp_path: Path, column: str, value: object, sentence: str) -> None:
    table = frame()
    table.loc[2, column] = value
    with pytest.raises(ZeromissError, match=sentence) as caught:
        check(table, tmp_path)
    page = Path(str(caught.value).split("see ")[1].split(",")[0])
    assert page.is_file() and "\n" not in str(caught.value)


def test_a_missing_row_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(ZeromissError, match=r"one row for each of the 7 images \(it has 6\)"):
        check(frame(), tmp_path, images=7)


def test_ranges_of_columns() -> None:
    assert value_range("vqgan.patch.ssim.max.masked") == (-1e-6, 2 + 1e-6)
    assert value_range("vqgan.patch.ssim.sum")[1] == 1e300
    assert value_range("vqgan.image.orb") == (-1e-6, 1 + 1e-6)
    assert value_range("vqgan.image.critic") == (-1e300, 1e300)
    assert value_range("vqgan.patch.fid.min") == (0.0, 1e300)
