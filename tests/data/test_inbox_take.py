"""Taking an inbox: what joins the raw images, what waits, what goes to quarantine, and what a full disk leaves."""

import hashlib
import os
import subprocess
import sys
import time
from collections import namedtuple

import pytest

from zeromiss import files
from zeromiss.errors import ZeromissError
from zeromiss.images.inbox import pending, quarantine
from zeromiss.images.inbox.place import Folder
from zeromiss.images.inbox.take import take
from zeromiss.images.raw import read_index


@pytest.fixture
def product(make_product):
    """A product whose inbox settles at once."""
    return make_product("mvtec", source={"path": "none"}, ingest={"settle_seconds": 0})


@pytest.fixture
def inbox(tmp_path, draw):
    """Two good images, and one of a dent."""
    for number, name in enumerate(["good/0.png", "good/1.png", "dent/0.png"]):
        draw(tmp_path / "inbox" / name, number)
    return tmp_path / "inbox"


def tree(folder):
    """Return every file's bytes below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_images_join_the_raw_folder_and_the_inbox_stays_as_it_is(product, workspace, inbox):
    before = tree(inbox)
    taken = take(product, workspace, str(inbox))
    raw = workspace.raw("part")
    assert taken.lines() == [f"3 images added, 0 already there: 2 normal and 1 defective in {raw}"]
    assert tree(inbox) == before
    assert {name: data for name, data in tree(raw).items() if name != "index.csv"} == {f"images/{name}": data for name, data in before.items()}
    assert [(entry.path, entry.label, entry.defect_type, entry.part_id, entry.source_split) for entry in read_index(raw)] == [
        ("images/dent/0.png", "defect", "dent", "dent/0", ""),
        ("images/good/0.png", "normal", "", "good/0", ""),
        ("images/good/1.png", "normal", "", "good/1", ""),
    ]
    begun = pending.load(workspace, "part")
    assert begun.kinds() == {"good": 2, "dent": 1}
    assert begun.message("part", normals=2, defects=1) == (
        f"Ingest part: 3 images (2 good, 1 dent)\n\nFrom {inbox}\nRaw data now: 2 normal and 1 defective\n"
    )


def test_a_second_look_reads_nothing_again(product, workspace, inbox, monkeypatch):
    take(product, workspace, str(inbox))
    time.sleep(2.1)  # younger files may change within a tick of the clock, and are read again
    take(product, workspace, str(inbox))
    from zeromiss.images import facts

    monkeypatch.setattr(facts, "read", lambda _: pytest.fail("read again"))
    again = take(product, workspace, str(inbox))
    assert (again.added, again.there) == (0, 3)


def test_equal_content_comes_once_and_another_day_it_is_known(product, workspace, inbox):
    (inbox / "good/again.png").write_bytes((inbox / "good/0.png").read_bytes())
    taken = take(product, workspace, str(inbox))
    assert (taken.added, taken.there, taken.normals) == (3, 1, 2)
    (inbox / "good/0.png").rename(inbox / "good/2.png")
    assert take(product, workspace, str(inbox)).added == 0


def test_an_image_of_a_known_name_keeps_both(product, workspace, inbox, draw):
    take(product, workspace, str(inbox))
    draw(inbox / "good/0.png", 9)
    assert take(product, workspace, str(inbox)).added == 1
    digest = hashlib.sha256((inbox / "good/0.png").read_bytes()).hexdigest()[:8]
    assert f"images/good/0-{digest}.png" in [entry.path for entry in read_index(workspace.raw("part"))]


def test_what_cannot_be_decoded_goes_to_quarantine_once(product, workspace, inbox, draw):
    whole = (inbox / "good/1.png").read_bytes()
    (inbox / "good/cut.png").write_bytes(whole[:-20])
    draw(inbox / "dent/tiny.png", 5, width=20, height=40)
    (inbox / "dent/film.avi").write_bytes(b"film")
    taken = take(product, workspace, str(inbox))
    reasons = {
        "good/cut.png": "is damaged or truncated (its end marker is missing): replace or remove it",
        "dent/tiny.png": "is 20 x 40 pixels: a side must have 32 to 8192 (manifest.min_side, manifest.max_side)",
        "dent/film.avi": "is no image of a known kind (bmp, jpeg, jpg, png, tif, tiff, webp)",
    }
    rows = quarantine.read(workspace.quarantine("part"))
    assert {row.name: row.reason for row in rows} == reasons and taken.added == 3
    for row in rows:
        data = (workspace.quarantine("part") / row.copy).read_bytes()
        assert data == (inbox / row.name).read_bytes() and row.sha256 == hashlib.sha256(data).hexdigest()
        assert row.inbox == str(inbox) and row.time.endswith("+00:00")
    again = take(product, workspace, str(inbox))
    assert (again.refused, again.held) == ((), 3)
    assert len(quarantine.read(workspace.quarantine("part"))) == 3
    (inbox / "good/cut.png").write_bytes(whole + b"\n")  # mended: other content, so another look
    assert take(product, workspace, str(inbox)).added == 1


def test_a_file_that_is_still_written_is_left_for_next_time(product, workspace, inbox):
    whole = (inbox / "good/1.png").read_bytes()
    with (inbox / "good/2.png").open("wb") as writer:
        writer.write(whole[: len(whole) // 2])
        writer.flush()
        taken = take(product, workspace, str(inbox))
        assert (taken.added, taken.waiting, taken.refused) == (3, 1, ())
        writer.write(whole[len(whole) // 2 :] + b"!")
    assert take(product, workspace, str(inbox)).added == 1
    assert quarantine.read(workspace.quarantine("part")) == []


def test_a_young_file_waits(make_product, workspace, inbox):
    product = make_product("mvtec", source={"path": "none"}, ingest={"settle_seconds": 60})
    taken = take(product, workspace, str(inbox))
    assert (taken.added, taken.waiting) == (0, 3) and not workspace.raw("part").exists()
    assert taken.lines()[1] == "3 files not complete yet: left for the next ingest"


@pytest.mark.parametrize("where", ["in the inbox", "in the raw images"])
def test_one_content_under_two_labels_is_nobody_s_to_choose(product, workspace, inbox, where):
    if where == "in the raw images":
        take(product, workspace, str(inbox))
    (inbox / "dent/1.png").write_bytes((inbox / "good/0.png").read_bytes())
    time.sleep(0.01)
    taken = take(product, workspace, str(inbox))
    names = {row.name for row in taken.refused}
    other = "the raw image images/good/0.png" if where == "in the raw images" else "another file of the inbox"
    assert {row.reason for row in taken.refused} == {f"has the same content as {other} under another label: correct one of the labels"}
    assert "dent/1.png" in names and taken.defects == 1
    if where == "in the inbox":
        assert names == {"dent/1.png", "good/0.png"} and taken.normals == 1


def test_images_without_a_label_are_left_and_said(product, workspace, inbox, draw):
    draw(inbox / "7.png", 7)
    taken = take(product, workspace, str(inbox))
    assert (taken.added, taken.unlabelled) == (3, 1)
    assert taken.lines()[-1].startswith("1 file without a label left in the inbox: nothing learns from them; zeromiss inspect judges them")


def test_a_defect_comes_with_its_mask(product, workspace, inbox, draw_mask):
    draw_mask(inbox / "ground_truth/dent/0_mask.png")
    take(product, workspace, str(inbox))
    raw = workspace.raw("part")
    assert [entry.mask for entry in read_index(raw) if entry.label == "defect"] == ["masks/dent/0_mask.png"]
    assert (raw / "masks/dent/0_mask.png").read_bytes() == (inbox / "ground_truth/dent/0_mask.png").read_bytes()


def test_an_official_split_needs_its_folders(make_product, workspace, inbox):
    product = make_product("mvtec", source={"path": "none"}, ingest={"settle_seconds": 0}, manifest={"split": "official"})
    with pytest.raises(ZeromissError, match="dent/0.png lies in no train/ or test/ of the inbox, which manifest.split official needs"):
        take(product, workspace, str(inbox))


def test_a_full_disk_is_noticed_before_anything_is_written(product, workspace, inbox, monkeypatch):
    workspace.root.mkdir()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage(1 << 30, (1 << 30) - (5 << 20), 5 << 20))
    with pytest.raises(ZeromissError, match=r"has 5 MiB free and this ingest \(the images, and the copy that DVC keeps\) needs 65 MiB"):
        take(product, workspace, str(inbox))
    assert tree(workspace.root) == {}


FILLED = """
import resource, signal, sys
from pathlib import Path
from zeromiss.errors import ZeromissError
from zeromiss.images.inbox.take import take
from zeromiss.params import resolve_product
from zeromiss.workspace import Workspace
inbox, root, most = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
tree = {"profiles": {"quick": {}}, "products": {"part": {"source": {"kind": "mvtec", "path": "none"}, "ingest": {"settle_seconds": 0}}}}
try:
    take(resolve_product(tree, "part", origin=Path("params.yaml")), Workspace(root=Path(root)), inbox)
except ZeromissError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("most", [100, 4_000, 5_000])
def test_a_disk_that_refuses_a_write_leaves_the_raw_images_as_they_were(product, workspace, inbox, draw, most):
    """The limit meets, in turn: the note of what is begun, an image, and the memory of files after the images."""
    take(product, workspace, str(inbox))
    before = tree(workspace.raw("part"))
    draw(inbox / "good/9.png", 99)
    done = subprocess.run([sys.executable, "-c", FILLED, str(inbox), str(workspace.root), str(most)], capture_output=True, text=True)
    assert done.returncode == 1 and f"the disk of {workspace.root} filled up" in done.stderr, done.stderr
    assert "make room and ingest again, no image is lost" in done.stderr
    after = tree(workspace.raw("part"))
    assert before.items() - {("index.csv", before["index.csv"])} <= after.items()
    assert after == before or most == 5_000
    take(product, workspace, str(inbox))
    assert sum(name.startswith("images/") for name in tree(workspace.raw("part"))) == 4
    assert sorted(os.listdir(workspace.raw("part").parent)) == ["part"]


def test_a_source_that_vanishes_meanwhile_is_left_out(product, workspace, inbox, monkeypatch):
    fetch = Folder.fetch

    def gone(self, found, landing):
        (inbox / "good/1.png").unlink(missing_ok=True)
        return fetch(self, found, landing)

    monkeypatch.setattr(Folder, "fetch", gone)
    taken = take(product, workspace, str(inbox))
    assert (taken.added, taken.waiting) == (2, 1)
