"""References and designs: from the CSV file to the raw folder, its index and the splits, and the sentence for what is refused."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from zeromiss.errors import ZeromissError
from zeromiss.images.ingest import ingest
from zeromiss.images.raw import read_index
from zeromiss.images.references import Companion, indexed, refuse_gaps
from zeromiss.images.sources.csv import list_csv
from zeromiss.images.split import assign_splits
from zeromiss.params import Product
from zeromiss.stage_params import ManifestParams
from zeromiss.workspace import Workspace

HEAD = "path,label,part_id,reference,design"
LINES = ("a.png,normal,,cad/top.png,top", "b.png,normal,,cad/top.png,top", "c.png,scratch,,gold/top.png,side")


@pytest.fixture
def table(tmp_path: Path, draw: Callable[..., Path]) -> Callable[..., Path]:
    """Write a CSV file beside three images, two references of the same file name and an unused one."""

    def write(*lines: str, head: str = HEAD) -> Path:
        for number, name in enumerate(("a", "b", "c", "cad/top", "gold/top", "gold/other")):
            draw(tmp_path / f"{name}.png", number)
        (tmp_path / "list.csv").write_text("\n".join((head, *lines)))
        return tmp_path / "list.csv"

    return write


def told(call: Callable[[], object]) -> str:
    """Return the sentence that a call is refused with."""
    with pytest.raises(ZeromissError) as caught:
        call()
    return str(caught.value)


def test_a_csv_names_the_reference_and_design_of_each_image(table: Callable[..., Path], tmp_path: Path) -> None:
    found = [(record.reference, record.design) for record in list_csv(table(*LINES)).records]
    top = tmp_path / "cad/top.png"
    assert found == [(top, "top"), (top, "top"), (tmp_path / "gold/top.png", "side")]
    assert [(one.reference, one.design) for one in list_csv(table("a.png,normal", head="path,label")).records] == [(None, "")]


def test_a_reference_or_design_that_is_none_is_refused(table: Callable[..., Path], tmp_path: Path) -> None:
    assert "image a.png: the reference" in (missing := told(lambda: list_csv(table("a.png,normal,,no.png,x")))) and "no.png is missing" in missing
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert "is not an image that can be read" in told(lambda: list_csv(table("a.png,normal,,bad.png,x")))
    assert "line 2: the design '../up' is no name" in told(lambda: list_csv(table("a.png,normal,,,../up")))
    assert "the part p has the designs 'x' and 'y'" in told(lambda: list_csv(table("a.png,normal,p,,x", "b.png,normal,p,,y")))


def test_references_lie_once_in_the_raw_folder_and_its_index_names_them(
    table: Callable[..., Path], make_product: Callable[..., Product], workspace: Workspace, tmp_path: Path
) -> None:
    product = make_product("csv", source={"path": str(table(*LINES))})
    assert ingest(product, workspace).added == 3
    raw = workspace.raw("part")
    entries = {entry.path: entry for entry in read_index(raw)}
    first, second, other = (entries[f"images/{name}.png"] for name in "abc")
    assert first.reference == second.reference == "references/top.png" and (first.design, other.design) == ("top", "side")
    assert (raw / first.reference).read_bytes() == (tmp_path / "cad/top.png").read_bytes()
    assert (raw / other.reference).read_bytes() == (tmp_path / "gold/top.png").read_bytes()
    assert sorted(file.name for file in (raw / "references").iterdir()) == sorted(Path(one.reference).name for one in (first, other))
    assert indexed(raw / "images/c.png") == Companion(reference=raw / other.reference, design="side")
    assert indexed(tmp_path / "a.png") == Companion()
    assert ingest(product, workspace).added == 0
    table(*LINES[:2], LINES[2].replace("gold/top", "gold/other"))
    assert "is known as" in (changed := told(lambda: ingest(product, workspace))) and "with another reference or design" in changed


def test_gaps_and_references_that_are_images_are_refused_and_nothing_is_written(
    table: Callable[..., Path], make_product: Callable[..., Product], workspace: Workspace
) -> None:
    def refused(*lines: str, **more: object) -> str:
        """Return the sentence for a CSV file of these lines."""
        return told(lambda: ingest(make_product("csv", source={"path": str(table(*lines))}, **more), workspace))

    assert "b.png has no design and other images have one" in refused("a.png,normal,,,x", "b.png,normal")
    lacking = refused("a.png,normal,,cad/top.png", "b.png,normal", detectors=["patchknn", "reference"])
    assert lacking.startswith("b.png has no reference, and the detector reference compares every image with its own")
    assert "b.png is also the image" in refused("a.png,normal,,b.png", "b.png,normal,,cad/top.png")
    assert not workspace.raw("part").exists()


def test_some_references_are_enough_where_no_detector_needs_them(make_product: Callable[..., Product]) -> None:
    refuse_gaps([("a", "r", ""), ("b", "", "")], make_product("csv"))


def test_each_design_is_on_every_side_of_the_split() -> None:
    rows = [(f"{kind}{design}{n}", kind, design) for design, size in (("x", 40), ("y", 8)) for kind in ("normal", "dent", "hole") for n in range(size)]
    images = pd.DataFrame([(name, "normal" if kind == "normal" else "defect", "" if kind == "normal" else kind, design) for name, kind, design in rows])
    images.columns = ["path", "label", "defect_type", "design"]
    images = images.assign(part_id=images["path"], source_split="")
    split = assign_splits(images, params=ManifestParams(train=0.5, mask=6, audit=0.25), mask=6, seed=3)
    normal = images["label"] == "normal"
    assert Counter(images["design"][normal & (split == "train")]) == {"x": 20, "y": 4}
    assert Counter(images["design"][normal & (split == "audit")]) == {"x": 5, "y": 1}
    assert Counter(images["design"][normal & (split == "mask")]) == {"x": 5, "y": 1}
    for kind in ("dent", "hole"):
        assert Counter(images["design"][(images["defect_type"] == kind) & (split == "audit")]) == {"x": 10, "y": 2}
    few = images[~normal | (images["design"] == "x") | (images["path"] == "normaly0")]
    assert "the design 'y' has 1 normal image, none of which is left for the split" in told(
        lambda: assign_splits(few, params=ManifestParams(train=0.5, mask=6, audit=0.25), mask=6, seed=3)
    )
    torn = images.assign(part_id="one")
    assert "a part has one design" in told(lambda: assign_splits(torn, params=ManifestParams(), mask=0, seed=0))
