"""A second ingest of an unchanged source opens nothing, and every kind of change is noticed."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from zeromiss.errors import ZeromissError
from zeromiss.images import ingest as room
from zeromiss.images import known as memory
from zeromiss.images.ingest import ingest
from zeromiss.images.unchanged import unchanged
from zeromiss.params import Product
from zeromiss.workspace import Workspace


@pytest.fixture(params=["mvtec", "csv", "elpv"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of source that is read from files."""
    return request.param


@pytest.fixture
def source(kind: str, tmp_path: Path, draw: Callable[..., Path], draw_mask: Callable[..., Path]) -> Path:
    """A source of that kind: normal images, and a defect with a mask where the kind has masks."""
    folder = tmp_path / "source"
    names = {
        "mvtec": ["train/good/000.png", "test/good/000.png", "test/dent/000.png"],
        "csv": ["a.png", "b.png", "c.png"],
        "elpv": ["images/a.png", "images/b.png", "images/c.png"],
    }[kind]
    for number, name in enumerate(names):
        draw(folder / name, number)
    if kind == "mvtec":
        draw_mask(folder / "ground_truth/dent/000_mask.png")
    elif kind == "csv":
        draw_mask(folder / "masks/c.png")
        (folder / "images.csv").write_text("path,label,mask\na.png,good,\nb.png,good,\nc.png,dent,masks/c.png\n")
    else:
        (folder / "labels.csv").write_text("images/a.png 0.0 mono\nimages/b.png 1.0 mono\nimages/c.png 0.3333333 mono\n")
    return folder


@pytest.fixture
def product(make_product: Callable[..., Product], kind: str, source: Path, monkeypatch: pytest.MonkeyPatch) -> Product:
    """A product with that source, whose files count as old from the first moment."""
    monkeypatch.setattr(memory, "SETTLED", -(10**18))
    return make_product(kind, source={"path": str(source / "images.csv" if kind == "csv" else source)})


def first_image(source: Path) -> Path:
    """Return an image of the source."""
    return next(path for path in sorted(source.rglob("*.png")) if "mask" not in str(path))


def test_nothing_is_opened_or_listed(product: Product, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unchanged(product, workspace, None) is None
    first = ingest(product, workspace)
    monkeypatch.setattr(room, "list_source", lambda *_, **__: pytest.fail("listed"))
    monkeypatch.setattr(room, "read_index", lambda *_: pytest.fail("read"))
    monkeypatch.setattr(memory, "work", lambda *_, **__: pytest.fail("hashed"))
    again = ingest(product, workspace)
    assert again == replace(first, added=0, known=first.added + first.known) == unchanged(product, workspace, None)


def test_a_young_source_is_not_relied_on(product: Product, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SETTLED", 10**12)
    ingest(product, workspace)
    assert unchanged(product, workspace, None) is None
    assert ingest(product, workspace).added == 0


@pytest.mark.parametrize("change", ["edited", "edited and set back", "gone", "renamed", "one more", "list", "other seed", "other source"])
def test_a_change_of_the_source_is_noticed(
    kind: str, product: Product, workspace: Workspace, source: Path, draw: Callable[..., Path], change: str
) -> None:
    ingest(product, workspace)
    path = first_image(source)
    asked, other, noticed = product, source / ("images.csv" if kind == "csv" else ""), True
    if change.startswith("edited"):
        stat = path.stat()
        path.write_bytes(bytes(path.stat().st_size))
        if change != "edited":
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif change == "gone":
        path.unlink()
    elif change == "renamed":
        path.rename(path.with_name("z.png"))
    elif change == "one more":
        draw(path.with_name("more.png"), 9)
        noticed = kind == "mvtec"  # elsewhere a list decides
    elif change == "list":
        for table in source.glob("*.csv"):
            table.write_text(table.read_text() + "\n")
        if kind == "mvtec":
            (source / "test/scratch").mkdir()
    elif change == "other seed":
        asked = product.model_copy(update={"seed": 5})
    else:
        shutil.copytree(source, source.with_name("other"))
        other = source.with_name("other") / ("images.csv" if kind == "csv" else "")
    assert (unchanged(asked, workspace, other if change == "other source" else None) is None) == noticed


@pytest.mark.parametrize("change", ["edited", "gone", "one more", "index", "mask", "incoming", "memory"])
def test_a_change_of_what_was_ingested_is_noticed(
    kind: str, product: Product, workspace: Workspace, change: str
) -> None:
    ingest(product, workspace)
    raw = workspace.raw("part")
    path = next(iter(sorted((raw / "images").rglob("*.png"))))
    if change == "edited":
        path.write_bytes(b"other")
    elif change == "gone":
        path.unlink()
    elif change == "one more":
        (raw / "images/more.png").write_bytes(b"more")
    elif change == "index":
        (raw / "index.csv").write_text((raw / "index.csv").read_text())
    elif change == "mask" and kind != "elpv":
        next(iter((raw / "masks").rglob("*.png"))).unlink()
    elif change == "incoming" and kind == "elpv":
        next(iter(workspace.incoming("part").iterdir())).unlink()
    elif change == "memory":
        shutil.rmtree(workspace.root / ".zeromiss")
    else:
        assert not (raw / "masks" if change == "mask" else workspace.incoming("part")).exists()
        (raw / change).mkdir()  # a folder without files is no change
        assert unchanged(product, workspace, None) is not None
        return
    assert unchanged(product, workspace, None) is None


def test_what_was_versioned_stays_known_when_images_join(
    kind: str, product: Product, workspace: Workspace, source: Path, draw: Callable[..., Path], tmp_path: Path
) -> None:
    """Taken over by links, which change a file's time of change: yet no raw file is read again."""
    ingest(product, workspace)
    draw(tmp_path / "more/train/good/new.png", 9)
    (tmp_path / "more/images.csv").write_text("path,label\ntrain/good/new.png,good\n")
    assert ingest(product, workspace, tmp_path / "more").added == 1
    known = memory.load(workspace, "part")
    raw = [str(path) for path in workspace.raw("part").rglob("*") if path.is_file()]
    assert all(known.of(path, md5=True) for path in raw)


def test_a_source_that_is_refused_is_refused_again(kind: str, product: Product, workspace: Workspace, source: Path) -> None:
    ingest(product, workspace)
    first_image(source).unlink()
    (source / "images.csv").unlink(missing_ok=True)
    (source / "labels.csv").unlink(missing_ok=True)
    if kind == "mvtec":
        shutil.rmtree(source / "train")
        shutil.rmtree(source / "test")
    for _ in range(2):
        with pytest.raises(ZeromissError):
            ingest(product, workspace)
