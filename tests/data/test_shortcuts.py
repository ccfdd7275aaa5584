"""Planted shortcuts are found on drawn boards and drawn images, and none where none was planted."""

import hashlib
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from zeromiss.images import shortcuts
from zeromiss.images.pcba.board import draw_board
from zeromiss.images.pcba.defects import DEFECTS
from zeromiss.images.raw import Entry, index_text
from zeromiss.images.shortcuts import find_shortcuts, read_properties
from zeromiss.images.telling import auc_interval, tell
from zeromiss.images.traits import picture_traits, read
from zeromiss.params import Product
from zeromiss.stages import manifest
from zeromiss.stages.base import NoLog
from zeromiss.workspace import Workspace

LIMITS = {"label": 0.8, "split": 0.65}
EACH = 24  # boards a group
Change = Callable[[str, np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def boards() -> dict[str, list[np.ndarray]]:
    """Drawn boards: 24 that train, 24 normal ones and 24 defects of the table."""
    numbers = count(71_000)
    kinds = {"train": [None] * EACH, "normal": [None] * EACH, "defect": [DEFECTS[index % len(DEFECTS)] for index in range(EACH)]}
    return {group: [draw_board(seed=next(numbers), side=64, defect=kind).image_HWC for kind in of] for group, of in kinds.items()}


@pytest.fixture
def found(boards: dict[str, list[np.ndarray]], tmp_path: Path) -> Callable[..., dict]:
    """Write the boards, changed by group, and look for shortcuts; `save` gives the format's options by group."""

    def look(change: Change = lambda group, image: image, *, suffix: str = ".png", save: Callable[[str], dict] = lambda group: {}) -> dict:
        return find_shortcuts(read_properties(written(boards, tmp_path, change, suffix, save), tmp_path), limits=LIMITS)

    return look


def written(boards: dict, folder: Path, change: Change, suffix: str, save: Callable[[str], dict]) -> pd.DataFrame:
    """Write images and return the manifest's rows."""
    rows = []
    for group, images in boards.items():
        for number, image_HW3 in enumerate(images):
            path = f"images/{group}_{number:02d}{suffix}"
            (folder / "images").mkdir(exist_ok=True)
            Image.fromarray(change(group, image_HW3)).save(folder / path, **save(group))
            rows.append(row(folder, path, group))
    return pd.DataFrame(rows)


def row(folder: Path, path: str, group: str, part: str = "") -> dict[str, str]:
    """One row of a manifest."""
    return {
        "path": path,
        "sha256": hashlib.sha256((folder / path).read_bytes()).hexdigest(),
        "label": "defect" if group == "defect" else "normal",
        "defect_type": "dent" if group == "defect" else "",
        "part_id": part or path,
        "split": group if group in ("train", "audit") else "table",
    }


def names(content: dict) -> set[tuple[str, str]]:
    """The findings as (property, question)."""
    return {(finding["property"], finding["question"]) for finding in content["findings"]}


def darker(*groups: str) -> Change:
    """Take a quarter of the light from some groups."""
    return lambda group, image: np.rint(image * 0.75).astype(np.uint8) if group in groups else image


def test_boards_without_a_shortcut_have_none(found: Callable[..., dict]) -> None:
    content = found()
    assert names(content) == set() and not any(check["found"] for check in content["checked"])
    assert len(content["checked"]) == 14  # 7 properties, both questions: no JPEG, no time stamp, no folder, one size
    assert content["limit"] == 0.8 and content["split_limit"] == 0.65
    assert content["sentence"] == "none of 7 trivial properties tells defects from normal images (AUC above 0.8), or training images from the table's (above 0.65)"


def test_darker_defects_are_found_with_pairs_to_look_at(found: Callable[..., dict], boards: dict, tmp_path: Path) -> None:
    content = found(darker("defect"))
    assert ("brightness", "label") in names(content) and not any(question == "split" for _, question in names(content))
    finding = next(one for one in content["findings"] if one["property"] == "brightness")
    values = {group: [picture_traits(darker("defect")(group, image))[0] for image in boards[group]] for group in ("defect", "normal")}
    label = np.repeat([1, 0], EACH)
    area = roc_auc_score(label, values["defect"] + values["normal"])
    assert finding["auc"] == pytest.approx(max(area, 1 - area), abs=1e-12)
    assert 0.8 < finding["low"] < finding["auc"] <= finding["high"] <= 1.0
    assert finding["sentence"] == (
        f"brightness alone tells defects from normal images with AUC {finding['auc']:.2f} ({finding['low']:.2f} to "
        f"{finding['high']:.2f}, 24 against 24 images): a detector may learn the lamp, not the defect"
    )
    assert content["sentence"].startswith(content["findings"][0]["sentence"])
    medians = {group: np.median(of) for group, of in values.items()}
    assert len(finding["pairs"]) == 3
    for pair in finding["pairs"]:
        assert "defect_" in pair["a"] and "normal_" in pair["b"] and (tmp_path / pair["a"]).is_file()
        closer = sum(abs(value - medians["defect"]) < abs(pair["value_a"] - medians["defect"]) for value in values["defect"])
        assert closer < 3 and pair["value_a"] < pair["value_b"]


def test_darker_test_images_are_found_as_another_split(found: Callable[..., dict]) -> None:
    content = found(darker("normal", "defect"))
    assert ("brightness", "split") in names(content) and ("brightness", "label") not in names(content)
    finding = next(one for one in content["findings"] if one["property"] == "brightness")
    assert finding["sentence"].startswith("brightness alone tells training images from the table's normal images with AUC ")
    assert finding["sentence"].endswith(": a detector may take the lamp for a defect")


def test_another_jpeg_quality_is_found(found: Callable[..., dict]) -> None:
    same = found(suffix=".jpg", save=lambda group: {"quality": 85})
    assert names(same) == set() and not any(check["property"] == "jpeg_step" for check in same["checked"])
    content = found(suffix=".jpg", save=lambda group: {"quality": 60 if group == "defect" else 85})
    assert {("jpeg_step", "label"), ("file_size", "label")} <= names(content)
    assert content["findings"][0]["low"] == max(one["low"] for one in content["findings"])


def test_another_size_is_found(found: Callable[..., dict]) -> None:
    content = found(lambda group, image: cv2.resize(image, (100, 100)) if group == "defect" else image)
    assert ("resolution", "label") in names(content)
    assert "bytes_per_pixel" in {check["property"] for check in content["checked"]}


def test_another_focus_and_another_colour_are_found(found: Callable[..., dict]) -> None:
    assert ("sharpness", "label") in names(found(lambda group, image: cv2.blur(image, (3, 3)) if group == "defect" else image))
    yellow = np.array([1.0, 1.0, 0.85])
    content = found(lambda group, image: np.rint(image * yellow).astype(np.uint8) if group == "train" else image)
    assert ("blue", "split") in names(content)


def test_time_stamps_are_read_and_found(found: Callable[..., dict]) -> None:
    clock = {group: count(10) for group in ("train", "normal", "defect")}
    day = {"train": 3, "normal": 3, "defect": 4}

    def stamped(group: str) -> dict:
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = f"2024:05:{day[group]:02d} 08:{next(clock[group]):02d}:00"
        return {"exif": exif, "quality": 85}

    content = found(suffix=".jpg", save=stamped)
    assert names(content) == {("time_stamp", "label")}
    pair = content["findings"][0]["pairs"][0]
    assert pair["value_a"] - pair["value_b"] == 86_400.0


def test_audit_images_are_never_read(boards: dict, tmp_path: Path) -> None:
    rows = written(boards, tmp_path, lambda group, image: image, ".png", lambda group: {})
    unseen = [{**dict(rows.iloc[0]), "path": "images/not_there.png", "split": split, "part_id": split} for split in ("audit", "mask")]
    with_audit = read_properties(pd.concat([rows, pd.DataFrame(unseen)], ignore_index=True), tmp_path)
    pd.testing.assert_frame_equal(with_audit, read_properties(rows, tmp_path))


@pytest.fixture
def grey(tmp_path: Path) -> Callable[..., dict]:
    """Write grey squares, each given by path, group, part and brightness, and look for shortcuts."""

    def look(images: list[tuple[str, str, str, int]]) -> dict:
        for path, _, _, value in images:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (32, 32), value).save(tmp_path / path)
        rows = pd.DataFrame([row(tmp_path, path, group, part) for path, group, part, _ in images])
        return find_shortcuts(read_properties(rows, tmp_path), limits=LIMITS)

    return look


def of(content: dict, name: str, question: str = "label") -> dict:
    """The check of one property."""
    return next(check for check in content["checked"] if (check["property"], check["question"]) == (name, question))


def test_a_folder_that_tells_the_label_is_found(grey: Callable[..., dict]) -> None:
    images = [(f"images/left/d{n}.png", "defect", "", 100 + n) for n in range(40)]
    images += [(f"images/right/n{n}.png", "normal", "", 100 + n) for n in range(40)] + [("images/left/n.png", "normal", "", 100)]
    content = grey(images)
    # 40 defects in `left` with one normal image (a tie), 40 normal ones in `right`: (40 * 40 + 40 / 2) / (40 * 41)
    assert of(content, "folder")["auc"] == pytest.approx(1620 / 1640) and names(content) == {("folder", "label")}


def test_folders_that_lay_out_the_labels_say_nothing(grey: Callable[..., dict]) -> None:
    laid_out = [(f"images/test/dent/{n}.png", "defect", "", 100 + n) for n in range(30)]
    laid_out += [(f"images/test/good/{n}.png", "normal", "", 100 + n) for n in range(30)]
    named = [(path.replace("dent", "nok").replace("good", "ok"), *rest) for path, *rest in laid_out]
    for images in (laid_out, named):
        assert "folder" not in {check["property"] for check in grey(images)["checked"]}


def test_images_of_a_part_count_once(grey: Callable[..., dict]) -> None:
    images = [(f"images/d{n}.png", "defect", f"d{n // 10}", 120 + n // 10) for n in range(40)]
    images += [(f"images/n{n}.png", "normal", f"n{n // 10}", 100 + n // 10) for n in range(40)]
    check = of(grey(images), "brightness")
    assert (check["auc"], check["n_a"], check["n_b"]) == (1.0, 4, 4)
    assert not check["found"]  # four parts against four come apart by chance too often to say so


def test_of_many_images_a_sample_is_read(grey: Callable[..., dict], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcuts, "SAMPLE", 20)
    images = [(f"images/{group}{n}.png", group, "", 100 + n) for group in ("defect", "normal", "train") for n in range(40)]
    content = grey(images)
    assert {(check["n_a"], check["n_b"]) for check in content["checked"]} == {(20, 20)}


def test_the_area_agrees_with_scikit_learn_and_scipy() -> None:
    rng = np.random.default_rng(4)
    a, b = np.round(rng.normal(0.4, 1.0, 57), 1), np.round(rng.normal(0.0, 1.0, 83), 1)  # rounded: ties
    told = tell(a, b, confidence=0.95)
    area = roc_auc_score(np.repeat([1, 0], [57, 83]), np.concatenate((a, b)))
    assert told.auc == pytest.approx(area) == pytest.approx(mannwhitneyu(a, b).statistic / (57 * 83))
    swapped = tell(b, a, confidence=0.95)
    assert (swapped.auc, swapped.n_a) == (pytest.approx(area), 83)


def test_the_interval_holds_what_it_promises() -> None:
    rng = np.random.default_rng(11)
    truth = 0.921350396  # P(Z > -2 / sqrt(2)): the area between normal distributions two standard deviations apart
    inside = 0
    for _ in range(400):
        told = tell(rng.normal(2.0, 1.0, 30), rng.normal(0.0, 1.0, 20), confidence=0.9)
        inside += told.low <= truth <= told.high
    assert 0.87 <= inside / 400 <= 0.97


def test_the_interval_of_a_perfect_area_is_no_point() -> None:
    low, high = auc_interval(1.0, 10, 10, confidence=0.95)
    assert high == 1.0
    # at its low end the area 1 lies 1.96 standard errors away: Hanley and McNeil's formula by hand, both groups of 10
    variance = low * (1 - low) * (1 + 9 * (1 - low) / (2 - low) + 9 * low / (1 + low)) / 100
    assert (1 - low) / np.sqrt(variance) == pytest.approx(1.959964, abs=1e-5)
    assert auc_interval(1.0, 100, 100, confidence=0.95)[0] > low > auc_interval(1.0, 10, 10, confidence=0.999)[0]
    assert auc_interval(0.0, 10, 10, confidence=0.95) == pytest.approx((0.0, 1.0 - low))


def test_traits_by_hand(tmp_path: Path) -> None:
    flat = np.zeros((64, 64, 3), np.uint8)
    flat[...] = (60, 40, 30)
    brightness, contrast, sharpness, red, blue = picture_traits(flat)
    assert brightness == pytest.approx(45 / 255) and contrast == sharpness == 0.0  # 0.299 * 60 + 0.587 * 40 + 0.114 * 30 = 44.8
    assert (red, blue) == (pytest.approx(20 / 255), pytest.approx(-10 / 255))
    spoiled = flat.copy()
    spoiled[:24, :24] = 255  # a large defect: 9 of the 64 fields
    assert picture_traits(spoiled) == picture_traits(flat)
    checks = np.kron(np.indices((16, 16)).sum(axis=0) % 2, np.ones((2, 2))).astype(np.uint8) * 100
    assert picture_traits(np.repeat(np.tile(checks, (2, 2))[..., None], 3, axis=2))[1] == pytest.approx(50 / 255)
    Image.fromarray(flat).save(tmp_path / "a.png")
    traits = read([str(tmp_path / "a.png")])[0]
    assert (traits.pixels, traits.bytes, traits.step) == (4096, (tmp_path / "a.png").stat().st_size, 1.0)
    assert np.isnan(traits.taken)


def test_an_official_split_of_darker_test_images_is_told(
    make_product: Callable[..., Product], workspace: Workspace, boards: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, entries = workspace.raw("part"), []
    for group, images in boards.items():
        folder = {"train": "train/good", "normal": "test/good", "defect": "test/dent"}[group]
        for number, image_HW3 in enumerate(images):
            path = f"images/{folder}/{number:03d}.png"
            (raw / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(darker("normal", "defect")(group, image_HW3)).save(raw / path)
            label, kind = ("defect", "dent") if group == "defect" else ("normal", "")
            entries.append(Entry(path=path, label=label, defect_type=kind, part_id=f"{folder}/{number}", mask="", source_split=folder[:5].strip("/")))
    (raw / "index.csv").write_text(index_text(entries))
    manifest.run(make_product(manifest={"split": "official", "mask": 0, "audit": 0.1}), workspace, NoLog())
    told = json.loads((workspace.manifest("part") / "shortcuts.json").read_text())
    assert told["schema_version"] == 2 and ("brightness", "split") in names(told)
    assert capsys.readouterr().out.splitlines()[-1] == f"shortcuts: {told['sentence']}"
