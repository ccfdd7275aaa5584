"""Near-duplicate photographs: the same part again is found, other parts of one design are not, and splits keep what is found together."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist

from zeromiss.errors import ZeromissError
from zeromiss.images import near_duplicates, perceptual_hash, same_part
from zeromiss.images.manifest import read_facts
from zeromiss.images.raw import Entry, index_text
from zeromiss.images.registration import local_contrast
from zeromiss.params import Product
from zeromiss.stages import manifest
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

SIDE = 160
COUNT = 26  # different parts


def texture(rng: np.random.Generator, sigma: float, deviation: float) -> np.ndarray:
    """Draw the grain of one part, float32 (SIDE, SIDE) of mean 0."""
    grain = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)).astype(np.float32), (0, 0), sigma)
    return deviation * grain / grain.std()


def sheet(number: int) -> np.ndarray:
    """Draw a sheet of a material: nothing is shared between two of them."""
    return np.clip(0.5 + texture(np.random.default_rng(number), 1.5, 0.12), 0, 1)


def board(number: int) -> np.ndarray:
    """Draw a part of one design: tracks and bodies are where they always are, the fine grain is the part's own."""
    design, part = np.random.default_rng(99), np.random.default_rng(1000 + number)
    picture = np.full((SIDE, SIDE), 0.35, dtype=np.float32)
    for _ in range(30):
        x, y, width, height = (int(value) for value in design.integers((5, 5, 6, 6), (SIDE - 40, SIDE - 40, 36, 36)))
        cv2.rectangle(picture, (x, y), (x + width, y + height), float(design.uniform(0.1, 0.9)), int(design.integers(1, 4)))
    return np.clip(picture + texture(part, 1.2, 0.05), 0, 1)


def photograph(part: np.ndarray, seed: int, *, gain: float = 1.0, gamma: float = 1.0, shift: tuple[float, float] = (0, 0), turn: float = 0.0) -> np.ndarray:
    """Take a picture of a part with fresh sensor noise, uint8."""
    motion = cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), turn, 1.0)
    motion[:, 2] += shift
    moved = cv2.warpAffine(part, motion, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    noise = np.random.default_rng(seed).normal(scale=0.01, size=part.shape)
    return np.clip(np.rint(255 * (gain * np.clip(moved, 0, 1) ** gamma + noise)), 0, 255).astype(np.uint8)


def cropped(part: np.ndarray, seed: int) -> np.ndarray:
    """Cut 6 pixels off each side."""
    return photograph(part, seed)[6:-6, 6:-6]


AGAIN: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "exposure": lambda part, seed: photograph(part, seed, gain=0.7),
    "gamma": lambda part, seed: photograph(part, seed, gamma=1.5),
    "shift": lambda part, seed: photograph(part, seed, shift=(5, -3)),
    "turn": lambda part, seed: photograph(part, seed, turn=2.5),
    "all": lambda part, seed: photograph(part, seed, gain=0.8, shift=(-3, 2), turn=-2.0),
}


def write(raw: Path, name: str, picture: np.ndarray, label: str = "normal", *, quality: int | None = None, part: str = "") -> Entry:
    """Write one photograph and return its line of the index; a part of its own unless one is named."""
    path = f"images/{name}.{'png' if quality is None else 'jpg'}"
    (raw / path).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(raw / path), picture, [] if quality is None else [cv2.IMWRITE_JPEG_QUALITY, quality])
    return Entry(path=path, label=label, defect_type="dent" if label == "defect" else "", part_id=part or name, mask="", source_split="")


def found(raw: Path, entries: list[Entry], mode: near_duplicates.Mode = "group") -> tuple[pd.DataFrame, dict]:
    """Return facts and what is found among the photographs."""
    facts = read_facts(raw, entries)
    return facts, near_duplicates.find_near_duplicates(facts, raw, mode=mode)


def pairs(content: dict) -> set[frozenset[str]]:
    """Return the pairs by the stems of their files."""
    return {frozenset((Path(pair["a"]).stem, Path(pair["b"]).stem)) for pair in content["pairs"]}


def test_the_same_sheet_again_is_found_and_no_other_sheet(tmp_path: Path) -> None:
    entries = [write(tmp_path, f"s{number}", photograph(sheet(number), number)) for number in range(COUNT)]
    entries += [write(tmp_path, f"{kind}{place}", again(sheet(place), 500 + place)) for place, (kind, again) in enumerate(AGAIN.items())]
    entries.append(write(tmp_path, "jpeg5", photograph(sheet(5), 505), quality=60))
    entries.append(write(tmp_path, "crop6", cropped(sheet(6), 506)))
    _, content = found(tmp_path, entries)
    assert content["shared_structure"] is False
    assert pairs(content) == {frozenset((f"s{place}", f"{kind}{place}")) for place, kind in enumerate([*AGAIN, "jpeg", "crop"])}
    by_name = {Path(pair["b"]).stem: pair for pair in content["pairs"]} | {Path(pair["a"]).stem: pair for pair in content["pairs"]}
    assert abs(by_name["turn3"]["degrees"]) == pytest.approx(2.5, abs=0.2)
    assert by_name["shift2"]["shift"] == pytest.approx(np.hypot(5, 3) / SIDE, abs=0.005)
    assert by_name["crop6"]["zoom"] in (pytest.approx(SIDE / (SIDE - 12), abs=0.02), pytest.approx((SIDE - 12) / SIDE, abs=0.02))


def test_other_parts_of_the_same_design_are_not_found(tmp_path: Path) -> None:
    """325 pairs of parts that differ in their grain only, every one photographed a little elsewhere, and not one is called the same."""
    rng = np.random.default_rng(7)
    entries = [
        write(tmp_path, f"b{number}", photograph(board(number), number, shift=tuple(rng.uniform(-2, 2, 2)), turn=float(rng.uniform(-1, 1))))
        for number in range(COUNT)
    ]
    _, content = found(tmp_path, entries)
    assert content["shared_structure"] is True
    assert content["pairs"] == [] and content["groups"] == []
    again = [write(tmp_path, f"{kind}{place}", take(board(place), 500 + place)) for place, (kind, take) in enumerate(AGAIN.items())]
    _, content = found(tmp_path, [*entries, *again])
    assert pairs(content) == {frozenset((f"b{place}", f"{kind}{place}")) for place, kind in enumerate(AGAIN)}


def test_parts_without_anything_of_their_own_are_not_called_the_same(tmp_path: Path) -> None:
    one = board(0)
    _, content = found(tmp_path, [write(tmp_path, f"b{number}", photograph(one, number)) for number in range(COUNT)])
    assert content["pairs"] == []


def test_pairs_join_parts_and_not_images(tmp_path: Path) -> None:
    """s0 and its two pictures are a chain; s1 has two pictures of its own part, which nobody asks about."""
    entries = [write(tmp_path, f"s{number}", photograph(sheet(number), number)) for number in range(COUNT)]
    entries.append(write(tmp_path, "x", photograph(sheet(0), 600, shift=(4, 0)), "defect"))
    entries.append(write(tmp_path, "y", photograph(sheet(0), 601, shift=(-4, 0))))
    entries.append(write(tmp_path, "s1b", photograph(sheet(1), 602), part="s1"))
    facts, content = found(tmp_path, entries)
    [group] = content["groups"]
    assert group["parts"] == ["s0", "x", "y"] and group["part_id"] == "s0" and group["contradicts"]
    assert [(image["photographed_part"], image["label"]) for image in group["images"]] == [("s0", "normal"), ("x", "defect"), ("y", "normal")]
    joined = near_duplicates.group_parts(facts, content)
    assert joined["photographed_part"].tolist() == facts["part_id"].tolist()
    assert joined.loc[joined["photographed_part"].isin(["s0", "x", "y"]), "part_id"].unique().tolist() == ["s0"]
    apart = near_duplicates.group_parts(facts, content | {"mode": "tell"})
    assert apart["part_id"].tolist() == facts["part_id"].tolist()
    rows = joined.assign(split="table")
    told = near_duplicates.with_splits(content, rows)
    assert told["across_splits"] == 0
    assert told["sentence"].endswith("1 group with both labels, look at images/x.png and images/s0.png")
    rows.loc[rows["photographed_part"] == "x", "split"] = "train"
    told = near_duplicates.with_splits(content | {"mode": "tell"}, rows)
    assert told["across_splits"] == 1 and "1 of them in several splits, since manifest.near_duplicates is tell" in told["sentence"]


def test_copies_of_a_file_and_files_that_cannot_be_read_take_no_part(tmp_path: Path) -> None:
    entries = [write(tmp_path, f"s{number}", photograph(sheet(number), number)) for number in range(COUNT)]
    entries.append(write(tmp_path, "copy", photograph(sheet(0), 0)))
    entries.append(write(tmp_path, "broken", photograph(sheet(1), 1)))
    (tmp_path / "images/broken.png").write_bytes(b"no image")
    _, content = found(tmp_path, entries)
    assert content["images"] == COUNT and content["pairs"] == []


def test_off_looks_at_nothing(tmp_path: Path) -> None:
    facts = pd.DataFrame({"path": ["not/there.png"], "split": "train"})
    content = near_duplicates.with_splits(near_duplicates.find_near_duplicates(facts, tmp_path, mode="off"), facts)
    assert content["images"] == 0 and content["sentence"] == "" and content["groups"] == []


@pytest.mark.parametrize("mode", ["group", "tell", "off"])
def test_the_stage_keeps_a_group_on_one_side(
    mode: str, workspace: Workspace, make_product: Callable[..., Product], capsys: pytest.CaptureFixture[str]
) -> None:
    raw, entries = workspace.raw("part"), []
    for number in range(24):
        label = "normal" if number < 14 else "defect"
        entries.append(write(raw, f"s{number:02d}", photograph(sheet(number), number), label))
        if number % 2 == 0:
            entries.append(write(raw, f"t{number:02d}", photograph(sheet(number), 700 + number, shift=(3, 2)), label))
    (raw / "index.csv").write_text(index_text(entries))
    manifest.run(make_product(manifest={"mask": 2, "near_duplicates": mode}, seed=3), workspace, NoLog())
    rows = read_table(workspace.manifest("part") / "manifest.parquet", schema_version=2)
    content = json.loads((workspace.manifest("part") / "duplicates.json").read_text())
    sheets = rows["path"].str.extract(r"(\d\d)")[0]
    apart = int((rows.groupby(sheets)["split"].nunique() > 1).sum())
    assert rows["photographed_part"].is_unique
    if mode == "group":
        assert apart == 0 and rows.groupby(sheets)["part_id"].nunique().eq(1).all() and rows["part_id"].nunique() == 24
        assert "near-duplicates: 12 pairs of images show the same part again" in capsys.readouterr().out
    else:
        assert apart > 0 and (rows["part_id"] == rows["photographed_part"]).all()
        assert len(content["groups"]) == (12 if mode == "tell" else 0)
        assert content["across_splits"] == (apart if mode == "tell" else 0)


def test_near_duplicates_in_the_folders_of_an_official_split_are_refused(workspace: Workspace, make_product: Callable[..., Product]) -> None:
    raw, entries = workspace.raw("part"), []
    for number in range(30):
        line = write(raw, f"s{number:02d}", photograph(sheet(number), number), "normal" if number < 20 else "defect")
        entries.append(replace(line, source_split="train" if number < 10 else "test"))
    again = write(raw, "t00", photograph(sheet(0), 700, shift=(3, 2)))
    entries.append(replace(again, source_split="test"))
    (raw / "index.csv").write_text(index_text(entries))
    product = make_product(manifest={"mask": 2, "split": "official"}, seed=3)
    with pytest.raises(ZeromissError, match=r"s00.png and .*t00.png show the same part, or are joined by .* set manifest.near_duplicates to tell"):
        manifest.run(product, workspace, NoLog())


def test_candidates_are_the_nearest_by_hamming_distance() -> None:
    contrast = np.stack([local_contrast(np.random.default_rng(number).random((64, 64), dtype=np.float32)) for number in range(40)])
    contrast[7] = contrast[3]
    copies = perceptual_hash.Copies(contrast_NHW=contrast, motions=None)
    assert perceptual_hash.candidate_pairs(copies, np.arange(40)).tolist() == [[3, 7, 0]]
    assert perceptual_hash.candidate_pairs(copies, np.arange(40) % 4).tolist() == []  # 3 and 7 are of one part
    bits = np.random.default_rng(0).random((9, 122)) < 0.5
    packed = perceptual_hash._packed(bits)
    assert perceptual_hash._hamming(packed[:4], packed).tolist() == (122 * cdist(bits[:4], bits, "hamming")).round().astype(int).tolist()


def test_what_the_panel_explains_is_taken_away() -> None:
    rng = np.random.default_rng(2)
    panel, own = rng.normal(size=(5, 4000)).astype(np.float32), rng.normal(size=(2, 4000)).astype(np.float32)
    pair = own + rng.normal(size=(2, 5)).astype(np.float32) @ panel
    left = same_part.unexplained(pair, panel)
    design = np.column_stack([np.ones(4000), panel.T])
    expected = pair.T - design @ np.linalg.lstsq(design, pair.T, rcond=None)[0]
    np.testing.assert_allclose(left, expected.T, atol=0.02)  # the ridge of 0.1 % shrinks a little
    assert same_part.unexplained(pair, panel[:0]) == pytest.approx(pair - pair.mean(axis=1, keepdims=True), abs=1e-5)


def test_correlations_are_numpys() -> None:
    rng = np.random.default_rng(3)
    seen = np.zeros((same_part.SIDE, same_part.SIDE), dtype=bool)
    seen[:, 64:] = True
    first = rng.normal(size=seen.shape).astype(np.float32)
    second = first.copy()
    second[:96] = -first[:96]  # 3 of 8 rows of fields disagree
    own = np.stack([first[seen], second[seen]])
    whole, lower = same_part.correlations(own, seen)
    assert whole == pytest.approx(float((own[0] * own[1]).sum() / np.sqrt((own[0] ** 2).sum() * (own[1] ** 2).sum())), abs=1e-5)
    assert lower == pytest.approx(-1.0, abs=1e-5)
