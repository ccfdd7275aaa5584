"""Ingest: the raw folder that comes out, what a second one changes, and what a killed one leaves."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from zeromiss.errors import ZeromissError
from zeromiss.images import ingest as room
from zeromiss.images.ingest import ingest
from zeromiss.images.raw import Entry, index_text, read_index
from zeromiss.params import Product
from zeromiss.workspace import Workspace


def snapshot(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return the bytes, the inode and the time of change of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder."""
    return {name: data for name, (data, _, _) in snapshot(folder).items()}


@pytest.fixture
def source(tmp_path: Path, draw: Callable[..., Path], draw_mask: Callable[..., Path]) -> Path:
    """Two normal images and one defect with its mask."""
    folder = tmp_path / "bottle"
    for number, name in enumerate(["train/good/000", "test/good/000", "test/dent/000"]):
        draw(folder / f"{name}.png", number)
    draw_mask(folder / "ground_truth/dent/000_mask.png")
    return folder


@pytest.fixture
def product(make_product: Callable[..., Product], source: Path) -> Product:
    """A product whose source is that folder."""
    return make_product("mvtec", source={"path": str(source)})


def test_the_raw_folder_holds_the_bytes_of_the_source_and_an_index(
    product: Product, workspace: Workspace, source: Path
) -> None:
    report = ingest(product, workspace)
    assert (report.added, report.known, report.normals, report.defects, report.changed) == (3, 0, 2, 1, True)
    raw = workspace.raw("part")
    assert report.lines() == [f"3 images added, 0 already there: 2 normal and 1 defective in {raw}"]
    assert contents(raw) == {
        "images/test/dent/000.png": (source / "test/dent/000.png").read_bytes(),
        "images/test/good/000.png": (source / "test/good/000.png").read_bytes(),
        "images/train/good/000.png": (source / "train/good/000.png").read_bytes(),
        "masks/test/dent/000_mask.png": (source / "ground_truth/dent/000_mask.png").read_bytes(),
        "index.csv": (
            b"path,label,defect_type,part_id,mask,source_split\n"
            b"images/test/dent/000.png,defect,dent,test/dent/000,masks/test/dent/000_mask.png,test\n"
            b"images/test/good/000.png,normal,,test/good/000,,test\n"
            b"images/train/good/000.png,normal,,train/good/000,,train\n"
        ),
    }


def test_a_second_ingest_changes_nothing_on_disk(product: Product, workspace: Workspace) -> None:
    ingest(product, workspace)
    before = snapshot(workspace.root)
    report = ingest(product, workspace)
    assert (report.added, report.known, report.changed) == (0, 3, False)
    assert snapshot(workspace.root) == before


def test_the_same_source_gives_the_same_bytes_elsewhere(product: Product, workspace: Workspace, tmp_path: Path) -> None:
    ingest(product, workspace)
    other = Workspace(root=tmp_path / "elsewhere")
    ingest(product, other)
    assert contents(workspace.raw("part")) == contents(other.raw("part"))


def test_the_source_is_only_read(product: Product, workspace: Workspace, source: Path) -> None:
    before = snapshot(source)
    ingest(product, workspace)
    assert snapshot(source) == before


def test_new_images_are_added_to_those_that_are_there(
    product: Product, workspace: Workspace, source: Path, draw: Callable[..., Path], tmp_path: Path
) -> None:
    ingest(product, workspace)
    before = contents(workspace.raw("part"))
    shutil.copytree(source, tmp_path / "more")
    draw(tmp_path / "more/test/dent/001.png", 7)
    shutil.copy(source / "ground_truth/dent/000_mask.png", tmp_path / "more/ground_truth/dent/001_mask.png")
    (tmp_path / "more/train/good/000.png").unlink()
    report = ingest(product, workspace, tmp_path / "more")
    assert (report.added, report.known, report.normals, report.defects) == (1, 2, 2, 2)
    after = contents(workspace.raw("part"))
    assert set(after) - set(before) == {"images/test/dent/001.png", "masks/test/dent/001_mask.png"}
    assert all(after[name] == data for name, data in before.items() if name != "index.csv")


def test_another_image_of_the_same_name_keeps_both(
    product: Product, workspace: Workspace, draw: Callable[..., Path], tmp_path: Path
) -> None:
    ingest(product, workspace)
    draw(tmp_path / "more/train/good/000.png", 8)
    ingest(product, workspace, tmp_path / "more")
    names = [(entry.path, entry.part_id) for entry in read_index(workspace.raw("part")) if "train" in entry.path]
    assert len(names) == 2 and names[1] == ("images/train/good/000.png", "train/good/000")
    assert names[0][0] == f"images/{names[0][1]}.png"
    assert len(names[0][1]) == len("train/good/000-12345678")


def test_files_that_differ_in_their_ending_alone_keep_their_own_masks(
    make_product: Callable[..., Product],
    workspace: Workspace,
    draw: Callable[..., Path],
    draw_mask: Callable[..., Path],
    tmp_path: Path,
) -> None:
    for number, name in enumerate(["a.png", "a.bmp"]):
        draw(tmp_path / "csv" / name, number)
        draw_mask(tmp_path / "csv" / f"m{number}.png")
    (tmp_path / "csv/labels.csv").write_text("path,label,mask\na.png,dent,m0.png\na.bmp,dent,m1.png\n")
    ingest(make_product("csv"), workspace, tmp_path / "csv")
    entries = read_index(workspace.raw("part"))
    assert len({entry.mask for entry in entries}) == len({entry.part_id for entry in entries}) == 2


def test_the_same_content_twice_in_a_source_comes_once(
    product: Product, workspace: Workspace, source: Path
) -> None:
    shutil.copy(source / "train/good/000.png", source / "test/good/009.png")
    report = ingest(product, workspace)
    assert (report.added, report.known, report.normals) == (3, 1, 2)


def test_the_same_content_under_two_labels_is_refused(product: Product, workspace: Workspace, source: Path) -> None:
    ingest(product, workspace)
    before = snapshot(workspace.root)
    good, dent = source / "test/good/001.png", workspace.raw("part") / "images/test/dent/000.png"
    shutil.copy(source / "test/dent/000.png", good)
    (source / "test/dent/000.png").unlink()
    with pytest.raises(ZeromissError) as caught:
        ingest(product, workspace)
    assert str(caught.value) == (
        f"{good} is labelled normal but has the same content as {dent}, which is labelled defect: "
        "correct one of the labels"
    )
    assert snapshot(workspace.root) == before


def test_a_raw_folder_that_lost_a_file_is_refused(product: Product, workspace: Workspace) -> None:
    ingest(product, workspace)
    lost = workspace.raw("part") / "masks/test/dent/000_mask.png"
    lost.unlink()
    with pytest.raises(ZeromissError) as caught:
        ingest(product, workspace)
    assert str(caught.value) == f"{lost} is missing but its index names it: restore it with dvc checkout"


def test_a_full_disk_is_noticed_before_anything_is_written(
    product: Product, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage(1 << 30, (1 << 30) - (5 << 20), 5 << 20))
    with pytest.raises(ZeromissError) as caught:
        ingest(product, workspace)
    assert str(caught.value) == (
        f"the disk of {workspace.raw('part').parent} has 5 MiB free and this ingest "
        "(the images, and the copy that DVC keeps) needs 65 MiB: make room, nothing was changed"
    )
    assert not list(workspace.raw("part").parent.iterdir())


def test_an_ingest_that_fails_midway_leaves_the_old_state(
    product: Product, workspace: Workspace, source: Path, draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(product, workspace)
    before = contents(workspace.root)
    draw(source / "train/good/001.png", 11)
    monkeypatch.setattr(room.Staging, "write", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        ingest(product, workspace)
    assert contents(workspace.root) == before


KILLED = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from zeromiss.images.ingest import ingest
    from zeromiss.images import staging
    from zeromiss.params import resolve_product
    from zeromiss.workspace import Workspace

    moment, source, root = sys.argv[1:]
    die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    if moment == "before the index":
        staging.Staging.write = die
    elif moment == "before the swap":
        staging.Staging.swap = die
    else:
        rename = Path.rename
        Path.rename = lambda self, place: die() if self.name.endswith("staging") else rename(self, place)
    entry = {"source": {"kind": "mvtec", "path": source}}
    tree = {"profiles": {"quick": {}}, "products": {"part": entry}}
    ingest(resolve_product(tree, "part", origin=Path("params.yaml")), Workspace(root=Path(root)))
    """
)


@pytest.mark.parametrize("moment", ["before the index", "before the swap", "within the swap"])
def test_the_next_ingest_mends_what_a_killed_one_left(
    product: Product, workspace: Workspace, source: Path, draw: Callable[..., Path], moment: str, tmp_path: Path
) -> None:
    ingest(product, workspace)
    before = contents(workspace.raw("part"))
    draw(source / "train/good/001.png", 11)
    command = [sys.executable, "-c", KILLED, moment, str(source), str(workspace.root)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    if moment != "within the swap":
        assert contents(workspace.raw("part")) == before
    assert len(os.listdir(workspace.raw("part").parent)) == 2
    report = ingest(product, workspace)
    assert (report.added, report.known) == (1, 3)
    assert os.listdir(workspace.raw("part").parent) == ["part"]
    fresh = Workspace(root=tmp_path / "fresh")
    ingest(product, fresh)
    assert contents(workspace.raw("part")) == contents(fresh.raw("part"))


def test_unsure_solar_cells_go_to_the_incoming_folder_once(
    make_product: Callable[..., Product], workspace: Workspace, draw: Callable[..., Path], tmp_path: Path
) -> None:
    grades = ["0.0", "1.0", "0.3333333333333333", "0.6666666666666666"]
    for number in range(4):
        draw(tmp_path / f"cells/images/c{number}.png", number)
    lines = [f"images/c{number}.png {grade} mono" for number, grade in enumerate(grades)]
    (tmp_path / "cells/labels.csv").write_text("\n".join(lines))
    product = make_product("elpv", source={"path": str(tmp_path / "cells")})
    report = ingest(product, workspace)
    assert (report.incoming, len(report.notes)) == (2, 1)
    incoming = workspace.incoming("part")
    assert sorted(os.listdir(incoming)) == ["c2_p033.png", "c3_p067.png"]
    (incoming / "mine.png").write_bytes(b"kept")
    before = snapshot(workspace.root)
    ingest(product, workspace)
    assert snapshot(workspace.root) == before


def test_an_unreadable_image_is_ingested_for_the_manifest_to_judge(
    product: Product, workspace: Workspace, source: Path
) -> None:
    (source / "train/good/broken.png").write_bytes(b"not an image")
    assert ingest(product, workspace).added == 4
    assert (workspace.raw("part") / "images/train/good/broken.png").read_bytes() == b"not an image"


def test_an_index_is_read_as_it_was_written(tmp_path: Path) -> None:
    entries = [
        Entry(path=f"images/{name}", label="defect", defect_type="a, b", part_id='say "x"', mask="", source_split="")
        for name in ("b.png", "a.png")
    ]
    (tmp_path / "index.csv").write_text(index_text(entries), encoding="utf-8")
    assert read_index(tmp_path) == sorted(entries)


def test_a_missing_or_foreign_index_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    with pytest.raises(ZeromissError) as caught:
        read_index(tmp_path)
    assert str(caught.value) == f"{path} is missing: ingest the product's images, or fetch them with dvc pull"
    path.write_text("path,label\n")
    with pytest.raises(ZeromissError, match="must have the columns path, label, defect_type, part_id, mask, so"):
        read_index(tmp_path)
    path.write_text("path,label,defect_type,part_id,mask,source_split\nimages/a.png,normal\n")
    with pytest.raises(ZeromissError, match="line 2: expected 6 values: mend the line"):
        read_index(tmp_path)


def test_boards_are_drawn_once(
    make_product: Callable[..., Product], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zeromiss.images.pcba import product as boards

    drawn, write = [], boards.write_boards
    monkeypatch.setattr(boards, "write_boards", lambda folder, **given: (drawn.append(given), write(folder, **given)))
    few = {"normals": 2, "defects": 2, "side": 96, "incoming": 2}
    first = ingest(make_product("pcba", source=few), workspace)
    before = snapshot(workspace.root)
    second = ingest(make_product("pcba", source=few), workspace)
    assert ((first.added, first.known), (second.added, second.known)) == ((4, 0), (0, 4))
    assert len(drawn) == 2 and snapshot(workspace.root) == before
    third = ingest(make_product("pcba", source={**few, "normals": 3}), workspace)
    assert len(drawn) == 4 and third.normals >= 3
    os.unlink(next(workspace.incoming("part").iterdir()))
    ingest(make_product("pcba", source={**few, "normals": 3}), workspace)
    assert len(drawn) == 6 and len(os.listdir(workspace.incoming("part"))) >= 2
