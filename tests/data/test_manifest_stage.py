"""The manifest stage from a raw folder: what it writes, and each thing that stops it with a page of the checks."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file
from zeromiss.images.manifest import COLUMNS, read_facts
from zeromiss.images.raw import Entry, index_text, read_index
from zeromiss.images.validate import check_images
from zeromiss.params import Product
from zeromiss.stages import manifest
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

RAW = Path("data/01_raw/part")


class Kept(NoLog):
    """A log that keeps its numbers."""

    def metrics(self, values: dict[str, float], *, step: int | None = None) -> None:
        """Keep them."""
        self.values = values


def rewrite(raw: Path, change: Callable[[Entry], Entry | None]) -> None:
    """Write the index anew with each entry changed, or left out."""
    (raw / "index.csv").write_text(index_text([new for entry in read_index(raw) if (new := change(entry))]))


def changed(entry: Entry, **values: str) -> Entry:
    """Return an entry with other values."""
    return replace(entry, **values)


@pytest.fixture
def raw(workspace: Workspace, draw: Callable[..., Path], draw_mask: Callable[..., Path]) -> Path:
    """A raw folder of 20 normal images (10 of a train folder) and 10 defects, the first with a mask."""
    folder, entries = workspace.raw("part"), []
    for number in range(30):
        label = "normal" if number < 20 else "defect"
        path = f"images/{label}{number:02d}.png"
        draw(folder / path, number)
        entries.append(
            Entry(
                path=path,
                label=label,
                defect_type="dent" if label == "defect" else "",
                part_id=f"p{number}",
                mask="masks/defect20.png" if number == 20 else "",
                source_split="train" if number < 10 else "test",
            )
        )
    draw_mask(folder / "masks/defect20.png")
    (folder / "index.csv").write_text(index_text(entries))
    return folder


@pytest.fixture
def product(make_product: Callable[..., Product]) -> Product:
    """A product with a mask of four images."""
    return make_product(manifest={"mask": 4}, seed=5)


def refusal(product: Product, workspace: Workspace) -> tuple[str, str]:
    """Run the stage; return the sentence without the page's place, and the page's text."""
    page = workspace.quality("part") / "manifest/index.html"
    with pytest.raises(ZeromissError) as caught:
        manifest.run(product, workspace, NoLog())
    sentence, _, place = str(caught.value).partition("; all checks are in ")
    assert place == str(page)
    assert not workspace.manifest("part").exists()
    return sentence, page.read_text(encoding="utf-8")


def test_the_manifest_holds_facts_and_splits(
    product: Product, workspace: Workspace, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Kept()
    manifest.run(product, workspace, log)
    rows = read_table(workspace.manifest("part") / "manifest.parquet", schema_version=2)
    assert tuple(rows.columns) == COLUMNS
    assert rows["sha256"].tolist() == [sha256_file(raw / path) for path in rows["path"]]
    assert set(rows["width"]) == {40} and set(rows["height"]) == {36} and set(rows["seed"]) == {5}
    assert rows.loc[rows["mask"].notna(), ["path", "mask"]].values.tolist() == [
        ["images/defect20.png", "masks/defect20.png"]
    ]
    expected = {
        "train": {"normal": 10, "defect": 0},
        "mask": {"normal": 4, "defect": 0},
        "abnormal": {"normal": 0, "defect": 0},
        "table": {"normal": 4, "defect": 8},
        "threshold": {"normal": 0, "defect": 0},
        "audit": {"normal": 2, "defect": 2},
    }
    written = json.loads((workspace.manifest("part") / "counts.json").read_text())
    assert written == {"schema_version": 1, "seed": 5, "counts": expected}
    assert log.values["table_defect"] == 8.0 and len(log.values) == 12
    assert capsys.readouterr().out == (
        "manifest: 10 normal images train, 4 make the mask, 4 and 8 defects are the metric table, "
        "2 and 2 defects are locked away\n"
        "near-duplicates: none of 30 images shows the part of another one again\n"
        "shortcuts: none of 7 trivial properties tells defects from normal images (AUC above 0.8), or training images from the table's (above 0.65)\n"
    )


def test_the_same_raw_folder_gives_the_same_manifest(product: Product, workspace: Workspace, raw: Path) -> None:
    outcomes = []
    for _ in range(2):
        manifest.run(product, workspace, NoLog())
        outcomes.append({path.name: sha256_file(path) for path in workspace.manifest("part").rglob("*.*")})
    assert outcomes[0] == outcomes[1]
    assert set(outcomes[0]) == {"manifest.parquet", "counts.json", "duplicates.json", "labels.json", "shortcuts.json", "properties.parquet", "align.json"}


def test_unseen_normal_images_are_put_aside_in_no_fixed_position_either(
    make_product: Callable[..., Product], workspace: Workspace, raw: Path
) -> None:
    """What is known of normal maps rests on them, mask or no mask."""
    product = make_product(metrics={"fixed_position": False}, manifest={"mask": 3})
    assert manifest.run(product, workspace, NoLog())["counts"]["mask"] == {"normal": 3, "defect": 0}


def test_the_page_of_checks_is_written_when_all_is_well(product: Product, workspace: Workspace, raw: Path) -> None:
    manifest.run(product, workspace, NoLog())
    page = (workspace.quality("part") / "manifest/index.html").read_text(encoding="utf-8")
    assert "Succeeded" in page and "100%" in page and "splits_of_part" in page
    assert "http" not in page and "<script" not in page


def test_an_unreadable_file_stops_the_run(product: Product, workspace: Workspace, raw: Path) -> None:
    path = raw / "images/normal03.png"
    path.write_bytes(path.read_bytes()[:-100])
    sentence, page = refusal(product, workspace)
    assert sentence == (
        f"{RAW}/images/normal03.png is damaged or truncated (its end marker is missing): replace or remove it"
    )
    assert "Failed" in page and "images/normal03.png" in page and "its end marker is missing" in page


def test_a_missing_file_stops_the_run(product: Product, workspace: Workspace, raw: Path) -> None:
    for name in ("normal03", "defect25"):
        (raw / f"images/{name}.png").unlink()
    assert refusal(product, workspace)[0] == (
        f"{RAW}/images/defect25.png is missing: put the file back or take it out of the list (and 1 more like it)"
    )


def test_a_wrong_label_stops_the_run(product: Product, workspace: Workspace, raw: Path) -> None:
    rewrite(raw, lambda entry: changed(entry, label="<good>") if entry.part_id == "p7" else entry)
    sentence, page = refusal(product, workspace)
    assert sentence == f"{RAW}/images/normal07.png has the label '<good>': it must be normal or defect"
    assert "&lt;good&gt;" in page


def test_an_image_without_a_part_stops_the_run(product: Product, workspace: Workspace, raw: Path) -> None:
    rewrite(raw, lambda entry: changed(entry, part_id="") if entry.part_id == "p7" else entry)
    sentence, _ = refusal(product, workspace)
    assert sentence == f"{RAW}/images/normal07.png has no part_id: name the part that it shows in the index"


def test_a_twice_listed_image_stops_the_run(product: Product, workspace: Workspace, raw: Path) -> None:
    (raw / "index.csv").write_text(index_text([*read_index(raw), read_index(raw)[0]]))
    sentence, _ = refusal(product, workspace)
    assert sentence.startswith(f"{RAW}/images/defect20.png is listed more than once: keep one of its lines")


@pytest.mark.parametrize(("mode", "name"), [("I;16", "I;16"), ("CMYK", "CMYK")])
def test_an_unsupported_mode_stops_the_run(
    product: Product, workspace: Workspace, raw: Path, mode: str, name: str
) -> None:
    pixels = np.full((36, 40), 7, dtype=np.uint16)
    image = Image.fromarray(pixels) if mode == "I;16" else Image.new(mode, (40, 36))
    image.save(raw / "images/normal03.png", format="TIFF")
    sentence, page = refusal(product, workspace)
    assert sentence == f"{RAW}/images/normal03.png has the mode {name}: save it as 8-bit grey or RGB"
    assert name in page


@pytest.mark.parametrize(("width", "height"), [(31, 40), (40, 31), (8193, 40)])
def test_a_size_out_of_bounds_stops_the_run(
    product: Product, workspace: Workspace, raw: Path, draw: Callable[..., Path], width: int, height: int
) -> None:
    draw(raw / "images/normal03.png", 3, width=width, height=height)
    assert refusal(product, workspace)[0] == (
        f"{RAW}/images/normal03.png is {width} x {height} pixels, a side must have 32 to 8192 "
        "(manifest.min_side, manifest.max_side): replace it"
    )


def test_a_missing_or_misfit_mask_stops_the_run(
    product: Product, workspace: Workspace, raw: Path, draw_mask: Callable[..., Path]
) -> None:
    draw_mask(raw / "masks/defect20.png", width=36, height=40)
    assert refusal(product, workspace)[0] == (
        f"{RAW}/images/defect20.png is 40 x 36 pixels but its mask masks/defect20.png is 36 x 40: "
        "draw the mask at the image's size"
    )
    (raw / "masks/defect20.png").unlink()
    assert refusal(product, workspace)[0] == (
        f"{RAW}/images/defect20.png names the mask masks/defect20.png, which is missing: "
        "restore it or take it out of the index"
    )


def test_the_same_content_under_two_labels_stops_the_run(product: Product, workspace: Workspace, raw: Path) -> None:
    shutil.copy(raw / "images/defect25.png", raw / "images/normal03.png")
    assert refusal(product, workspace)[0] == (
        f"{RAW}/images/defect25.png and {RAW}/images/normal03.png are the same image with the labels "
        "defect and normal: correct one of them"
    )


def test_the_same_content_in_two_splits_stops_the_run(product: Product, workspace: Workspace, raw: Path) -> None:
    manifest.run(product, workspace, NoLog())
    rows = read_table(workspace.manifest("part") / "manifest.parquet", schema_version=2)
    normal = rows[rows["label"] == "normal"].groupby("split")["path"].first()
    shutil.rmtree(workspace.manifest("part"))
    shutil.copy(raw / normal["train"], raw / normal["audit"])
    first, second = sorted([normal["train"], normal["audit"]])
    split = {normal["train"]: "train", normal["audit"]: "audit"}
    sentence, page = refusal(product, workspace)
    assert sentence == (
        f"{RAW}/{first} and {RAW}/{second} are the same image but lie in the splits {split[first]} and "
        f"{split[second]}: remove one of them, or give both the same part_id"
    )
    assert "splits_of_content" in page


def test_a_part_in_two_splits_stops_the_run(
    make_product: Callable[..., Product], workspace: Workspace, raw: Path
) -> None:
    product = make_product(manifest={"mask": 0, "split": "official", "audit": 0.0})
    rewrite(raw, lambda entry: changed(entry, part_id="p3") if entry.part_id == "p25" else entry)
    assert refusal(product, workspace)[0] == (
        f"{RAW}/images/defect25.png and {RAW}/images/normal03.png show the same part but lie in the splits "
        "table and train: keep a part in one folder, or set manifest.split to paper"
    )


def test_too_few_defects_for_the_umbrella_stop_the_run(workspace: Workspace, raw: Path, make_product: Callable[..., Product], capsys: pytest.CaptureFixture[str]) -> None:
    """Five of ten parts carry a target of 0.46 and not of 0.05: said before anything is trained."""
    sections = {"mask": 4, "threshold": 0.5}
    with pytest.raises(ZeromissError, match="a miss rate below 0.05 with 95 % confidence needs 59 defects, none missed; there are 5: .* manifest.threshold puts more aside"):
        manifest.run(make_product(manifest=sections, threshold={"rule": "umbrella", "target": 0.05}, seed=5), workspace, NoLog())
    found = manifest.run(make_product(manifest=sections, threshold={"rule": "umbrella", "target": 0.46}, seed=5), workspace, NoLog())
    assert found["counts"]["threshold"] == {"normal": 0, "defect": 5}
    assert "5 defects set the threshold and do nothing else, " in capsys.readouterr().out


@pytest.mark.parametrize("defects", [0, 1, 7])
def test_too_few_defects_stop_the_run(product: Product, workspace: Workspace, raw: Path, defects: int) -> None:
    rewrite(raw, lambda entry: entry if int(entry.part_id[1:]) < 20 + defects else None)
    assert refusal(product, workspace)[0] == (
        f"{RAW} holds {defects} image{'' if defects == 1 else 's'} with a defect and at least 8 are needed: "
        "add defects (manifest.min_defects sets how few will do)"
    )


def test_too_few_defects_in_the_table_stop_the_run(
    make_product: Callable[..., Product], workspace: Workspace, raw: Path
) -> None:
    product = make_product(manifest={"mask": 2, "audit": 0.7, "train": 0.2, "min_defects": 2})
    rewrite(raw, lambda entry: entry if int(entry.part_id[1:]) < 23 else None)
    assert refusal(product, workspace)[0] == (
        "only 1 image with a defect is left for the metric table and 2 are needed: lower manifest.audit or "
        "manifest.abnormal, or add defects"
    )


def test_a_broken_image_is_told_before_too_few_of_them(
    make_product: Callable[..., Product], workspace: Workspace, raw: Path
) -> None:
    product = make_product(manifest={"mask": 30})
    assert refusal(product, workspace)[0].startswith("manifest.mask asks for 30 normal images but 8 are left after")
    (raw / "images/normal03.png").write_bytes(b"")
    assert "normal03.png is not an image that can be read" in refusal(product, workspace)[0]


def test_a_refusal_leaves_an_earlier_manifest_alone(product: Product, workspace: Workspace, raw: Path) -> None:
    manifest.run(product, workspace, NoLog())
    before = {path.name: sha256_file(path) for path in workspace.manifest("part").rglob("*.*")}
    (raw / "images/normal03.png").write_bytes(b"")
    with pytest.raises(ZeromissError, match="normal03.png is not an image that can be read"):
        manifest.run(product, workspace, NoLog())
    assert {path.name: sha256_file(path) for path in workspace.manifest("part").rglob("*.*")} == before


def test_facts_are_of_the_upright_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (80, 40)).save(tmp_path / "a.jpg", exif=exif)
    entry = Entry(path="a.jpg", label="normal", defect_type="", part_id="a", mask="", source_split="")
    facts = read_facts(tmp_path, [entry]).iloc[0]
    assert (facts["width"], facts["height"], facts["mode"], facts["problem"]) == (40, 80, "L", "")


def test_an_image_below_32_pixels_is_refused_whatever_the_params_say(
    tmp_path: Path, make_product: Callable[..., Product]
) -> None:
    Image.new("L", (20, 40)).save(tmp_path / "a.png")
    entry = Entry(path="a.png", label="normal", defect_type="", part_id="a", mask="", source_split="")
    params = make_product(manifest={"min_side": 16}).manifest
    with pytest.raises(ZeromissError, match=r"raw/a\.png is 20 x 40 pixels, a side must have 32 to 8192"):
        check_images(read_facts(tmp_path, [entry]), None, params=params, docs=tmp_path / "docs", folder=Path("raw"))


def test_an_index_without_images_is_refused(product: Product, workspace: Workspace, raw: Path) -> None:
    (raw / "index.csv").write_text(index_text([]))
    with pytest.raises(ZeromissError) as caught:
        manifest.run(product, workspace, NoLog())
    assert str(caught.value) == f"{raw / 'index.csv'} names no images: ingest some"
