"""The envelope of normal parts: its two numbers by hand, its limits, and that it can only add abnormal."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import mahalanobis

from zeromiss.errors import ZeromissError
from zeromiss.files import write_json
from zeromiss.inspection import envelope as envelopes
from zeromiss.inspection.envelope import Envelope, fit_envelope, limits_of, load_envelope

PLAIN = {"n_normals": 40, "false_share": 0.0}
COLUMNS = ("a.map.native.max", "a.image.mse", "a.residual.000")  # two that rise, and one that is signed


def by_hand(**changed) -> Envelope:
    """An envelope of round numbers."""
    values = {
        "columns": COLUMNS, "median": (1.0, 10.0, 0.0), "spread": (1.0, 2.0, 1.0), "reach": (2.0, 1.0, 1.0), "mean": (0.0, 0.0, 0.0),
        "axes": ((1.0, 0.0, 0.0),), "variance": (4.0,), "rest": 0.25, "limits": (1.5, 2.0),
    }  # fmt: skip
    return Envelope(**(values | PLAIN | changed))


def normals(count: int, columns: int = 12, seed: int = 0) -> pd.DataFrame:
    """Metrics of normal images: correlated, of several sizes."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(count, columns)) @ rng.normal(size=(columns, columns))
    return pd.DataFrame(5.0 + mixed * 10.0 ** np.arange(columns).clip(0, 3), columns=[f"a.map.native.m{place:02d}" for place in range(columns)])


def fit(table: pd.DataFrame, part_N: list[str]) -> Envelope | None:
    """Learn from a table."""
    return fit_envelope(list(table.columns), table.to_numpy(), part_N)


def parts(count: int) -> list[str]:
    """As many parts as images."""
    return [f"part {number}" for number in range(count)]


def test_both_numbers_by_hand():
    row = np.array([[1.0 + np.sinh(3.0), 10.0 + 2.0 * np.sinh(0.5), -np.sinh(2.0)]])  # drawn in: 3, 0.5, -2
    peak, joint = by_hand().numbers(row)[0]
    assert peak == pytest.approx(3.0 / 2.0)  # the signed column is not asked alone
    assert joint == pytest.approx(np.sqrt((9.0 / 4.0 + 0.25 / 0.25 + 4.0 / 0.25) / 3.0))


def test_the_joint_number_is_scipys_distance_where_axes_are_all_directions():
    rng = np.random.default_rng(1)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    variance = np.array([3.0, 2.0])
    envelope = by_hand(axes=tuple(map(tuple, axes[:2].tolist())), variance=tuple(variance.tolist()), rest=0.5, mean=(0.3, -0.2, 0.1))
    covariance = axes.T @ np.diag([3.0, 2.0, 0.5]) @ axes
    drawn = rng.normal(size=3)
    row = np.array([[1.0 + np.sinh(drawn[0]), 10.0 + 2.0 * np.sinh(drawn[1]), np.sinh(drawn[2])]])
    expected = mahalanobis(drawn, [0.3, -0.2, 0.1], np.linalg.inv(covariance)) / np.sqrt(3)
    assert envelope.numbers(row)[0, 1] == pytest.approx(expected)


def test_limits_lie_a_deviation_above_the_furthest():
    numbers = np.exp(np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]]))
    assert limits_of(numbers) == pytest.approx(np.exp([4.0 + np.sqrt(8.0 / 3.0), 1.0]))


@pytest.mark.parametrize(("moved", "said"), [({}, ""), ({COLUMNS[0]: 1000.0}, "a.map.native.max 1000"), ({COLUMNS[2]: -500.0}, "together")])
def test_a_reason_names_what_lies_outside(moved, said):
    inside = dict(zip(COLUMNS, (1.2, 10.5, 0.1), strict=True))
    reason = by_hand().reason(inside | moved)
    assert said in reason and bool(reason) == bool(moved)


def test_a_missing_column_is_named():
    with pytest.raises(ZeromissError, match="lack a.image.mse"):
        by_hand().reason({COLUMNS[0]: 1.0})


def test_normal_parts_lie_inside_and_far_ones_outside():
    drawn = normals(400)
    known, new = drawn.iloc[:200], drawn.iloc[200:]
    envelope = fit(known, parts(200))
    outside = [bool(envelope.reason(row)) for row in new.to_dict(orient="records")]
    far = [bool(envelope.reason(row | {"a.map.native.m03": row["a.map.native.m03"] * 1e4})) for row in new.to_dict(orient="records")]
    assert np.mean(outside) <= 0.02 and envelope.false_share <= 0.02
    assert np.mean(far) >= 0.99


def test_a_combination_that_no_normal_part_has_lies_outside_though_each_column_is_usual():
    rng = np.random.default_rng(3)
    first = rng.normal(size=300)
    table = pd.DataFrame({"a.map.native.x": first, "a.map.native.y": first + rng.normal(size=300) * 0.01, "a.map.native.z": rng.normal(size=300)})
    envelope = fit(table, parts(300))
    reason = envelope.reason({"a.map.native.x": 1.0, "a.map.native.y": -1.0, "a.map.native.z": 0.0})
    assert "together" in reason
    assert envelope.reason({"a.map.native.x": 1.0, "a.map.native.y": 1.0, "a.map.native.z": 0.0}) == ""


def test_images_of_one_part_are_on_one_side_of_every_fold():
    rng = np.random.default_rng(5)
    table = normals(30, columns=4)
    copies = pd.concat([table] * 4, ignore_index=True) + rng.normal(size=(120, 4)) * 1e-6
    by_part, by_image = fit(copies, parts(30) * 4), fit(copies, parts(120))
    assert by_part.limits[1] > by_image.limits[1]  # a copy of oneself is no unseen part


@pytest.mark.parametrize("count", [3, envelopes.LEAST - 1])
def test_few_normal_images_give_none(count):
    assert fit(normals(count), parts(count)) is None


def test_few_parts_give_none():
    assert fit(normals(60), ["one", "two"] * 30) is None


def test_a_column_that_never_varies_is_not_asked():
    table = normals(60, columns=5).assign(**{"a.map.native.still": 7.0})
    envelope = fit(table, parts(60))
    row = table.iloc[0].to_dict()
    assert envelope.reason(row | {"a.map.native.still": 1e6}) == ""


def test_it_is_read_as_it_was_written(tmp_path):
    envelope = fit(normals(50), parts(50))
    write_json(tmp_path / "envelope.json", envelope.model_dump(mode="json"), schema_version=envelopes.SCHEMA_VERSION)
    assert load_envelope(tmp_path / "envelope.json") == envelope


def test_a_damaged_file_gives_a_sentence(tmp_path):
    payload = by_hand().model_dump(mode="json") | {"limits": [1.0]}
    write_json(tmp_path / "envelope.json", payload, schema_version=envelopes.SCHEMA_VERSION)
    with pytest.raises(ZeromissError, match="envelope.json: limits"):
        load_envelope(tmp_path / "envelope.json")
