"""Defects that teach: how many are put aside, and every way to have one of them judged as well."""

import hashlib
import itertools
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from zeromiss.detectors.taught import FILE, JUDGED, read_taught, refuse_taught, refuse_taught_images
from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file, write_json
from zeromiss.images.raw import Entry, index_text
from zeromiss.images.split import assign_splits
from zeromiss.params import Product
from zeromiss.reports.composition import composition
from zeromiss.stage_params import ManifestParams
from zeromiss.stages import manifest
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace


def drawn(normals: int, **types: int | tuple[int, int]) -> pd.DataFrame:
    """Draw up `normals` normal images and, by type of defect, so many parts of one image or (parts, images a part)."""
    rows = [(f"n{number}.png", "normal", "", f"n{number}") for number in range(normals)]
    for kind, how_many in types.items():
        parts, shots = how_many if isinstance(how_many, tuple) else (how_many, 1)
        rows += [(f"{kind}{part}_{shot}.png", "defect", kind, f"{kind}{part}") for part in range(parts) for shot in range(shots)]
    return pd.DataFrame(rows, columns=["path", "label", "defect_type", "part_id"]).assign(source_split="")


def split_of(images: pd.DataFrame, *, seed: int = 0, mask: int = 5, **params: float) -> pd.Series:
    """Split the images with these values of the section manifest."""
    return assign_splits(images, params=ManifestParams(**params), mask=mask, seed=seed)


def defects(images: pd.DataFrame, split: pd.Series, name: str) -> dict[str, int]:
    """Count one split's defects by type."""
    return dict(sorted(Counter(images["defect_type"][(split == name) & (images["label"] == "defect")]).items()))


def test_the_solar_cells_are_shared_out_as_counted_by_hand() -> None:
    images = drawn(588, defect=313)
    split = split_of(images, mask=30, abnormal=0.2)
    # 62.6 is 63 for the audit and 63 of all 313 again to teach; 187 are left
    assert Counter(split[images["label"] == "defect"]) == {"audit": 63, "abnormal": 63, "table": 187}
    assert Counter(split[images["label"] == "normal"]) == {"train": 294, "audit": 59, "mask": 30, "table": 205}


def test_they_follow_the_audit_in_the_order_of_the_hashes() -> None:
    images = drawn(40, dent=20)
    split = split_of(images, seed=7, abnormal=0.25)
    rows = images.index[images["label"] == "defect"]
    order = sorted(rows, key=lambda row: hashlib.sha256(f"7:{images['part_id'][row]}".encode()).hexdigest())
    assert [split[row] for row in order] == ["audit"] * 4 + ["abnormal"] * 5 + ["table"] * 11


def test_every_type_teaches_its_share() -> None:
    images = drawn(40, bridge=30, crack=20, hole=10)
    split = split_of(images, abnormal=0.1)
    assert defects(images, split, "abnormal") == {"bridge": 3, "crack": 2, "hole": 1}
    assert defects(images, split, "audit") == {"bridge": 6, "crack": 4, "hole": 2}


def test_the_last_part_of_a_type_stays_in_the_table() -> None:
    # 32 defects, 16 to teach: of two holes the audit takes one, and the other must set the threshold
    images = drawn(40, bridge=30, hole=2)
    split = split_of(images, abnormal=0.5)
    assert defects(images, split, "audit")["hole"] == 1
    assert defects(images, split, "table")["hole"] == 1
    assert defects(images, split, "abnormal") == {"bridge": 15}  # half of thirty


def test_a_part_that_alone_shows_a_type_does_not_teach_whatever_else_it_shows() -> None:
    images = drawn(40, bridge=(20, 2))
    lone = images.index[images["path"].str.startswith("bridge") & images["path"].str.endswith("_1.png")]
    for row in lone:
        one = images.copy()
        one.loc[row, "defect_type"] = "crack"
        split = split_of(one, audit=0.0, abnormal=0.5)
        assert split[row] == "table"


def test_neither_audit_nor_normals_move_with_the_share() -> None:
    images = drawn(60, bridge=(12, 2), crack=9)
    none = split_of(images)
    assert "abnormal" not in set(none)
    for fraction in (0.1, 0.3, 0.5):
        split = split_of(images, abnormal=fraction)
        moved = split[split != none]
        assert set(none[moved.index]) == {"table"} and set(moved) == {"abnormal"}


def test_no_part_is_in_two_splits_whatever_the_seed() -> None:
    images = drawn(30, bridge=(9, 3), crack=(7, 2))
    second = images.index[images["path"].str.endswith("_1.png")]
    images.loc[second[:4], "label"], images.loc[second[:4], "defect_type"] = "normal", ""  # parts of both kinds
    for seed, fraction in itertools.product(range(30), (0.1, 0.25, 0.4)):
        split = split_of(images, seed=seed, abnormal=fraction)
        by_part = split.groupby(images["part_id"]).nunique()
        assert (by_part == 1).all()
        assert not set(split[images["label"] == "defect"]) & {"train", "mask"}


def test_the_thresholds_own_defects_are_a_plain_sample_of_parts() -> None:
    """The last of the order by hash, whatever their type; the audit set keeps its counts and loses no part but those drawn."""
    images = drawn(60, bridge=(12, 2), crack=8)
    without, split = split_of(images, seed=3), split_of(images, seed=3, threshold=0.5)
    parts = images.loc[images["label"] == "defect", "part_id"].unique()
    order = sorted(parts, key=lambda part: hashlib.sha256(f"3:{part}".encode()).hexdigest())
    assert set(images.loc[split == "threshold", "part_id"]) == set(order[10:])
    assert (split[images["label"] == "normal"] == without[images["label"] == "normal"]).all()
    assert defects(images, split, "audit") == defects(images, without, "audit")
    assert set(split[without == "audit"]) <= {"audit", "threshold"}
    assert (split.groupby(images["part_id"]).nunique() == 1).all()


def test_all_shares_of_the_defects_at_once() -> None:
    """Of 40 parts 12 set the threshold, 8 are locked away, 8 teach and 12 are left."""
    split = split_of(drawn(60, dent=40), threshold=0.3, abnormal=0.2)
    assert Counter(split)["threshold"] == 12 and Counter(split)["abnormal"] == 8
    assert defects(drawn(60, dent=40), split, "audit") == {"dent": 8} and defects(drawn(60, dent=40), split, "table") == {"dent": 12}


def test_official_takes_them_from_the_test_folder() -> None:
    images = drawn(60, dent=20)
    images["source_split"] = ["train"] * 40 + ["test"] * 40
    split = split_of(images, mask=4, split="official", abnormal=0.25)
    assert Counter(split[images["label"] == "defect"]) == {"audit": 4, "abnormal": 5, "table": 11}


@pytest.mark.parametrize(("fraction", "found"), [(0.01, 0), (0.05, 1)])
def test_too_few_to_teach_are_refused(fraction: float, found: int) -> None:
    with pytest.raises(ZeromissError) as caught:
        split_of(drawn(40, dent=20), abnormal=fraction)
    assert str(caught.value) == (
        f"manifest.abnormal {fraction} of 20 images with a defect gives {found} and at least 2 are needed: raise it, or add defects"
    )


def test_shares_that_leave_the_table_nothing_are_refused(make_product: Callable[..., Product]) -> None:
    with pytest.raises(ZeromissError, match="audit 0.5, abnormal 0.5 and threshold 0 leave the metric table no defect: lower one of them"):
        make_product(manifest={"audit": 0.5, "abnormal": 0.5})


def test_cyclegan_without_abnormal_images_is_refused(make_product: Callable[..., Product]) -> None:
    with pytest.raises(ZeromissError, match="detectors lists cyclegan, which learns from abnormal images too, and manifest.abnormal is 0: set it"):
        make_product(detectors=["cyclegan"])
    assert make_product(detectors=["cyclegan"], manifest={"abnormal": 0.2}).manifest.abnormal == 0.2
    assert make_product(manifest={"abnormal": 0.2}).detectors == ("vqgan",)  # others may be compared on the same images


def write_raw(workspace: Workspace, draw: Callable[..., Path], twins: dict[int, int] | None = None) -> Path:
    """Write 20 normal images and 20 defects; `twins` copies the bytes of one number under the name of another."""
    raw, entries = workspace.raw("part"), []
    for number in range(40):
        label = "normal" if number < 20 else "defect"
        path = f"images/{label}{number:02d}.png"
        source = (twins or {}).get(number)
        if source is None:
            draw(raw / path, number)
        else:
            shutil.copy(raw / f"images/{label}{source:02d}.png", raw / path)
        entries.append(
            Entry(path=path, label=label, defect_type="dent" if number >= 20 else "", part_id=f"p{number}", mask="", source_split="")
        )
    (raw / "index.csv").write_text(index_text(entries))
    return raw


def test_the_manifest_puts_them_aside_and_says_so(
    make_product: Callable[..., Product], workspace: Workspace, draw: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_raw(workspace, draw)
    found = manifest.run(make_product(manifest={"mask": 4, "abnormal": 0.25}), workspace, NoLog())
    assert found["counts"]["abnormal"] == {"normal": 0, "defect": 5}
    assert found["counts"]["table"]["defect"] == 11
    assert "4 make the mask, 5 defects teach what to redraw, 4 and 11 defects are the metric table" in capsys.readouterr().out
    rows = read_table(workspace.manifest("part") / "manifest.parquet", schema_version=2)
    assert [row["split"] for row in composition(rows)][2] == "abnormal: teaches what is to be redrawn"
    assert len(composition(rows[rows["split"] != "abnormal"])) == 5


def test_the_same_bytes_under_two_names_never_teach_and_judge(
    make_product: Callable[..., Product], workspace: Workspace, draw: Callable[..., Path]
) -> None:
    product = make_product(manifest={"mask": 4, "abnormal": 0.25})
    file = workspace.manifest("part") / "manifest.parquet"
    write_raw(workspace, draw)
    manifest.run(product, workspace, NoLog())
    rows = read_table(file, schema_version=2)
    first = {split: int(path[-6:-4]) for split, path in rows[rows["label"] == "defect"].groupby("split")["path"].first().items()}
    for judged in ("table", "audit"):
        source, copy = sorted((first["abnormal"], first[judged]))
        shutil.rmtree(workspace.root)
        write_raw(workspace, draw, {copy: source})
        with pytest.raises(ZeromissError, match="are the same image but lie in the splits .* remove one of them, or give both the same part_id"):
            manifest.run(product, workspace, NoLog())
        assert not file.exists()


ROWS = pd.DataFrame(
    [
        ("t0.png", "a", "p0", "train"), ("t1.png", "b", "p1", "train"), ("b0.png", "c", "p2", "abnormal"), ("m0.png", "d", "p3", "mask"),
        ("x0.png", "e", "p4", "table"), ("x1.png", "f", "p5", "table"), ("z0.png", "g", "p6", "audit"),
    ],
    columns=["path", "sha256", "part_id", "split"],
)  # fmt: skip
TAUGHT = {"vqgan": {"a", "b"}, "cyclegan": {"a", "b", "c"}}


def test_an_honest_manifest_passes() -> None:
    refuse_taught(TAUGHT, ROWS)


@pytest.mark.parametrize("split", JUDGED)
def test_a_taught_image_in_a_split_that_judges_is_refused(split: str) -> None:
    doctored = ROWS.assign(split=ROWS["split"].mask(ROWS["path"] == "b0.png", split))
    with pytest.raises(ZeromissError) as caught:
        refuse_taught(TAUGHT, doctored)
    assert str(caught.value) == (
        f"b0.png is in the split {split}, but cyclegan was taught with the very image: "
        "train cyclegan anew, or put the manifest back that it was trained with"
    )


def test_a_second_name_for_a_taught_image_is_refused() -> None:
    copies = pd.DataFrame([("y0.png", "c", "p8", "table"), ("y1.png", "c", "p9", "audit")], columns=ROWS.columns)
    with pytest.raises(ZeromissError, match=r"y0.png \(and 1 more like it\) is in the split table, but cyclegan was taught with the very image"):
        refuse_taught(TAUGHT, pd.concat([ROWS, copies], ignore_index=True))


def test_another_picture_of_a_taught_part_is_refused() -> None:
    other = pd.DataFrame([("y0.png", "h", "p2", "audit")], columns=ROWS.columns)
    with pytest.raises(ZeromissError, match="y0.png is in the split audit, but cyclegan was taught with the same part, p2: run the manifest stage"):
        refuse_taught(TAUGHT, pd.concat([ROWS, other], ignore_index=True))


@pytest.fixture
def fitted(make_product: Callable[..., Product], workspace: Workspace, draw: Callable[..., Path]) -> tuple[Workspace, pd.DataFrame]:
    """A raw folder, its manifest, and a detector's folder whose list names what taught it."""
    write_raw(workspace, draw)
    manifest.run(make_product(manifest={"mask": 4, "abnormal": 0.25}), workspace, NoLog())
    rows = read_table(workspace.manifest("part") / "manifest.parquet", schema_version=2)
    lists = {kind: rows.loc[rows["split"] == split, "sha256"].tolist() for kind, split in (("normal", "train"), ("abnormal", "abnormal"))}
    folder = workspace.detector("part", "cyclegan")
    folder.mkdir(parents=True)
    write_json(folder / FILE, lists, schema_version=1)
    return workspace, rows


def guard(workspace: Workspace, rows: pd.DataFrame) -> None:
    """Call the guard as the metrics stage does: the audit set stays closed."""
    folders = {"cyclegan": workspace.detector("part", "cyclegan")}
    refuse_taught_images(folders, rows, workspace.raw("part"), opened=("mask", "table"))


def test_what_lies_in_the_file_counts_not_what_the_manifest_says_of_it(fitted: tuple[Workspace, pd.DataFrame]) -> None:
    workspace, rows = fitted
    guard(workspace, rows)
    taught, judged = (rows.loc[(rows["split"] == split) & (rows["label"] == "defect"), "path"].iloc[0] for split in ("abnormal", "table"))
    shutil.copy(workspace.raw("part") / taught, workspace.raw("part") / judged)  # the manifest still tells the old hash
    with pytest.raises(ZeromissError, match=f"{judged} is in the split table, but cyclegan was taught with the very image"):
        guard(workspace, rows)


def test_a_manifest_that_moves_a_taught_image_and_lies_about_its_bytes_is_refused(fitted: tuple[Workspace, pd.DataFrame]) -> None:
    workspace, rows = fitted
    taught = rows.index[rows["split"] == "abnormal"][0]
    doctored = rows.copy()
    doctored.loc[taught, ["split", "sha256", "part_id"]] = ["table", "0" * 64, "another"]
    with pytest.raises(ZeromissError, match="is in the split table, but cyclegan was taught with the very image"):
        guard(workspace, doctored)
    doctored.loc[taught, ["split", "sha256"]] = ["audit", rows.loc[taught, "sha256"]]
    with pytest.raises(ZeromissError, match="is in the split audit"):
        guard(workspace, doctored)


def test_the_audit_set_is_opened_only_by_who_may(fitted: tuple[Workspace, pd.DataFrame]) -> None:
    workspace, rows = fitted
    audit = rows.loc[rows["split"] == "audit", "path"].iloc[0]
    (workspace.raw("part") / audit).unlink()
    guard(workspace, rows)
    with pytest.raises(ZeromissError, match="cannot be read .*: ingest the product anew"):
        refuse_taught_images({}, rows, workspace.raw("part"), opened=("audit",))


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (None, "is missing: run the stage that writes it"),
        ({"normal": ["a"]}, "does not list what taught the detector: train it anew"),
        ({"normal": ["a"], "abnormal": [1]}, "does not list what taught the detector: train it anew"),
    ],
)
def test_without_the_list_nothing_is_judged(tmp_path: Path, payload: dict | None, message: str) -> None:
    if payload is not None:
        write_json(tmp_path / FILE, payload, schema_version=1)
    with pytest.raises(ZeromissError, match=message):
        read_taught(tmp_path)


def test_the_list_is_of_both_kinds(tmp_path: Path) -> None:
    write_json(tmp_path / FILE, {"normal": ["a", "b"], "abnormal": ["c"]}, schema_version=1)
    assert read_taught(tmp_path) == {"a", "b", "c"}


def test_hashes_are_of_the_files(fitted: tuple[Workspace, pd.DataFrame]) -> None:
    workspace, rows = fitted
    one = rows[rows["split"] == "abnormal"].iloc[0]
    assert sha256_file(workspace.raw("part") / one["path"]) in read_taught(workspace.detector("part", "cyclegan"))
