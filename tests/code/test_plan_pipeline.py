"""What comes after the training: counts, columns, bytes and fits, against the stages themselves."""

import numpy as np
import pytest

from zeromiss.images.raw import INDEX, Entry, index_text
from zeromiss.metrics.columns import KEY_COLUMNS, feature_columns
from zeromiss.metrics.table import write_rows
from zeromiss.params import Product
from zeromiss.planning.counts import Counts, count_images
from zeromiss.planning.devices import CARDS
from zeromiss.planning.pipeline import count_draws, count_fits, drawn_table, plan_extraction, plan_fits, table_bytes
from zeromiss.stage_params import SelectionParams
from zeromiss.workspace import Workspace

COUNTS = Counts(train=20, mask=3, normals=30, defects=20, source="by hand")


def product(**sections):
    """Return a small product."""
    empty = {name: {} for name in ("manifest", "metrics", "threshold", "promotion", "inspection")}
    quick = {"vqgan": {"channels": (8, 16)}, "selection": {"families": ("lr", "knn"), "draws": 3, "folds": 4}}
    content = {"name": "bolt", "profile": "quick", "size": 64, "source": {"kind": "elpv"}, **empty, **quick}
    return Product.model_validate(content | sections)


def write_index(workspace, normals, defects):
    """Write a raw index without images."""
    entry = {"mask": "", "source_split": ""}
    good = [Entry(path=f"images/n{i}.png", label="normal", defect_type="", part_id=f"n{i}", **entry) for i in range(normals)]
    bad = [Entry(path=f"images/d{i}.png", label="defect", defect_type="crack", part_id=f"d{i}", **entry) for i in range(defects)]
    folder = workspace.raw("bolt")
    folder.mkdir(parents=True)
    (folder / INDEX).write_text(index_text(good + bad), encoding="utf-8")


def test_nothing_is_known_before_an_ingest(tmp_path):
    assert count_images(product(), Workspace(root=tmp_path)) is None


def test_the_raw_index_is_split_as_the_manifest_stage_will(tmp_path):
    workspace = Workspace(root=tmp_path)
    write_index(workspace, normals=100, defects=40)
    found = count_images(product(manifest={"train": 0.5, "audit": 0.2, "mask": 10}), workspace)
    assert (found.train, found.mask, found.normals, found.defects) == (50, 10, 30, 32)  # 10 normals and 8 defects locked away
    assert found.rows == 62 and "index" in found.source


def test_the_manifest_counts_where_it_was_written(tmp_path):
    from zeromiss.files import write_json

    workspace = Workspace(root=tmp_path)
    write_index(workspace, normals=10, defects=2)
    counts = {"train": {"normal": 5, "defect": 0}, "mask": {"normal": 1, "defect": 0}, "table": {"normal": 3, "defect": 2}, "threshold": {"normal": 0, "defect": 4}}
    write_json(workspace.manifest("bolt") / "counts.json", {"counts": counts}, schema_version=1)
    assert count_images(product(), workspace) == Counts(train=5, mask=1, normals=3, defects=2, source="the manifest", threshold=4)


def test_extraction_by_hand():
    found = plan_extraction(product(), COUNTS, CARDS["l4"])
    names = feature_columns("vqgan", masked=True)
    assert (found.images, found.rows, found.columns) == (53, 50, len(names) + len(KEY_COLUMNS))
    assert 0 < found.minutes < 60 * found.seconds_per_image


@pytest.mark.parametrize("rows", [50, 200])
def test_the_table_is_as_large_as_it_is_written(tmp_path, rows):
    names, random = feature_columns("vqgan", masked=True), np.random.default_rng(0)
    facts = {"sha256": "5f" * 32, "label": "normal", "defect_type": "", "native_score": 1.0}
    drawn = [dict(zip(names, random.normal(size=len(names)).tolist(), strict=True)) for _ in range(rows)]
    keys = [facts | {"path": f"images/good/photo_{number}.png", "part_id": f"photo_{number}"} for number in range(rows)]
    write_rows(tmp_path / "table.parquet", (key | row for key, row in zip(keys, drawn, strict=True)), features=names)
    assert table_bytes(rows, len(names)) == pytest.approx((tmp_path / "table.parquet").stat().st_size, rel=0.2)


def test_fits_by_hand():
    assert count_draws(product().selection) == 2 * 3
    assert count_fits(product().selection, 50) == 6 * 4 + 2 * 50  # the search's folds, and each part left out for each family
    honest = product().selection.model_copy(update={"outer_folds": 5, "outer_repeats": 2})
    assert count_fits(honest, 50) == 6 * 4 * 11 + 2 * (50 + 4 * 10)


def test_the_selection_is_timed_by_the_selection_itself():
    found = plan_fits(product(), COUNTS)
    assert (found.draws, found.fits) == (6, 124)
    assert 0 < found.minutes < 10


def test_a_small_space_is_not_drawn_beyond_its_end():
    assert count_draws(SelectionParams(families=("knn",), draws=500)) < 500


def test_the_trial_table_is_short_balanced_and_repeats_itself():
    counts = Counts(train=1, mask=1, normals=3000, defects=1000, source="")
    table = drawn_table(counts, 7)
    assert len(table.y_N) == 400 and table.y_N.sum() == 100
    assert table.features.shape == (400, 7)
    assert (table.features["column_4"] == 2 * table.features["column_0"]).all()
