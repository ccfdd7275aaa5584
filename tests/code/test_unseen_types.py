"""One type of defect left out at a time: it takes part in no choice, and its share found is counted by part."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from zeromiss.params import read_params, resolve_product
from zeromiss.planning.pipeline import count_fits
from zeromiss.selection.source import Source
from zeromiss.selection.unseen_types import MOST_TYPES, parts_of_types, unseen_types
from zeromiss.stage_params import SelectionParams

PARAMS = SelectionParams(families=("lr", "nb"), draws=2, folds=3, jobs=1, smote_below=0.0, unseen_type_draws=1)
COUNTS = {"scratch": 12, "dent": 8, "stain": 3}


def source(counts: dict[str, int] = COUNTS, normals: int = 30) -> Source:
    """Normal images around 0 and stains too; scratches around 6 in both columns, dents around 9, any other type around 6."""
    random = np.random.default_rng(0)
    types = [""] * normals + [name for name, count in counts.items() for _ in range(count)]
    features = random.normal(size=(len(types), 2)) + np.array([{"": 0.0, "stain": 0.0, "dent": 9.0}.get(name, 6.0) for name in types])[:, None]
    names = [f"p{number}" for number in range(len(types))]
    facts = pd.DataFrame({"path": names, "part_id": names, "defect_type": types, "label": np.where(np.array(types) == "", "normal", "defect")})
    columns = pd.DataFrame(features, columns=["vqgan.image.a", "vqgan.image.b"])
    return Source(facts=facts, features=columns, y_N=np.array([int(name != "") for name in types]), part_N=np.array(names, dtype=object))


def replaced(given: Source, **changes: object) -> Source:
    """The source with other fields."""
    return Source(**({name: getattr(given, name) for name in ("facts", "features", "y_N", "part_N")} | changes))


def test_a_type_like_the_others_is_found_without_having_been_seen() -> None:
    found = unseen_types(source(), PARAMS, seed=0)
    assert [one["defect_type"] for one in found["types"]] == ["scratch", "dent"]  # the most frequent first
    scratch = found["types"][0]
    assert (scratch["n_defects"], scratch["n_parts"], scratch["found"], scratch["share"]) == (12, 12, 12, 1.0)
    exact = binomtest(12, 12).proportion_ci(0.95, method="exact")
    assert (scratch["low"], scratch["high"]) == pytest.approx((exact.low, exact.high))
    assert found["skipped"] == [{"defect_type": "stain", "why": "3 parts, at least 5 are needed"}] and found["sentence"] == ""


def test_the_type_takes_part_in_no_choice() -> None:
    """With other features of the dents their own entry keeps family and FPR, and finds none where they look normal."""
    given = source({"scratch": 12, "dent": 8})
    features = given.features.copy()
    features[(given.facts["defect_type"] == "dent").to_numpy()] = -3.0
    before, after = (unseen_types(one, PARAMS, seed=0)["types"][1] for one in (given, replaced(given, features=features)))
    assert (before["family"], before["fpr"]) == (after["family"], after["fpr"])
    assert (before["found"], after["found"]) == (8, 0)


def test_a_part_that_shows_the_type_takes_part_with_none_of_its_images() -> None:
    """A normal image far up, of a dented part: it would raise false alarms if the choice saw it."""
    given = source()
    features, parts = given.features.copy(), given.part_N.copy()
    features.iloc[0] = 50.0
    parts[0] = parts[(given.facts["defect_type"] == "dent").to_numpy()][0]
    with_it = replaced(given, features=features, part_N=parts, facts=given.facts.assign(part_id=parts))
    without = given.take(np.arange(1, len(given.y_N)))
    first, second = (unseen_types(one, PARAMS, seed=0)["types"][1] for one in (with_it, without))
    assert (first["family"], first["fpr"], first["found"]) == (second["family"], second["fpr"], second["found"])


def test_each_part_counts_once_in_the_interval() -> None:
    given = source({"scratch": 12, "dent": 20})
    parts = given.part_N.copy()
    dent_N = (given.facts["defect_type"] == "dent").to_numpy()
    parts[dent_N] = [f"dented{number // 2}" for number in range(20)]  # two images a part
    entry = unseen_types(replaced(given, part_N=parts, facts=given.facts.assign(part_id=parts)), PARAMS, seed=0)["types"][1]
    exact = binomtest(10, 10).proportion_ci(0.95, method="exact")
    assert (entry["defect_type"], entry["n_defects"], entry["n_parts"]) == ("dent", 20, 10)
    assert (entry["low"], entry["high"]) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize("name", ["solar_cell", "pcba"])
def test_it_costs_less_than_a_tenth_of_the_selection(repository, name: str) -> None:
    """The most types there can be, against all fits of the product's selection on 400 images."""
    params = resolve_product(read_params(repository / "params.yaml"), name, origin=repository / "params.yaml").selection
    small = params.model_copy(update={"draws": params.unseen_type_draws, "outer_repeats": 0})
    each = count_fits(small, 0) + len(params.searched) * params.folds
    assert 0 < MOST_TYPES * each < 0.1 * count_fits(params, 400)


@pytest.mark.parametrize(
    ("counts", "draws", "sentence"),
    [
        ({"crack": 12}, 1, "the defects are of one type, crack: no type can be left out"),
        ({"crack": 12, "dent": 8}, None, "not computed: selection.unseen_type_draws is null"),
        ({"crack": 4, "dent": 4}, 1, "no type could be left out"),
    ],
)
def test_what_is_not_computed_is_said(counts: dict[str, int], draws: int | None, sentence: str) -> None:
    found = unseen_types(source(counts), PARAMS.model_copy(update={"unseen_type_draws": draws}), seed=0)
    assert found["types"] == [] and found["sentence"] == sentence


def test_a_type_without_which_too_few_defects_are_left_is_skipped_with_the_reason() -> None:
    found = unseen_types(source({"scratch": 12, "dent": 2}), PARAMS, seed=0)
    assert [one["defect_type"] for one in found["skipped"]] == ["dent", "scratch"]
    assert "defects come from 2 parts" in found["skipped"][1]["why"]


def test_the_most_frequent_types_alone_are_left_out() -> None:
    counts = {f"type{number}": 5 for number in range(MOST_TYPES + 1)}
    assert list(parts_of_types(source(counts))) == sorted(counts)
    found = unseen_types(source(counts), PARAMS.model_copy(update={"families": ("nb",)}), seed=0)
    assert len(found["types"]) == MOST_TYPES
    assert found["skipped"] == [{"defect_type": f"type{MOST_TYPES}", "why": f"the {MOST_TYPES} most frequent types are left out in turn"}]
