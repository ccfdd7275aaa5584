"""The synthetic product on disk: an MVTec-style folder with unique part ids."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from zeromiss.errors import ZeromissError
from zeromiss.images.pcba.board import draw_board
from zeromiss.images.pcba.product import DEFECTS, write_boards


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_layout_counts_and_unique_stems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_boards(tmp_path, normals=3, defects=9, side=64, seed=0)
    assert len(list((tmp_path / "train" / "good").glob("*.png"))) == 3
    counts = [len(list((tmp_path / "test" / kind).glob("*.png"))) for kind in DEFECTS]
    assert counts == [2, 2, 1, 1, 1, 1, 1]
    images = [p for p in tmp_path.rglob("*.png") if "ground_truth" not in p.parts]
    assert len({p.stem for p in images}) == len(images) == 12
    for picture in (tmp_path / "test").rglob("*.png"):
        mask = cv2.imread(str(tmp_path / "ground_truth" / picture.parent.name / f"{picture.stem}_mask.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (64, 64)
        assert set(np.unique(mask)) == {0, 255}
    assert "drawing boards" in capsys.readouterr().err
    assert not [p for p in tmp_path.rglob(".*")]


def test_pictures_are_the_drawn_boards_in_rgb(tmp_path: Path) -> None:
    write_boards(tmp_path, normals=1, defects=1, side=64, seed=2)
    good = cv2.imread(str(tmp_path / "train" / "good" / "board_00000.png"))[..., ::-1]
    assert np.array_equal(good, draw_board(seed=2_000_000, side=64, defect=None).image_HWC)
    board = draw_board(seed=2_000_001, side=64, defect="missing")
    mask = cv2.imread(str(tmp_path / "ground_truth" / "missing" / "board_00001_mask.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(mask > 0, board.mask_HW)


def test_the_same_seed_writes_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_boards(tmp_path / name, normals=2, defects=2, side=64, seed=seed)
    first, again, other = (_tree(tmp_path / name) for name in "abc")
    assert first == again
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_negative_counts_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ZeromissError, match="must be 0 or more"):
        write_boards(tmp_path / "boards", normals=-1, defects=0, side=64, seed=0)
    assert not (tmp_path / "boards").exists()
