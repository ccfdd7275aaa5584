"""The null check: with shuffled labels the promotion gate fails 100 times of 100, and with true labels it does not.

Everything between labels and answer is the product's own: split, selection, threshold, audit verdicts, gate.
"""

import numpy as np
import pandas as pd
import pytest

from zeromiss.images.split import assign_splits
from zeromiss.registry.gate import judge
from zeromiss.registry.verdict import AuditVerdict
from zeromiss.selection.probability import defect_probability
from zeromiss.selection.select import select
from zeromiss.selection.source import read_source
from zeromiss.stage_params import ManifestParams, PromotionParams, SelectionParams
from zeromiss.threshold.zfn import zfn_threshold

DEFECTS, NORMALS = 23, 27  # 16 and 16 make the table, 7 and 7 the audit set: just enough to tell from chance
SELECTION = SelectionParams(families=("lr", "nb", "knn"), draws=2, folds=2, jobs=1)
MANIFEST = ManifestParams(train=0.15, mask=0, audit=0.3)


def images(seed, *, shuffled):
    """Draw images with a feature that tells defects from normal ones and two that do not; shuffle all labels if asked."""
    random = np.random.default_rng(seed)
    labels = np.array(["defect"] * DEFECTS + ["normal"] * NORMALS)
    features = random.normal(size=(DEFECTS + NORMALS, 3)) + np.outer(labels == "defect", [4.0, 0.0, 0.0])
    if shuffled:
        labels = random.permutation(labels)
    names = [f"{seed}-{number}" for number in range(len(labels))]
    facts = {"path": names, "sha256": names, "part_id": names, "label": labels, "defect_type": "", "native_score": 0.0, "source_split": ""}
    return pd.DataFrame(facts | {f"f{column}": features[:, column] for column in range(3)})


def answer(seed, *, shuffled):
    """Let the product select, set its threshold and judge the audit set, and ask the gate as it is set by default."""
    drawn = images(seed, shuffled=shuffled)
    split = assign_splits(drawn, params=MANIFEST, mask=0, seed=seed)
    drawn = drawn.drop(columns="source_split")
    source = read_source(drawn[split == "table"].reset_index(drop=True))
    selection = select(source, SELECTION, seed)
    threshold = zfn_threshold(source.y_N, selection.pools[selection.winner].probability_N)
    audit = drawn[split == "audit"]
    scores = defect_probability(selection.classifier, audit[source.features.columns])
    verdicts = [
        AuditVerdict(path=row.path, label=row.label, score=float(score), threshold=threshold)
        for row, score in zip(audit.itertuples(), scores, strict=True)
    ]
    gate = PromotionParams()
    return judge(
        verdicts, None, confidence=gate.confidence, min_audit_defects=gate.min_audit_defects, chance=gate.chance, audit_uses=gate.audit_uses
    )


@pytest.fixture(scope="module")
def shuffled():
    """A hundred answers about models of shuffled labels."""
    return [answer(seed, shuffled=True) for seed in range(100)]


def failed(answers, *names):
    """Count the answers in which one of these conditions failed."""
    return sum(any(one.name in names and not one.passed for one in each.criteria) for each in answers)


def test_shuffled_labels_are_refused_100_times_of_100(shuffled):
    assert sum(not each.promoted for each in shuffled) == 100
    assert failed(shuffled, "better_than_chance") == 100


def test_missed_defects_alone_would_not_have_refused_them(shuffled):
    """The lowest score of defects drawn at random lies below nearly everything: few audit defects fall below it."""
    assert failed(shuffled, "no_missed_defect", "enough_audit_defects", "every_image_judged") < 40


def test_true_labels_are_promoted_in_most_runs():
    answers = [answer(seed, shuffled=False) for seed in range(20)]
    assert sum(each.promoted for each in answers) >= 11  # 7 audit defects after 16: three runs in ten miss one
    assert failed(answers, "better_than_chance") == 0
