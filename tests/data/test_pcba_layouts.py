"""Drawn boards of several layouts: another place for parts, a picture of each design, and what the source tells of them."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from zeromiss.images.pcba.board import draw_board, draw_reference
from zeromiss.images.pcba.defects import DEFECTS
from zeromiss.images.pcba.layout import PARTS, parts
from zeromiss.images.sources.pcba import list_pcba
from zeromiss.stage_params import SourceParams

SIDE = 64


def test_parts_change_places_with_those_of_their_size() -> None:
    assert parts(0) is PARTS
    for layout in (1, 2):
        found = parts(layout)
        assert [(part.ref, part.kind, part.length, part.width, part.pose.angle) for part in found] == [
            (part.ref, part.kind, part.length, part.width, part.pose.angle) for part in PARTS
        ]
        assert Counter((part.pose.x, part.pose.y) for part in found) == Counter((part.pose.x, part.pose.y) for part in PARTS)
        assert sum(mine.pose != other.pose for mine, other in zip(found, PARTS, strict=True)) > 20
    assert parts(1) != parts(2)


def test_a_board_is_most_like_the_picture_of_its_own_layout() -> None:
    pictures = [draw_reference(layout=layout, side=SIDE) for layout in range(3)]
    assert np.array_equal(pictures[1], draw_reference(layout=1, side=SIDE))
    for layout in range(3):
        board = draw_board(seed=7, side=SIDE, defect=None, layout=layout).image_HWC
        alike = [np.corrcoef(board.ravel(), picture.ravel())[0, 1] for picture in pictures]
        assert int(np.argmax(alike)) == layout and alike[layout] > 0.8
    assert np.array_equal(draw_board(seed=7, side=SIDE, defect=None, layout=0).image_HWC, draw_board(seed=7, side=SIDE, defect=None).image_HWC)


def test_the_source_tells_design_and_reference_of_each_board(tmp_path: Path) -> None:
    source = SourceParams(kind="pcba", normals=6, defects=2 * len(DEFECTS), side=SIDE, layouts=2, incoming=4)
    listing = list_pcba(tmp_path, source=source, seed=1)
    normal = Counter(record.design for record in listing.records if record.label == "normal")
    assert normal == {"layout_0": 3, "layout_1": 3}
    assert Counter((record.design, record.defect_type) for record in listing.records if record.label == "defect") == Counter(
        (design, kind) for design in normal for kind in DEFECTS
    )
    for record in listing.records:
        assert record.reference.stem == record.design
    picture = cv2.imread(str(next(record.reference for record in listing.records if record.design == "layout_1")))[..., ::-1]
    assert np.array_equal(picture, draw_reference(layout=1, side=SIDE))
    first = next(record for record in listing.records if record.file.stem == "board_00001")
    drawn = draw_board(seed=1_000_001, side=SIDE, defect=None, layout=1).image_HWC
    assert first.design == "layout_1" and np.array_equal(cv2.imread(str(first.file))[..., ::-1], drawn)
    assert all("_layout_" in name for _, name in listing.incoming) and len(listing.incoming) == 4


def test_one_layout_has_neither(tmp_path: Path) -> None:
    listing = list_pcba(tmp_path, source=SourceParams(kind="pcba", normals=1, defects=1, side=SIDE, incoming=0), seed=1)
    assert {(record.reference, record.design) for record in listing.records} == {(None, "")} and not (tmp_path / "known/references").exists()
