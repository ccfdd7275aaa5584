"""The conditions a model must meet to become champion: what was measured, the limit, and a sentence for each."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest, mannwhitneyu, permutation_test, rankdata

from zeromiss.images.words import counted
from zeromiss.registry.hardest import Hardest
from zeromiss.registry.verdict import AuditVerdict, Criterion

_DRAWS, _BATCH = 9_999, 500  # permutations where scores are tied: the smallest p-value is 1/10,000


def all_judged(verdicts: Sequence[AuditVerdict]) -> Criterion:
    """Every audit image got a verdict."""
    failed = sum(bool(verdict.error) for verdict in verdicts)
    sentence = f"every one of {len(verdicts)} audit images was judged"
    if failed:
        sentence = f"{failed} of {len(verdicts)} audit images could not be judged"
    return Criterion(name="every_image_judged", value=float(failed), limit=0.0, passed=not failed, sentence=sentence)


def enough(found: int, needed: int) -> Criterion:
    """The audit set holds enough defective parts to say anything."""
    sentence = f"the audit set holds {found} defects, at least {needed} are needed"
    if found == 0:
        sentence = f"the audit set holds no defects, so there is nothing to judge on; at least {needed} are needed"
    return Criterion(name="enough_audit_defects", value=float(found), limit=float(needed), passed=found >= needed, sentence=sentence)


def not_worn(looks: int, allowed: int, *, worn_out: bool) -> Criterion:
    """There are defects in the audit set that few enough different models were judged on."""
    sentence = f"{counted(looks, 'model')} judged on the audit set so far, and a valid bound can be stated"
    if worn_out:
        sentence = (
            f"the audit set is worn out: {looks} different models were judged on it and promotion.audit_uses allows {allowed}, "
            "so no valid bound can be stated"
        )
    return Criterion(name="audit_not_worn", value=float(looks), limit=float(allowed), passed=not worn_out, sentence=sentence)


def none_missed(defects: Sequence[AuditVerdict]) -> Criterion:
    """No audit defect was passed as good."""
    missed = sum(verdict.normal for verdict in defects)
    sentence = f"{missed} of {len(defects)} audit defects missed"
    return Criterion(name="no_missed_defect", value=float(missed), limit=0.0, passed=missed == 0 and bool(defects), sentence=sentence)


def better_than_chance(verdicts: Sequence[AuditVerdict], limit: float) -> Criterion:
    """The model's scores rank defects above normal parts, which scores that know nothing of the label do with probability `limit`.

    Every part counts with one image, the first by name (of a part with a defect: the first that shows one): images of
    one part are not independent.
    """
    defect_D, normal_M = part_scores(verdicts)
    defects, normals = len(defect_D), len(normal_M)
    if 1 / math.comb(defects + normals, defects) > limit:
        sentence = (
            f"{counted(defects, 'defect')} and {counted(normals, 'normal part')} in the audit set are too few to tell any model from "
            f"chance (p at most {limit:g}): {fewest_of_each(limit)} of each are needed"
        )
        return Criterion(name="better_than_chance", value=None, limit=limit, passed=False, sentence=sentence)
    value, area = chance_of_ranking(defect_D, normal_M), ranking(defect_D, normal_M)
    if value > limit:
        sentence = (
            "the scores do not rank audit defects above normal parts any better than chance does "
            f"(area under the curve {area:.2f}, p = {value:.2g}, allowed {limit:g})"
        )
    else:
        sentence = f"the scores rank audit defects above normal parts (area under the curve {area:.2f}, by chance with p = {value:.2g})"
    return Criterion(name="better_than_chance", value=value, limit=limit, passed=value <= limit, sentence=sentence)


def enough_normals_pass(verdicts: Sequence[AuditVerdict], min_passed: float, *, confidence: float | None, hardest: Hardest | None) -> Criterion:
    """The share of good parts that pass is at least `min_passed`, in [0, 1]: a model that alarms on nearly everything saves nobody a look.

    A part passes when all of its images do. `confidence`: of the lower bound (Clopper and Pearson's, one-sided) that is compared where there is
    a champion to fall back on; None: the share itself is. No part at all that passes is refused whatever `min_passed`. `hardest`: what
    the training data says of the defects that cost the alarms, None where nothing is known of them.
    """
    name, (passing, parts) = "enough_normals_pass", good_parts(verdicts)
    if not parts:
        return Criterion(name=name, value=None, limit=min_passed, passed=False, sentence="the audit set holds no normal images to pass")
    value, share = passing / parts, f"{100 * passing / parts:.1f} %"
    if confidence is not None:
        value = float(binomtest(passing, parts, alternative="greater").proportion_ci(confidence, method="exact").low)
        share += f"; with {100 * confidence:g} % confidence at least {100 * value:.1f} %"
    passed = passing > 0 and value >= min_passed
    sentence = f"{passing} of {counted(parts, 'good part')} in the audit set pass ({share}), promotion.min_passed asks for {100 * min_passed:g} %"
    if not passing:
        sentence = f"all {counted(parts, 'good part')} in the audit set raise a false alarm, so the model saves nobody a look"
    if not passed:
        sentence += f"; {hardest.sentence()}" if hardest else ""
        sentence += "; zeromiss labels PRODUCT shows the defects to look at first"
    return Criterion(name=name, value=value, limit=min_passed, passed=passed, sentence=sentence)


def good_parts(verdicts: Sequence[AuditVerdict]) -> tuple[int, int]:
    """Return how many parts without a defect had all of their images passed as good, and how many such parts there are."""
    parts = {verdict.part for verdict in verdicts} - {verdict.part for verdict in verdicts if verdict.label == "defect"}
    alarmed = {verdict.part for verdict in verdicts if not verdict.normal}
    return len(parts - alarmed), len(parts)


def no_more_alarms(normals: Sequence[AuditVerdict], champion: Sequence[AuditVerdict] | None, level: float) -> Criterion:
    """The false positive rate does not lie above the champion's on the same images, beyond what chance explains.

    Refused where it is higher and the exact sign test over normal parts (McNemar's), one-sided towards more alarms, gives a
    p-value of at most `level`. A part counts as alarmed when one of its images is.
    """
    name, rate = "false_alarms", false_positive_rate(normals)
    ours = "no normal audit images" if rate is None else f"{alarms(normals)} of {len(normals)} normal audit images raise a false alarm"
    if champion is None:
        return Criterion(name=name, value=rate, limit=None, passed=True, sentence=f"{ours}; there is no champion to compare with")
    theirs = [verdict for verdict in champion if verdict.label == "normal"]
    limit = false_positive_rate(theirs)
    if rate is None or limit is None:
        sentence = "the audit set holds no normal images to compare with the champion on"
        return Criterion(name=name, value=rate, limit=limit, passed=False, sentence=sentence)
    sentence = f"{ours}, the champion raises {alarms(theirs)} on the same"
    value, more, fewer = paired_alarms(normals, theirs)
    if more or fewer:
        verb = "is" if more == 1 else "are"
        sentence += f"; {counted(more, 'part')} {verb} new among them and {fewer} gone (one-sided sign test: p = {value:.2g}, refused up to {level:g})"
    return Criterion(name=name, value=rate, limit=limit, passed=rate <= limit or value > level, sentence=sentence)


def paired_alarms(ours: Sequence[AuditVerdict], theirs: Sequence[AuditVerdict]) -> tuple[float, int, int]:
    """Return the p-value in (0, 1] that only chance makes our alarms more, the parts that only we alarm, and those that only they do."""
    mine, other = ({verdict.part for verdict in verdicts if not verdict.normal} for verdicts in (ours, theirs))
    more, fewer = len(mine - other), len(other - mine)
    return (float(binomtest(more, more + fewer, alternative="greater").pvalue) if more + fewer else 1.0), more, fewer


def part_scores(verdicts: Sequence[AuditVerdict]) -> tuple[np.ndarray, np.ndarray]:
    """Return one score a part, (D,) of parts with a defect and (M,) of normal ones; what could not be judged is left out."""
    first: dict[str, dict[str, float]] = {"defect": {}, "normal": {}}
    for verdict in sorted(verdicts, key=lambda verdict: verdict.path):
        if verdict.score is not None:
            first[verdict.label].setdefault(verdict.part, verdict.score)
    faulty = {verdict.part for verdict in verdicts if verdict.label == "defect"}
    normal_M = [score for part, score in first["normal"].items() if part not in faulty]
    return np.array(list(first["defect"].values())), np.array(normal_M)


def ranking(defect_D: np.ndarray, normal_M: np.ndarray) -> float:
    """Return the area under the ROC curve in [0, 1]: the share of pairs in which the defect has the higher score, a tie half."""
    return float(mannwhitneyu(defect_D, normal_M, method="asymptotic").statistic) / (len(defect_D) * len(normal_M))


def chance_of_ranking(defect_D: np.ndarray, normal_M: np.ndarray) -> float:
    """Return the one-sided Mann-Whitney p-value in (0, 1]: how likely scores that know nothing of the label rank as well.

    Where scores are tied by permutation: tail probabilities of the normal approximation are then wrong several times.
    """
    both = np.concatenate([defect_D, normal_M])
    if min(len(defect_D), len(normal_M)) == 1:  # scipy permutes two or more
        return float(np.mean(both >= defect_D[0] if len(defect_D) == 1 else both <= normal_M[0]))
    if len(np.unique(both)) == len(both):
        return float(mannwhitneyu(defect_D, normal_M, alternative="greater").pvalue)
    ranks = rankdata(both)
    groups = (ranks[: len(defect_D)], ranks[len(defect_D) :])
    drawn = permutation_test(
        groups, _rank_sum, alternative="greater", vectorized=True, n_resamples=_DRAWS, batch=_BATCH, rng=np.random.default_rng(0)
    )
    return float(drawn.pvalue)


def _rank_sum(defect_BD: np.ndarray, _normal_BM: np.ndarray, *, axis: int) -> np.ndarray:
    """Return the sum of the defects' ranks, (B,): it orders permutations as Mann and Whitney's U does."""
    return defect_BD.sum(axis=axis)


def fewest_of_each(limit: float) -> int:
    """Return how many defects and as many normal parts, all ranked right, make a p-value of at most `limit` in (0, 1)."""
    return next(count for count in range(1, 10_000) if 1 / math.comb(2 * count, count) <= limit)


def false_positive_rate(normals: Sequence[AuditVerdict]) -> float | None:
    """Return the share of normal images not passed as good, in [0, 1]; None without normal images."""
    return alarms(normals) / len(normals) if normals else None


def alarms(normals: Sequence[AuditVerdict]) -> int:
    """Count the normal images that were not passed as good."""
    return sum(not verdict.normal for verdict in normals)
