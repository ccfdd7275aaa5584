"""Promotion in a real registry: who judges what, which alias moves, and what is written down."""

import json

import pandas as pd
import pytest
from scipy.stats import beta

from zeromiss.errors import ZeromissError
from zeromiss.registry import promotion, publish
from zeromiss.registry.events import read_events
from zeromiss.registry.store import prepare

SUMMARY = {
    "threshold": {
        "value": 0.5, "rule": "zfn", "n_defects": 9, "n_candidates": 1,
        "miss_rate_bound_95": 0.28, "next_defect_miss_bound": 0.1, "bound_is": "descriptive",
    },
}  # fmt: skip


class TableInspector:
    """Scores every image as the bundle it was loaded from says."""

    taught = {"vqgan": frozenset({"d_taught"})}
    threshold = 0.5

    def __init__(self, scores):
        self.scores = scores

    def inspect(self, path):
        from types import SimpleNamespace

        if path.name not in self.scores:
            raise ZeromissError(f"{path} is truncated: take it again")
        return SimpleNamespace(score=self.scores[path.name])


@pytest.fixture
def bundle(tracked, monkeypatch):
    """Return a function that puts a bundle in place which gives these scores by file name."""
    from zeromiss.inspection.inspector import Inspector

    def load(cls, folder, *, model_name=None, model_version=None):
        return TableInspector(json.loads((folder / "bundle.json").read_text())["scores"])

    monkeypatch.setattr(Inspector, "load", classmethod(load))

    def write(**scores):
        folder = tracked.bundle("tiny")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bundle.json").write_text(json.dumps({"schema_version": 1, "scores": scores}))
        (folder / "summary.json").write_text(json.dumps({"schema_version": 3} | SUMMARY))

    return write


@pytest.fixture
def audit(tracked):
    """Return a function that writes a manifest: audit images by name (d... are defects) and one to train with."""
    from zeromiss.tables import write_table

    def write(*names):
        rows = [
            {"path": name, "sha256": name, "label": "defect" if name[0] == "d" else "normal", "split": split,
             "defect_type": "scratch" if name[0] == "d" else "", "part_id": name}
            for name, split in [(name, "audit") for name in names] + [("d_train", "table")]
        ]  # fmt: skip
        write_table(tracked.manifest("tiny") / "manifest.parquet", pd.DataFrame(rows), schema_version=2)

    write("d1", "d2", "d3", "n1", "n2")
    return write


GOOD = {"d1": 0.9, "d2": 0.8, "d3": 0.7, "n1": 0.6, "n2": 0.1}


def ask(tiny, workspace):
    """Register what is in place, ask the gate, and return its record."""
    publish.register(tiny, workspace)
    return promotion.read_record(promotion.promote(tiny, workspace))


def aliases(workspace):
    client = prepare(workspace)
    return tuple(publish.find_alias(client, "tiny", name) for name in ("champion", "challenger"))


def test_a_first_model_that_misses_nothing_becomes_champion(tiny, tracked, bundle, audit):
    bundle(**GOOD)
    record = ask(tiny, tracked)
    assert record["outcome"] == "promoted"
    assert (record["n_defects"], record["n_normals"], record["false_positive_rate"]) == (3, 2, 0.5)
    assert record["miss_rate_bound"] == pytest.approx(1 - 0.05 ** (1 / 3))
    assert record["chance_of_refusal"] == pytest.approx(3 / 12)
    assert aliases(tracked) == ("1", None)
    client = prepare(tracked)
    version = client.get_model_version("zeromiss-tiny", "1")
    assert version.tags["gate.outcome"] == "promoted"
    assert [one.path for one in client.list_artifacts(version.run_id, "promotion")] == ["promotion/tiny.json"]


def test_a_model_that_learned_from_an_audit_image_is_not_judged(tiny, tracked, bundle, audit):
    audit("d1", "d2", "d3", "d_taught", "n1", "n2")
    bundle(**GOOD | {"d_taught": 0.95})
    with pytest.raises(ZeromissError, match="d_taught is in the split audit, but vqgan was taught with the very image"):
        ask(tiny, tracked)
    assert aliases(tracked) == (None, "1")


def test_a_model_that_misses_stays_challenger_and_says_why(tiny, tracked, bundle, audit):
    bundle(**GOOD | {"d2": 0.3})
    record = ask(tiny, tracked)
    assert record["outcome"] == "refused"
    assert [(one["path"], one["score"]) for one in record["images"]] == [("d2", 0.3)]
    assert aliases(tracked) == (None, "1")
    tags = prepare(tracked).get_model_version("zeromiss-tiny", "1").tags
    assert tags["gate.statement"] == "refused: 1 of 3 audit defects missed"


def test_a_model_that_alarms_on_everything_is_refused_with_the_defects_that_cost_the_alarms(tiny, tracked, bundle, audit):
    bundle(**GOOD | {"n2": 0.9})
    rates = {"accuracy": 0.5, "precision": 0.5, "fpr": 0.5, "fnr": 0.0}
    hardest = {"prices": {"0": {"fpr": 0.5}}, "defects": [{"path": "a.png", "fpr_without": 0.4}, {"path": "b.png", "fpr_without": 0.25}]}
    composite = {"family": "lr", "image_auroc": 0.8, "paper": {"std": rates, "zfn": rates}, "hardest": hardest}
    (tracked.bundle("tiny") / "summary.json").write_text(json.dumps({"schema_version": 3, "composite": composite} | SUMMARY))
    record = ask(tiny, tracked)
    assert (record["outcome"], record["statement"]) == (
        "refused",
        "refused: all 2 good parts in the audit set raise a false alarm, so the model saves nobody a look; the hardest known defects cost the alarms: "
        "without a.png, b.png the false-positive rate would be 25.0 % instead of 50.0 %; zeromiss labels PRODUCT shows the defects to look at first",
    )


def test_a_better_challenger_takes_over_and_a_worse_one_does_not(tiny, tracked, bundle, audit):
    bundle(**GOOD)
    ask(tiny, tracked)
    bundle(**GOOD | {"n2": 0.9})
    record = ask(tiny, tracked)
    assert (record["promoted"], record["false_positive_rate"], record["champion_false_positive_rate"]) == (False, 1.0, 0.5)
    told = {one["name"]: one["sentence"] for one in record["criteria"]}
    assert told["false_alarms"].startswith("2 of 2 normal audit images raise a false alarm, the champion raises 1 on the same; 1 part is new")
    assert record["champion"] == "zeromiss-tiny version 1"
    assert aliases(tracked) == ("1", "2")
    bundle(**GOOD | {"n1": 0.2})
    record = ask(tiny, tracked)
    assert (record["promoted"], record["model"]) == (True, "zeromiss-tiny version 3")
    assert aliases(tracked) == ("3", None)
    assert record["miss_rate_bound"] == pytest.approx(1 - (0.05 / 24) ** (1 / 3))  # the third model on this audit set
    assert (record["looks"], record["openings"]) == (3, 3)


def test_asking_again_about_one_model_is_an_opening_and_no_further_look(tiny, tracked, bundle, audit):
    bundle(**GOOD | {"d2": 0.3})
    first, again = ask(tiny, tracked), promotion.read_record(promotion.promote(tiny, tracked))
    assert [(one["looks"], one["openings"]) for one in (first, again)] == [(1, 1), (1, 2)]
    assert first["miss_rate_bound"] == again["miss_rate_bound"] == pytest.approx(beta.ppf(0.95, 2, 2))  # 1 of 3


def test_a_set_that_gained_an_image_is_the_old_one_for_all_others(tiny, tracked, bundle, audit):
    bundle(**GOOD | {"d2": 0.3})
    ask(tiny, tracked)
    audit("d1", "d2", "d3", "d4", "n1", "n2")
    bundle(**GOOD | {"d4": 0.9})
    record = ask(tiny, tracked)
    assert (record["looks"], record["openings"]) == (2, 2)
    assert record["miss_rate_bound"] == pytest.approx(1 - 0.0125 ** (1 / 4))


def test_a_set_without_any_image_that_was_opened_is_counted_anew(tiny, tracked, bundle, audit):
    bundle(**GOOD | {"d2": 0.3})
    ask(tiny, tracked)
    audit("d4", "d5", "d6", "n3")
    bundle(**GOOD | {"d4": 0.9, "d5": 0.9, "d6": 0.9, "n3": 0.1})
    record = ask(tiny, tracked)
    assert (record["looks"], record["openings"]) == (1, 1)
    assert record["miss_rate_bound"] == pytest.approx(1 - 0.05 ** (1 / 3))


def test_every_opening_is_written_down_with_what_came_of_it(tiny, tracked, bundle, audit):
    bundle(**GOOD | {"d2": 0.3})
    ask(tiny, tracked)
    bundle(**GOOD)
    ask(tiny, tracked)
    client = prepare(tracked)
    digest = promotion.audit_hash(promotion.audit_rows("tiny", tracked))
    first, second = read_events(client, "tiny", tracked, "audit_opening")
    models = [client.get_model_version("zeromiss-tiny", number).tags[publish.BUNDLE_TAG] for number in "12"]
    assert first.facts == {
        "audit": digest, "version": "1", "model": models[0], "champion": "none", "outcome": "refused", "defects": "3", "missed": "1",
        "bound": "0.86465", "looks": "1", "openings": "1",
    }  # fmt: skip
    assert second.facts | {"bound": ""} == first.facts | {
        "version": "2", "model": models[1], "outcome": "promoted", "missed": "0", "bound": "", "looks": "2", "openings": "2",
    }  # fmt: skip
    moves = [(one.facts["alias"], one.facts["version"], one.facts["why"]) for one in read_events(client, "tiny", tracked, "alias")]
    assert moves[-2:] == [("champion", "2", "the gate promoted it"), ("challenger", "none", "it is the champion now")]


def test_an_opening_whose_images_are_lost_counts_as_one_of_all(tiny, tracked, bundle, audit):
    bundle(**GOOD | {"d2": 0.3})
    ask(tiny, tracked)
    for path in (tracked.root / "mlruns/artifacts/tiny").rglob("audit.json"):
        path.unlink()
    audit("d4", "d5", "d6", "n3")
    bundle(**GOOD | {"d4": 0.9, "d5": 0.9, "d6": 0.9, "n3": 0.1})
    assert ask(tiny, tracked)["looks"] == 2


def test_a_decision_made_before_openings_were_recorded_counts(tiny, tracked, bundle, audit):
    bundle(**GOOD | {"d2": 0.3})
    publish.register(tiny, tracked)
    digest = promotion.audit_hash(promotion.audit_rows("tiny", tracked))
    prepare(tracked).set_model_version_tag("zeromiss-tiny", "1", "gate.audit", digest)
    bundle(**GOOD)
    record = ask(tiny, tracked)
    assert (record["looks"], record["openings"]) == (2, 1)


def test_a_worn_out_audit_set_promotes_nobody(tiny, tracked, bundle, audit):
    tiny = tiny.model_copy(update={"promotion": tiny.promotion.model_copy(update={"audit_uses": 1})})
    bundle(**GOOD | {"d2": 0.3})
    ask(tiny, tracked)
    bundle(**GOOD)
    record = ask(tiny, tracked)
    assert (record["promoted"], record["worn_out"], record["miss_rate_bound"]) == (False, True, None)
    assert aliases(tracked) == (None, "2")
    assert read_events(prepare(tracked), "tiny", tracked, "audit_opening")[-1].facts["bound"] == "none"


@pytest.mark.parametrize(("rule", "chance"), [("zfn", 3 / 12), ("margin", None)])
def test_a_good_models_chance_of_refusal_is_told_of_the_lowest_score_only(tiny, tracked, bundle, audit, rule, chance):
    bundle(**GOOD)
    summary = {"schema_version": 3, "threshold": SUMMARY["threshold"] | {"rule": rule}}
    (tracked.bundle("tiny") / "summary.json").write_text(json.dumps(summary))
    assert ask(tiny, tracked)["chance_of_refusal"] == chance


def test_the_champion_stays_when_no_other_model_waits(tiny, tracked, bundle, audit):
    bundle(**GOOD)
    ask(tiny, tracked)
    record = ask(tiny, tracked)
    assert record["outcome"] == "stays champion"
    assert record["statement"].startswith("no other model waits; at its own promotion: promoted: 0 of 3")
    assert record["audit_sentence"].startswith("None of the 3 defects in the locked audit set is missed")  # what the gate found then
    assert record["openings"] == 1
    assert aliases(tracked) == ("1", None)


def test_an_audit_image_that_cannot_be_judged_is_not_normal(tiny, tracked, bundle, audit):
    bundle(**{name: score for name, score in GOOD.items() if name != "n2"})
    record = ask(tiny, tracked)
    assert record["promoted"] is False
    assert [(one["path"], one["why"]) for one in record["images"]] == [("n2", "not judged")]


def test_without_an_audit_set_the_gate_refuses(tiny, tracked, bundle, audit):
    audit()
    bundle(**GOOD)
    record = ask(tiny, tracked)
    assert record["promoted"] is False
    assert "there is nothing to judge on" in record["statement"]
    assert record["openings"] == 0
    assert read_events(prepare(tracked), "tiny", tracked, "audit_opening") == []  # nothing was opened


def test_only_the_audit_split_is_read(tracked, audit):
    assert list(promotion.audit_rows("tiny", tracked)["path"]) == ["d1", "d2", "d3", "n1", "n2"]


def test_the_hash_of_an_audit_set_knows_content_and_label_not_order(tracked, audit):
    rows = promotion.audit_rows("tiny", tracked)
    assert promotion.audit_hash(rows) == promotion.audit_hash(rows.iloc[::-1])
    assert promotion.audit_hash(rows) != promotion.audit_hash(rows.assign(label="normal"))
    assert promotion.audit_hash(rows) != promotion.audit_hash(rows.iloc[1:])


def test_no_model_at_all_is_refused(tiny, tracked, audit):
    with pytest.raises(ZeromissError, match="has neither challenger nor champion: train one with zeromiss run tiny"):
        promotion.promote(tiny, tracked)


def test_a_missing_manifest_is_refused(tiny, tracked, bundle):
    bundle(**GOOD)
    publish.register(tiny, tracked)
    with pytest.raises(ZeromissError, match="manifest.parquet is missing: run the stage that writes it"):
        promotion.promote(tiny, tracked)
    assert aliases(tracked) == (None, "1")
