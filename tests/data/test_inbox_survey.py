"""What lies in an inbox, told by names and times: labels, partial files, masks, and what is left."""

import os
import time

import pytest

from zeromiss.errors import ZeromissError
from zeromiss.images.digests import Signature
from zeromiss.images.inbox.place import Folder, Found, open_place
from zeromiss.images.inbox.survey import PARTIAL, survey

NOW = 1_000_000.0


def files(*names, age=60.0, size=10):
    """Return files of an inbox that changed `age` seconds ago; their mtime, which anybody can set, lies far back."""
    return [Found(name, Signature(size, 0, 1, int((NOW - age) * 1e9))) for name in names]


def look(found, settle_seconds=10.0):
    """Survey files."""
    return survey(found, now=NOW, settle_seconds=settle_seconds)


def test_folders_are_labels_wherever_the_camera_nests_them():
    result = look(files("good/a.png", "scratch/day 1/b.JPG", "train/good/c.png", "test/dent/d.tiff", "test/good/e.bmp", "Good/f.png", "normal/g.png"))
    assert [(one.found.name, one.label, one.kind, one.split, one.name) for one in result.images] == [
        ("good/a.png", "normal", "", "", "good/a.png"),
        ("scratch/day 1/b.JPG", "defect", "scratch", "", "scratch/day 1/b.JPG"),
        ("train/good/c.png", "normal", "", "train", "train/good/c.png"),
        ("test/dent/d.tiff", "defect", "dent", "test", "test/dent/d.tiff"),
        ("test/good/e.bmp", "normal", "", "test", "test/good/e.bmp"),
        ("Good/f.png", "normal", "", "", "good/f.png"),
        ("normal/g.png", "normal", "", "", "good/g.png"),
    ]
    assert result.waiting == result.unlabelled == result.strange == []


@pytest.mark.parametrize("name", ["a.png", "train/b.png", "unknown/c.png", "ok/d.png", "unlabelled/deep/e.png"])
def test_without_a_clear_label_nothing_is_taken(name):
    result = look(files(name))
    assert [one.name for one in result.unlabelled] == [name] and not result.images


@pytest.mark.parametrize("ending", sorted(PARTIAL))
def test_a_partial_name_waits_and_so_does_the_file_beside_it(ending):
    result = look(files(f"good/a.png{ending}", "good/a.png", "good/b.png"))
    assert [one.name for one in result.waiting] == [f"good/a.png{ending}", "good/a.png"]
    assert [one.found.name for one in result.images] == ["good/b.png"]


@pytest.mark.parametrize(("age", "waits"), [(9.9, True), (10.1, False)])
def test_a_file_settles_after_its_last_change_of_any_kind(age, waits):
    result = look(files("good/a.png", age=age))
    assert bool(result.waiting) is waits and bool(result.images) is not waits


def test_hidden_files_and_notes_are_passed_over():
    result = look(files(".good/a.png", "good/.a.png.Xy12", "good/notes.txt", "good/Thumbs.db", "list.csv"))
    assert not (result.images or result.waiting or result.unlabelled or result.strange)


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("good/a.gif", 10, "is no image of a known kind (bmp, jpeg, jpg, png, tif, tiff, webp)"),
        ("good/a.png", 0, "is empty"),
        ("train/dent/a.png", 10, "lies in train/ but is not good: put defects below test/"),
        ("good/../../a.png", 10, "has a name that is no plain path: name it with letters, digits, dots and dashes"),
        ("good//a.png", 10, "has a name that is no plain path: name it with letters, digits, dots and dashes"),
        ("good/a\\b.png", 10, "has a name that is no plain path: name it with letters, digits, dots and dashes"),
        ("good/a\nb.png", 10, "has a name that is no plain path: name it with letters, digits, dots and dashes"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_has_a_reason(name, size, reason):
    result = look(files(name, size=size))
    assert [(found.name, told) for found, told in result.strange] == [(name, reason)] and not result.images


def test_where_there_are_masks_a_defect_waits_for_its_own():
    found = files("good/a.png", "dent/a.png", "dent/b.png", "ground_truth/dent/a_mask.png")
    result = look(found)
    assert [(one.found.name, one.mask and one.mask.name) for one in result.images] == [("good/a.png", None), ("dent/a.png", "ground_truth/dent/a_mask.png")]
    assert [one.name for one in result.waiting] == ["dent/b.png"]
    late = [*found[:2], *files("ground_truth/dent/a_mask.png", age=1.0)]
    assert [one.name for one in look(late).waiting] == ["dent/a.png"]


def test_a_folder_lists_plain_files_and_knows_which_are_being_written(tmp_path):
    (tmp_path / "good").mkdir()
    path = tmp_path / "good/a.png"
    path.write_bytes(b"whole")
    os.symlink(path, tmp_path / "good/link.png")
    os.utime(path, (0, 0))
    place = Folder(tmp_path)
    (found,) = place.files()
    assert (found.name, found.size) == ("good/a.png", 5) and abs(time.time() - found.changed) < 60
    assert not place.busy(found)
    with path.open("ab"):
        assert place.busy(found) and not place.remove(found)
    path.write_bytes(b"other")
    assert place.busy(found) and not place.remove(found) and path.exists()
    assert place.remove(place.files()[0]) and not path.exists()
    assert place.busy(found)


def test_an_inbox_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ZeromissError) as caught:
        open_place(str(tmp_path / "gone"))
    assert str(caught.value) == f"the inbox {tmp_path / 'gone'} is no folder: make it, or mend the argument or ingest.inbox in params.yaml"
    with pytest.raises(ZeromissError, match="the inbox carrier://pigeon cannot be read: .*carrier"):
        open_place("carrier://pigeon")
