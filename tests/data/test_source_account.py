"""Every file of a source is taken, ignored with a reason, or refused with one; the numbers add up to what lies there."""

import os
import shutil

import pytest

from zeromiss.errors import ZeromissError
from zeromiss.images.ingest import ingest
from zeromiss.images.passed_over import reason_to_pass_over
from zeromiss.images.sources.csv import list_csv
from zeromiss.images.sources.elpv import list_elpv
from zeromiss.images.sources.mvtec import list_mvtec
from zeromiss.inspection.batch import find_files


@pytest.fixture
def bottle(tmp_path, draw, draw_mask):
    """Three normal images and two defects of two kinds with masks."""
    folder = tmp_path / "bottle"
    for number, name in enumerate(["train/good/0", "train/good/1", "test/Good/0", "test/dent/0", "test/Deep-Crack/7"]):
        draw(folder / f"{name}.png", number)
    draw_mask(folder / "ground_truth/dent/0_mask.png")
    draw_mask(folder / "ground_truth/Deep-Crack/7_mask.png")
    return folder


def lies_there(folder):
    """Return how many files lie below a folder."""
    return sum(len(names) for _, _, names in os.walk(folder))


def refusal(call):
    """Return the sentence that a call is refused with."""
    with pytest.raises(ZeromissError) as caught:
        call()
    return str(caught.value)


def test_the_numbers_of_a_folder_add_up(bottle, draw, draw_mask):
    for name in ["readme.txt", "LICENSE", ".DS_Store", "test/dent/Thumbs.db", "test/good/._a.png", "@eaDir/test/dent/x.png", "$RECYCLE.BIN/y.png", "__MACOSX/test/z.png", "test/.cache/w.png"]:
        (bottle / name).parent.mkdir(parents=True, exist_ok=True)
        (bottle / name).write_bytes(b"")
    draw(bottle / "test/unsure/9.png", 9)
    draw_mask(bottle / "ground_truth/unsure/9_mask.png")
    draw_mask(bottle / "ground_truth/dent/gone_mask.png")
    listing = list_mvtec(bottle)
    assert [(record.label, record.defect_type) for record in listing.records] == [("normal", "")] * 2 + [("defect", "deep_crack"), ("normal", ""), ("defect", "dent")]
    assert listing.account.total == lies_there(bottle) == 19
    assert listing.account.sentence() == (
        f"19 files in {bottle}: 3 normal, 2 defects (1 deep_crack, 1 dent), 2 masks, 12 ignored (1 hidden, 6 kept by an operating system or a disk, 1 masks of images without a "
        "label, 1 masks without an image, 2 text, tables and documents, 1 without a label)"
    )
    assert listing.notes == [f"1 mask without an image, {bottle}/ground_truth/dent/gone_mask.png first: is the image of a defect missing?"]


@pytest.mark.parametrize("name", ["validation/good/5.png", "scratch/5.png", "Tests/dent/5.png", "5.png", "extra/deep/5.png"])
def test_what_lies_beside_train_and_test_is_not_dropped(bottle, draw, name):
    draw(bottle / name, 5)
    assert f"beside train/ and test/, where nothing says what an image is: move it below one of them, or away" in refusal(lambda: list_mvtec(bottle))


def test_capitals_of_the_folders_do_not_matter(bottle, draw):
    (bottle / "test").rename(bottle / "TEST")
    (bottle / "ground_truth").rename(bottle / "Ground_Truth")
    assert [(record.defect_type, record.source_split, record.mask is not None) for record in list_mvtec(bottle).records[2:]] == [
        ("deep_crack", "test", True),
        ("", "test", False),
        ("dent", "test", True),
    ]


def test_links_are_followed_and_those_to_nothing_refused(bottle, draw):
    outside = draw(bottle.parent / "elsewhere/scratch/3.png", 33).parent
    shutil.rmtree(bottle / "ground_truth")
    (bottle / "test/scratch").symlink_to(outside)
    (bottle / "test/dent/5.png").symlink_to(draw(bottle.parent / "elsewhere/5.png", 55))
    assert sorted(record.name for record in list_mvtec(bottle).records if record.defect_type in ("scratch", "dent")) == ["test/dent/0.png", "test/dent/5.png", "test/scratch/3.png"]
    (bottle / "test/dent/6.png").symlink_to(bottle / "nowhere.png")
    assert refusal(lambda: list_mvtec(bottle)) == f"{bottle}/test/dent/6.png is a link to nothing: bring its file back, or remove it"
    (bottle / "test/dent/6.png").unlink()
    (bottle / "test/circle").symlink_to(bottle)
    assert refusal(lambda: list_mvtec(bottle)) == f"{bottle}/test/circle is a link to a folder above it: remove it"


def test_several_refusals_are_counted(bottle, draw):
    draw(bottle / "a.png", 5)
    draw(bottle / "test/fine/b.png", 6)
    draw(bottle / "test/fine/c.png", 7)
    assert refusal(lambda: list_mvtec(bottle)).endswith("(3 of 10 files are refused, and nothing was taken)")


def test_a_mask_in_a_normal_image_is_refused_and_an_empty_one_counted(bottle, draw_mask):
    from PIL import Image

    (bottle / "ground_truth/good").mkdir()
    Image.new("L", (40, 36)).save(bottle / "ground_truth/good/0_mask.png")
    assert list_mvtec(bottle).account.ignored["masks without a mark of normal images"] == 1
    mask = draw_mask(bottle / "ground_truth/good/0_mask.png")
    assert refusal(lambda: list_mvtec(bottle)) == f"the mask {mask} marks a defect in an image that is labelled normal: correct the label or remove the mask"


def test_the_numbers_of_a_csv_add_up(tmp_path, draw, draw_mask):
    for number, name in enumerate(["a", "b", "c", "forgotten"]):
        draw(tmp_path / f"{name}.png", number)
    draw_mask(tmp_path / "masks/b.png")
    (tmp_path / "t.csv").write_text("path,label,mask\na.png,OK,\nb.png,dent,masks/b.png\nc.png,unsure,\n")
    listing = list_csv(tmp_path / "t.csv")
    assert [record.file.name for record in listing.records] == ["a.png", "b.png"]
    assert listing.account.sentence() == (
        "6 files in t.csv and the folders of its images: 1 normal, 1 defect (1 dent), 1 mask, 3 ignored (1 text, tables and documents, 1 that no line names, 1 without a label)"
    )
    assert listing.account.total == lies_there(tmp_path)


def test_the_numbers_of_the_solar_cells_add_up():
    account = list_elpv(None, incoming=12, seed=0).account
    assert account.sentence().endswith(": 588 normal, 313 defects (313 defect), 1723 ignored (1550 not mono-crystalline, 173 of which the experts were unsure)")
    assert account.total == 2624  # lines of the data set's table


def test_one_content_under_two_kinds_is_told(bottle, make_product, workspace):
    shutil.rmtree(bottle / "ground_truth")
    shutil.copy(bottle / "test/dent/0.png", bottle / "test/Deep-Crack/8.png")
    report = ingest(make_product("mvtec", source={"path": str(bottle)}), workspace)
    assert (report.added, report.known, report.defects) == (5, 1, 2)
    assert report.lines()[-1] == (
        f"1 image under two kinds of defect: {bottle}/test/dent/0.png (dent) has the same content as {bottle}/test/Deep-Crack/8.png, which stays deep_crack"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("test/dent/a.png", ""),
        ("test/dent/A.TIFF", ""),
        ("test/dent/scan", ""),
        ("lost+found/a.png", "kept by an operating system or a disk"),
        ("System Volume Information/a.png", "kept by an operating system or a disk"),
        ("day/~$list.xlsx", "kept by an operating system or a disk"),
        (".cache/a.png", "hidden"),
        ("notes.md", "text, tables and documents"),
    ],
)
def test_one_list_says_what_is_no_image(name, reason):
    assert reason_to_pass_over(name.split("/")) == reason


def test_an_inspection_passes_over_the_same(tmp_path, draw):
    for number, name in enumerate(["a.png", "@eaDir/a.png/m.jpg", "lost+found/b.png", "__MACOSX/c.png", "._d.png", "day/e.png"]):
        draw(tmp_path / name, number)
    (tmp_path / "Thumbs.db").write_bytes(b"")
    assert [path.relative_to(tmp_path).as_posix() for path in find_files([tmp_path])] == ["a.png", "day/e.png"]
