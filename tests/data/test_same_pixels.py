"""The same picture in files of other bytes: one part, on one side of every split, and never under two labels."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from zeromiss.errors import ZeromissError
from zeromiss.images import facts
from zeromiss.images.raw import Entry, index_text
from zeromiss.images.same_pixels import join_parts, sentence
from zeromiss.stages import manifest
from zeromiss.stages.base import NoLog


def frame(*rows):
    """Return facts of images: path, sha256, pixels, part, kind."""
    return pd.DataFrame(rows, columns=["path", "sha256", "pixels", "part_id", "defect_type"])


def test_parts_that_share_a_picture_are_one_directly_or_through_others():
    given = frame(("a", "1", "P", "p3", ""), ("b", "2", "P", "p2", ""), ("c", "3", "Q", "p2", ""), ("d", "4", "Q", "p1", ""), ("e", "5", "R", "p5", ""), ("f", "6", None, "p6", ""), ("g", "7", None, "p7", ""))
    assert join_parts(given)["part_id"].tolist() == ["p1", "p1", "p1", "p1", "p5", "p6", "p7"]
    assert sentence(given) == "2 pictures in several files, pixel for pixel (a and b): each stays on one side of every split"
    alone = given.drop(index=[1, 2])
    assert join_parts(alone)["part_id"].tolist() == alone["part_id"].tolist() and sentence(alone) == ""


def test_two_kinds_of_one_picture_are_told():
    assert sentence(frame(("a", "1", "P", "p1", "dent"), ("b", "2", "P", "p2", "crack"))).endswith("; 1 picture under two kinds of defect, look at a (dent) and b (crack)")


def test_pixels_do_not_depend_on_how_they_are_stored(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels).save(tmp_path / "b.png", compress_level=1)
    Image.fromarray(np.stack([pixels] * 3, axis=2)).save(tmp_path / "c.bmp")
    Image.fromarray(pixels[::-1, ::-1]).save(tmp_path / "d.tif", exif=exif)
    Image.fromarray(pixels.reshape(50, 40)).save(tmp_path / "e.png")
    found = facts.read([(str(tmp_path), name, "") for name in ("a.png", "b.png", "c.bmp", "d.tif", "e.png")])
    assert len({one.sha256 for one in found}) == 5
    assert len({one.pixels for one in found[:4]}) == 1 and found[4].pixels not in {None, found[0].pixels}


@pytest.fixture
def raw(workspace, draw):
    """A raw folder of 20 normal images and 10 defects."""
    folder = workspace.raw("part")
    entries = [
        Entry(path=f"images/{number:02d}.png", label="normal" if number < 20 else "defect", defect_type="" if number < 20 else "dent", part_id=f"{number:02d}", mask="", source_split="")
        for number in range(30)
    ]
    for number, entry in enumerate(entries):
        draw(folder / entry.path, number)
    (folder / "index.csv").write_text(index_text(entries))
    return folder


def save_again(raw, number, as_number):
    """Write the picture of one image to the file of another one, with other bytes."""
    with Image.open(raw / f"images/{number:02d}.png") as image:
        image.save(raw / f"images/{as_number:02d}.png", compress_level=0)


@pytest.mark.parametrize("mode", ["tell", "off"])
def test_a_picture_stays_on_one_side_of_every_split(make_product, workspace, raw, capsys, mode):
    for number in range(5):
        save_again(raw, number, number + 10)
    manifest.run(make_product(manifest={"mask": 2, "near_duplicates": mode}, seed=5), workspace, NoLog())
    rows = pd.read_parquet(workspace.manifest("part") / "manifest.parquet").set_index("path")["split"]
    assert all(rows[f"images/{number:02d}.png"] == rows[f"images/{number + 10:02d}.png"] for number in range(5))
    assert "same pixels: 5 pictures in several files, pixel for pixel (images/00.png and images/10.png)" in capsys.readouterr().out


def test_a_picture_under_two_labels_stops_the_run(make_product, workspace, raw):
    save_again(raw, 3, 25)
    with pytest.raises(ZeromissError, match="images/03.png and .*images/25.png show the same picture, pixel for pixel, with the labels normal and defect: correct one"):
        manifest.run(make_product(manifest={"mask": 2}, seed=5), workspace, NoLog())
