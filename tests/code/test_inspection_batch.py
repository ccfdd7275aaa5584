"""Every file gets a verdict or an error; folders appear whole or not at all."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.inspection_parts import SIZE, MeanMeasurer, grey_file, mean_inspector
from zeromiss.errors import ZeromissError
from zeromiss.inspection import batch
from zeromiss.inspection.batch import find_files, inspect_paths
from zeromiss.inspection.folders import atomic_folder
from zeromiss.tables import read_table


@pytest.fixture
def folder(tmp_path):
    """Two good files of mean 0.2 and 0.8, and two that cannot be judged."""
    root = tmp_path / "in"
    grey_file(root / "a.png", 51)
    grey_file(root / "deep" / "er" / "b.JPG", 204)
    grey_file(root / "small.png", 200, size=16)
    whole = grey_file(root / "z.png", 3).read_bytes()
    (root / "z.png").write_bytes(whole[: len(whole) // 2])
    return root


def test_a_folder_is_searched_to_its_depth_and_every_file_is_accounted_for(folder):
    result = inspect_paths(mean_inspector(), [folder], progress=False)
    assert [(verdict.path, verdict.verdict) for verdict in result.verdicts] == [
        (str(folder / "a.png"), "normal"),
        (str(folder / "deep" / "er" / "b.JPG"), "abnormal"),
    ]
    assert [error.path for error in result.errors] == [str(folder / "small.png"), str(folder / "z.png")]
    assert "16 x 16 pixels" in result.errors[0].error


def test_the_table_has_every_file_and_errors_have_no_score(folder, tmp_path):
    inspect_paths(mean_inspector(), [folder], out=tmp_path / "out", progress=False)
    table = read_table(tmp_path / "out" / "verdicts.parquet", schema_version=2)
    assert list(table["verdict"]) == ["normal", "error", "error", "abnormal"]
    judged = table[table["verdict"] != "error"].set_index("verdict")
    assert judged.loc["abnormal", "score"] == pytest.approx(0.8, abs=2e-2)  # JPEG
    assert judged.loc["normal", "score"] == pytest.approx(0.2, abs=1e-7)
    assert judged.loc["normal", "patches"][1] == {"x": 0, "y": 4, "size": 8, "distance": 0.25}
    failed = table[table["verdict"] == "error"]
    assert failed["score"].isna().all() and (failed["error"] != "").all() and (failed["overlay"] == "").all()


def test_a_table_of_errors_alone_can_be_written(tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    inspect_paths(mean_inspector(), [bad], out=tmp_path / "out", progress=False)
    table = read_table(tmp_path / "out" / "verdicts.parquet", schema_version=2)
    assert list(table["verdict"]) == ["error"]
    assert "not an image that can be read" in table["error"][0]


def test_overlays_have_names_of_their_own(tmp_path):
    files = [grey_file(tmp_path / name / "part 1.png", 255) for name in ("a", "b")]
    inspect_paths(mean_inspector(), files, out=tmp_path / "out", progress=False)
    table = read_table(tmp_path / "out" / "verdicts.parquet", schema_version=2)
    assert list(table["overlay"]) == ["overlays/abnormal-part_1.png", "overlays/abnormal-part_1-2.png"]
    for name in table["overlay"]:
        assert np.asarray(Image.open(tmp_path / "out" / name)).shape[2] == 3


def test_without_overlays_no_picture_is_drawn(tmp_path):
    inspect_paths(mean_inspector(), [grey_file(tmp_path / "a.png", 9)], out=tmp_path / "out", overlays=False, progress=False)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["rows.parquet", "verdicts.parquet"]


def test_a_picture_with_an_unknown_suffix_is_judged_and_notes_are_not(tmp_path):
    grey_file(tmp_path / "shot.png", 255).rename(tmp_path / "shot.dat")
    (tmp_path / "notes.txt").write_text("lamp changed")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "photo.heic").write_bytes(b"unreadable here")
    result = inspect_paths(mean_inspector(), [tmp_path], progress=False)
    assert [verdict.path for verdict in result.verdicts] == [str(tmp_path / "shot.dat")]
    assert [error.path for error in result.errors] == [str(tmp_path / "photo.heic")]


def test_a_file_named_twice_is_judged_once_and_circles_end(tmp_path):
    file = grey_file(tmp_path / "in" / "a.png", 1)
    (tmp_path / "in" / "circle").symlink_to(tmp_path / "in", target_is_directory=True)
    assert find_files([tmp_path / "in", file]) == [file]


def test_linked_folders_are_searched(tmp_path):
    grey_file(tmp_path / "elsewhere" / "b.png", 1)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert find_files([tmp_path / "in"]) == [tmp_path / "in" / "link" / "b.png"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing", "missing does not exist: name an image file or a folder"), ("empty", "empty holds no images")],
)
def test_nothing_to_judge_is_refused(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ZeromissError, match=message):
        inspect_paths(mean_inspector(), [tmp_path / name], out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_no_path_at_all_is_refused():
    with pytest.raises(ZeromissError, match="no image was named"):
        find_files([])


def test_a_failure_on_the_way_leaves_nothing(folder, tmp_path, monkeypatch):
    def full_disk(path, rows):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(batch, "_write_rows", full_disk)
    with pytest.raises(OSError, match="no space left"):
        inspect_paths(mean_inspector(), [folder], out=tmp_path / "result" / "out", progress=False)
    assert list((tmp_path / "result").iterdir()) == []


def test_an_earlier_inspection_is_replaced_and_another_folder_is_not(tmp_path):
    file = grey_file(tmp_path / "a.png", 9)
    inspect_paths(mean_inspector(), [file], out=tmp_path / "out", progress=False)
    inspect_paths(mean_inspector(threshold=0.01), [file], out=tmp_path / "out", progress=False)
    table = pd.read_parquet(tmp_path / "out" / "verdicts.parquet")
    assert table["threshold"].tolist() == [0.01]
    (tmp_path / "precious").mkdir()
    with pytest.raises(ZeromissError, match="holds no earlier inspection"):
        inspect_paths(mean_inspector(), [file], out=tmp_path / "precious", progress=False)


def test_a_folder_keeps_its_old_content_when_the_new_one_fails(tmp_path):
    with atomic_folder(tmp_path / "it") as draft:
        (draft / "old").write_text("1")
    with pytest.raises(RuntimeError, match="half way"), atomic_folder(tmp_path / "it") as draft:
        (draft / "new").write_text("2")
        raise RuntimeError("half way")
    assert [path.name for path in tmp_path.rglob("*")] == ["it", "old"]
    with atomic_folder(tmp_path / "it") as draft:
        (draft / "new").write_text("2")
    assert [path.name for path in tmp_path.rglob("*")] == ["it", "new"]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_many_files_at_once_come_in_their_order_each_with_its_verdict_or_error(tmp_path, workers):
    files = [grey_file(tmp_path / f"{number:02d}.png", 10 * number, size=SIZE if number % 5 else 16) for number in range(20)]
    found = list(mean_inspector().examine_many(iter(files), workers=workers))
    assert [isinstance(one, ZeromissError) for one in found] == [number % 5 == 0 for number in range(20)]
    for number, one in enumerate(found):
        if number % 5:
            assert one.verdict == mean_inspector().inspect(files[number])


def test_only_a_few_files_are_read_ahead(tmp_path):
    taken = []

    def files():
        for number in range(40):
            taken.append(number)
            yield grey_file(tmp_path / f"{number}.png", 9)

    examined = mean_inspector().examine_many(files(), workers=2)
    next(examined)
    assert len(taken) == 4
    examined.close()
    assert len(taken) == 4


def test_an_error_that_is_no_refusal_is_not_hidden(tmp_path):
    class Broken(MeanMeasurer):
        def measure(self, image_CHW, features=None, context=None):
            raise RuntimeError("out of memory")

    files = [grey_file(tmp_path / name, 9) for name in ("a.png", "b.png")]
    with pytest.raises(RuntimeError, match="out of memory"):
        inspect_paths(mean_inspector(measurer=Broken()), files, progress=False)
