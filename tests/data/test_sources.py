"""What each kind of source lists, and the sentence for each thing it refuses."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from zeromiss.errors import ZeromissError
from zeromiss.images.sources.csv import list_csv
from zeromiss.images.sources.elpv import list_elpv
from zeromiss.images.sources.listing import list_source
from zeromiss.images.sources.mvtec import list_mvtec
from zeromiss.params import Product


def told(call: Callable[[], object]) -> str:
    """Return the sentence that a call is refused with."""
    with pytest.raises(ZeromissError) as caught:
        call()
    return str(caught.value)


@pytest.fixture
def mvtec(tmp_path: Path, draw: Callable[..., Path], draw_mask: Callable[..., Path]) -> Path:
    """Two normal images to train, one to test, two defects of two kinds with masks."""
    folder = tmp_path / "bottle"
    names = ["train/good/000", "train/good/001", "test/good/000", "test/dent/000", "test/crack/007"]
    for number, name in enumerate(names):
        draw(folder / f"{name}.png", number)
    draw_mask(folder / "ground_truth/dent/000_mask.png")
    draw_mask(folder / "ground_truth/crack/007_mask.png")
    return folder


def test_an_mvtec_folder_is_read_by_its_folders(mvtec: Path) -> None:
    rows = [
        (record.name, record.label, record.defect_type, record.source_split, record.part_id)
        for record in list_mvtec(mvtec).records
    ]
    assert rows == [
        ("train/good/000.png", "normal", "", "train", ""),
        ("train/good/001.png", "normal", "", "train", ""),
        ("test/crack/007.png", "defect", "crack", "test", ""),
        ("test/dent/000.png", "defect", "dent", "test", ""),
        ("test/good/000.png", "normal", "", "test", ""),
    ]
    masks = [record.mask for record in list_mvtec(mvtec).records]
    truth = mvtec / "ground_truth"
    assert masks == [None, None, truth / "crack/007_mask.png", truth / "dent/000_mask.png", None]


def test_an_mvtec_folder_may_have_no_masks_at_all(mvtec: Path) -> None:
    shutil.rmtree(mvtec / "ground_truth")
    assert [record.mask for record in list_mvtec(mvtec).records] == [None] * 5


def test_an_mvtec_mask_must_be_there_for_every_defect(mvtec: Path) -> None:
    mask, image = mvtec / "ground_truth/dent/000_mask.png", mvtec / "test/dent/000.png"
    mask.unlink()
    assert told(lambda: list_mvtec(mvtec)) == f"the mask {mask} of {image} is missing: add it, or take all masks away"


def test_an_mvtec_mask_must_have_the_size_of_its_image(mvtec: Path, draw_mask: Callable[..., Path]) -> None:
    mask, image = mvtec / "ground_truth/dent/000_mask.png", mvtec / "test/dent/000.png"
    draw_mask(mask, width=36, height=40)
    assert told(lambda: list_mvtec(mvtec)) == (
        f"the mask {mask} is 36 x 40 pixels and its image {image} is 40 x 36: a mask needs its image's size"
    )


def test_an_mvtec_mask_must_mark_something(mvtec: Path) -> None:
    mask, image = mvtec / "ground_truth/dent/000_mask.png", mvtec / "test/dent/000.png"
    Image.new("L", (40, 36)).save(mask)
    assert told(lambda: list_mvtec(mvtec)) == (
        f"the mask {mask} of {image} marks no pixel: mark the defect or remove the mask"
    )


def test_an_mvtec_folder_must_exist_and_hold_images(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    assert told(lambda: list_mvtec(missing)) == (
        f"the folder {missing} does not exist: give the folder that holds train/ and test/"
    )
    (tmp_path / "empty/train/good").mkdir(parents=True)
    assert told(lambda: list_mvtec(tmp_path / "empty")) == (
        f"{tmp_path / 'empty'} holds no images: train/good, test/good or test/<defect> needs some"
    )


def test_no_file_of_an_mvtec_folder_is_skipped_unseen(mvtec: Path, draw: Callable[..., Path]) -> None:
    (mvtec / "test/good/.hidden.png").write_bytes(b"")
    (mvtec / "test/good/notes.txt").write_text("taken on a Monday")
    assert len(list_mvtec(mvtec).records) == 5
    odd = mvtec / "test/good/001.gif"
    odd.write_bytes(b"GIF89a")
    assert told(lambda: list_mvtec(mvtec)) == (
        f"{odd} is no image of a known kind (bmp, jpeg, jpg, png, tif, tiff, webp): convert it or move it away"
    )
    odd.unlink()
    draw(mvtec / "test/good/more/000.png", 9)
    assert told(lambda: list_mvtec(mvtec)) == (
        f"{mvtec / 'test/good/more'} is a folder where only images are expected: move its files up or away"
    )


def test_loose_images_and_training_defects_are_refused(mvtec: Path, draw: Callable[..., Path]) -> None:
    loose = draw(mvtec / "test/000.png", 9)
    assert told(lambda: list_mvtec(mvtec)) == (
        f"{loose} lies directly in test/: move it to good/ or to its defect's folder"
    )
    loose.unlink()
    draw(mvtec / "train/dent/000.png", 9)
    assert told(lambda: list_mvtec(mvtec)) == (
        f"{mvtec / 'train/dent'} is not good/: only normal images train, put defects below test/"
    )


@pytest.fixture
def table(tmp_path: Path, draw: Callable[..., Path], draw_mask: Callable[..., Path]) -> Path:
    """A CSV of four images, one with a mask, two of one part."""
    for number, name in enumerate("abcd"):
        draw(tmp_path / "shots" / f"{name}.png", number)
    draw_mask(tmp_path / "shots/c_marked.png")
    path = tmp_path / "labels.csv"
    path.write_text(
        "path,label,part_id,mask\n"
        "shots/a.png,Good,p1,\n"
        "shots/b.png,0,p1,\n"
        "shots/c.png,Scratch,p2,shots/c_marked.png\n"
        "shots/d.png,1,p3,\n"
    )
    return path


def test_a_csv_is_read_line_by_line(table: Path) -> None:
    rows = [(record.name, record.label, record.defect_type, record.part_id) for record in list_csv(table).records]
    assert rows == [
        ("shots/a.png", "normal", "", "p1"),
        ("shots/b.png", "normal", "", "p1"),
        ("shots/c.png", "defect", "scratch", "p2"),
        ("shots/d.png", "defect", "defect", "p3"),
    ]
    masks = [record.mask for record in list_csv(table).records]
    assert masks == [None, None, table.parent / "shots/c_marked.png", None]


def test_a_csv_needs_only_path_and_label(table: Path) -> None:
    table.write_text("\ufeffpath,label\nshots/a.png,normal\n", encoding="utf-8")
    assert [(record.part_id, record.mask) for record in list_csv(table).records] == [("", None)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path\na.png\n", "{t} has no column 'label': its first line must name path and label"),
        ("path,label,colour\n", "{t} has an unknown column 'colour': known are path, label, part_id, mask, reference, design"),
        ("path,label\n", "{t} names no images: add a line for each"),
        ("path,label\nnone.png,good\n", "{t}, line 2: the image 'none.png' is missing beside it"),
        (
            "path,label\nshots/a.png,OK\n",
            "{t}, line 2: the label 'OK' is not known: write normal, defect or the defect's name",
        ),
        (
            "path,label\nshots/a.png,good\nshots/b.png,2\n",
            "{t}, line 3: the label '2' is not known: write normal, defect or the defect's name",
        ),
        (
            "path,label\nshots/a.png,good,extra\n",
            "{t}, line 2: more values than columns: put quotes around a value with a comma",
        ),
        (
            "path,label,mask\nshots/a.png,good,shots/c_marked.png\n",
            "{t}, line 2: a normal image has no mask: remove it or mend the label",
        ),
        (
            "path,label,mask\nshots/a.png,dent,shots/none.png\n",
            "the mask {d}/shots/none.png of {d}/shots/a.png is missing: add it, or take all masks away",
        ),
    ],
)
def test_a_csv_is_refused_with_its_line(table: Path, text: str, sentence: str) -> None:
    table.write_text(text)
    assert told(lambda: list_csv(table)) == sentence.format(t=table, d=table.parent)


def test_the_solar_cells_are_those_of_the_package() -> None:
    listing = list_elpv(None, incoming=12, seed=0)
    labels = [record.label for record in listing.records]
    assert (labels.count("normal"), labels.count("defect")) == (588, 313)
    assert listing.notes == [
        "173 mono-crystalline cells are left out because the experts were unsure of them (117 of probability 1/3, "
        "56 of 2/3); 12 of these are drawn as images that nobody has judged"
    ]
    assert len(listing.incoming) == 12 and all(file.is_file() for file, _ in listing.incoming)
    assert all(name.endswith(("_p033.png", "_p067.png")) for _, name in listing.incoming)
    judged = {record.file for record in listing.records}
    assert not judged & {file for file, _ in listing.incoming}


def test_the_draw_of_unsure_cells_follows_the_seed() -> None:
    first, again, other = (list_elpv(None, incoming=20, seed=seed).incoming for seed in (3, 3, 4))
    assert first == again and first != other
    assert len(list_elpv(None, incoming=1000, seed=3).incoming) == 173


def test_a_folder_of_solar_cells_is_read_by_its_labels(tmp_path: Path, draw: Callable[..., Path]) -> None:
    for number in range(5):
        draw(tmp_path / f"images/c{number}.png", number)
    (tmp_path / "labels.csv").write_text(
        "images/c0.png  0.0   mono\nimages/c1.png  1.0   mono\nimages/c2.png  0.3333333333333333 mono\n"
        "images/c3.png  0.6666666666666666 mono\nimages/c4.png  1.0   poly\n"
    )
    listing = list_elpv(tmp_path, incoming=9, seed=0)
    assert [(record.part_id, record.label) for record in listing.records] == [("c0", "normal"), ("c1", "defect")]
    assert sorted(name for _, name in listing.incoming) == ["c2_p033.png", "c3_p067.png"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("images/c0.png 0.0", "line 1: expected path, probability and type, found 'images/c0.png 0.0'"),
        ("images/c0.png 1.5 mono", "line 1: a probability lies in 0 to 1, found 1.5"),
        ("images/none.png 1.0 mono", "line 1: images/none.png is missing beside it: add the file or remove the line"),
    ],
)
def test_a_bad_line_of_solar_cell_labels_is_told(
    tmp_path: Path, draw: Callable[..., Path], line: str, sentence: str
) -> None:
    draw(tmp_path / "images/c0.png", 0)
    (tmp_path / "labels.csv").write_text(line + "\n")
    assert told(lambda: list_elpv(tmp_path, incoming=0, seed=0)) == f"{tmp_path / 'labels.csv'}, {sentence}"


def test_a_source_without_a_path_is_refused(tmp_path: Path, make_product: Callable[..., Product]) -> None:
    product = make_product("mvtec")
    assert told(lambda: list_source(product, root=tmp_path, folder=None, scratch=tmp_path)) == (
        "products.part.source.path is missing: a source of kind mvtec needs it"
    )


def test_a_given_folder_takes_the_place_of_the_source(
    mvtec: Path, table: Path, make_product: Callable[..., Product]
) -> None:
    root = mvtec.parent
    relative = make_product("mvtec", source={"path": "bottle"})
    assert len(list_source(relative, root=root, folder=None, scratch=root).records) == 5
    assert len(list_source(make_product("elpv"), root=root, folder=mvtec, scratch=root).records) == 5
    by_folder = list_source(make_product("csv"), root=root, folder=table.parent, scratch=root)
    assert len(by_folder.records) == 4


def test_drawn_boards_are_parts_of_their_own_with_masks(tmp_path: Path, make_product: Callable[..., Product]) -> None:
    pytest.importorskip("zeromiss.images.pcba.product")
    product = make_product("pcba", source={"normals": 3, "defects": 2, "side": 128, "incoming": 3})
    listing = list_source(product, root=tmp_path, folder=None, scratch=tmp_path / "scratch")
    labels = [record.label for record in listing.records]
    assert (labels.count("normal"), labels.count("defect")) == (3, 2)
    assert len({record.part_id for record in listing.records}) == 5
    assert all((record.mask is not None) == (record.label == "defect") for record in listing.records)
    assert len(listing.incoming) == 3
    assert sum(name.endswith("_good.png") for _, name in listing.incoming) == 2
    assert listing.notes == ["3 more boards are drawn as images that nobody has judged, 1 of them defective"]
