"""Two files of one name: what counts as equal, and what is said of the rest; every number worked out by hand."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from zeromiss.registry.rebuilt import conclude, machine_differences
from zeromiss.registry.rebuilt_files import compare_files, compare_values


@pytest.fixture
def pair(tmp_path):
    """Return a function that writes one content twice, by two calls of a writer, and compares the files."""

    def compare(suffix, write, before, after):
        paths = [tmp_path / f"{side}{suffix}" for side in ("before", "after")]
        for path, content in zip(paths, (before, after), strict=True):
            write(path, content)
        return compare_files(*paths)

    return compare


def tensors(path, content):
    save_file(content, path)


def table(path, content):
    pd.DataFrame(content).to_parquet(path)


def tree(path, content):
    path.write_text(json.dumps(content))


def test_weights_are_counted_number_by_number(pair):
    before = {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.zeros(2, 2, dtype=torch.bfloat16), "c": torch.tensor(7)}
    after = {"a": torch.tensor([1.0, 2.5, 2.0]), "b": torch.zeros(2, 2, dtype=torch.bfloat16), "c": torch.tensor(7)}
    assert pair(".safetensors", tensors, before, before).status == "equal"
    found = pair(".safetensors", tensors, before, after)
    assert (found.status, found.differing, found.largest) == ("differs", 2, 1.0)
    assert found.detail == "2 of 8 numbers in 1 of 3 tensors, by 1 at most"


def test_a_zero_of_the_other_sign_and_a_number_that_is_none_are_differences(pair):
    found = pair(".safetensors", tensors, {"a": torch.tensor([0.0, 1.0])}, {"a": torch.tensor([-0.0, float("nan")])})
    assert (found.status, found.differing, found.largest) == ("differs", 2, float("inf"))
    found = pair(".parquet", table, {"x": [0.0, 1.0]}, {"x": [-0.0, 1.0]})
    assert (found.differing, found.largest) == (1, 0.0)


def test_tensors_of_another_shape_type_or_name_are_named(pair):
    before = {"a": torch.zeros(2), "b": torch.zeros(2), "c": torch.zeros(1)}
    after = {"a": torch.zeros(3), "b": torch.zeros(2, dtype=torch.float16), "d": torch.zeros(1)}
    found = pair(".safetensors", tensors, before, after)
    assert (found.status, found.differing) == ("differs", 4)
    assert found.detail == "a: was float32 (2,), is float32 (3,) and 3 more tensors"


def test_a_table_is_compared_cell_by_cell_without_its_seconds(pair):
    before = {"path": ["a", "b", None], "x": [1.0, np.nan, 3.0], "search_seconds": [1.0, 2.0, 3.0], "n": [1, 2, 3]}
    after = {"path": ["a", "b", None], "x": [1.0, np.nan, 3.0], "search_seconds": [1.5, 2.5, 3.5], "n": [1, 2, 3]}
    found = pair(".parquet", table, before, after)
    assert (found.status, found.detail) == ("equal but for seconds", "3 rows, 3 columns")
    after |= {"path": ["a", "c", "d"], "x": [1.0, np.nan, 3.5], "n": [1, 2, 7]}
    found = pair(".parquet", table, before, after)
    assert (found.status, found.differing, found.largest) == ("differs", 4, 4.0)
    assert found.detail == "4 of 9 cells in 3 of 3 columns, first path in row 1, by 4 at most"


@pytest.mark.parametrize(
    ("after", "detail", "differing"),
    [({"x": [1.0]}, "1 rows, were 2", 1), ({"y": [1.0, 2.0]}, "x is gone and 1 more columns", 2), ({"x": [1, 2]}, None, 0)],
)
def test_a_table_of_another_form(pair, after, detail, differing):
    found = pair(".parquet", table, {"x": [1.0, 2.0]}, after)
    assert found.differing == differing
    assert found.status == ("differs" if differing else "equal")
    assert detail is None or found.detail == detail


def test_nullable_numbers_are_compared_too(pair):
    before, after = (pd.DataFrame({"m": pd.array(values, dtype="Float64")}) for values in ([0.5, None], [0.75, None]))
    found = pair(".parquet", table, before, after)
    assert (found.differing, found.largest) == (1, 0.25)


def test_json_is_compared_value_by_value_without_its_seconds(pair):
    before = {"winner": "lr", "seconds": 3.0, "families": {"lr": {"search_seconds": 1.0, "draw": 2, "params": {"C": [1, 2]}}}}
    after = {"winner": "lr", "seconds": 4.0, "families": {"lr": {"search_seconds": 2.0, "draw": 2, "params": {"C": [1, 2]}}}}
    assert asdict(pair(".json", tree, before, after)) == {
        "status": "equal but for seconds", "detail": "4 values", "differing": 0, "largest": None
    }  # fmt: skip
    after["families"]["lr"] = {"search_seconds": 2.0, "draw": 5, "params": {"C": [1]}}
    found = pair(".json", tree, before, after)
    assert (found.status, found.differing, found.largest) == ("differs", 2, 3)
    assert found.detail == "families.lr.draw was 2, is 5 and 1 more values"
    assert compare_values({"a": 1}, {"b": 1}).detail == "a was 1, is missing and 1 more values"
    assert compare_values({"a": None}, {}).status == "differs"


def test_files_that_are_missing_damaged_or_of_no_known_kind_differ(pair, tmp_path):
    assert compare_files(tmp_path / "none.json", tmp_path / "none.json").detail == "was not there"
    tree(tmp_path / "there.json", {})
    assert compare_files(tmp_path / "there.json", tmp_path / "none.json").detail == "is no longer there"
    for suffix in (".json", ".parquet", ".safetensors"):
        found = pair(suffix, lambda path, content: path.write_bytes(content), b"first", b"other")
        assert found.status == "differs"
        assert found.detail.startswith("cannot be read (")
    assert pair(".png", lambda path, content: path.write_bytes(content), b"1", b"2").detail == "other bytes"


def test_the_verdict_is_equal_only_where_all_was_compared():
    def entry(name, status):
        return {"name": name, "status": status}

    equal, seconds = entry("weights", "equal"), entry("families", "equal but for seconds")
    assert conclude([equal, seconds], []) == {"outcome": "equal", "sentence": "rebuilt bit for bit"}
    gone = entry("data/04_metrics/p", "not compared")
    assert conclude([equal, gone], [])["outcome"] == "partly"
    assert conclude([equal, gone], [])["sentence"] == "equal where it could be compared; not compared: data/04_metrics/p"
    other = [entry("threshold", "differs"), entry("threshold", "differs"), gone]
    assert conclude(other, [])["sentence"] == "differs: threshold; on the same kind of machine"
    elsewhere = machine_differences({"machine.cpu": "A", "torch": "1", "numpy": "2"}, {"machine.cpu": "B", "numpy": "2"})
    assert elsewhere == [{"name": "machine.cpu", "was": "A", "is": "B"}, {"name": "torch", "was": "1", "is": "none"}]
    assert conclude(other, elsewhere)["sentence"] == "differs: threshold; the machine or its libraries are others"
