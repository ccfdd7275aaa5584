"""The honest protocol: preprocessing, search, winner and threshold see the inner part only, outer parts judge.

The paper's protocol tells how well the chosen classifier separates the images it was chosen on; this one
how well the same way of choosing does on parts it has never met.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import t as student_t

from zeromiss.params import SelectionParams
from zeromiss.selection.fit import defect_probability
from zeromiss.selection.folds import search_folds
from zeromiss.selection.judge import Rates, rates_at
from zeromiss.selection.select import select
from zeromiss.selection.source import Source


@dataclass(frozen=True, kw_only=True)
class OuterFold:
    """What one outer fold found; rates are of the outer part at the inner part's ZFN threshold."""

    repeat: int
    winner: str
    threshold: float
    train_share: float  # of the images, in (0, 1)
    n_defects: int  # judged
    missed: int
    rates: Rates


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over outer folds and its 95 % interval, all in [0, 1]."""

    mean: float
    low: float
    high: float


def judge_outer_folds(source: Source, params: SelectionParams, seed: int) -> list[OuterFold]:
    """Return one entry an outer fold, `params.outer_repeats` times `params.outer_folds`, each stratified and by part.

    The inner threshold and winner come from the pool of the inner search folds: leaving out one part in each
    outer fold would cost as much as the paper's protocol each time. Raises ZeromissError as `select` does.
    """
    found = []
    for repeat in range(params.outer_repeats):
        for training, judged in search_folds(source.y_N, source.part_N, params.outer_folds, seed + 1 + repeat):
            inner = select(source.take(training), params, seed, pool="folds")
            outer = source.take(judged)
            probability_M = defect_probability(inner.classifier, outer.features)
            threshold = inner.judgements[inner.winner].zfn_threshold
            rates = rates_at(outer.y_N, probability_M, threshold)
            found.append(
                OuterFold(
                    repeat=repeat,
                    winner=inner.winner,
                    threshold=threshold,
                    train_share=len(training) / len(source.y_N),
                    n_defects=int(outer.y_N.sum()),
                    missed=int((probability_M[outer.y_N == 1] < threshold).sum()),
                    rates=rates,
                )
            )
    return found


def summarise(folds: Sequence[OuterFold]) -> dict[str, Interval]:
    """Return accuracy, precision, fpr and fnr over the outer folds, each as a mean with its 95 % interval."""
    rows = [asdict(fold.rates) for fold in folds]
    share = float(np.mean([fold.train_share for fold in folds]))
    return {name: mean_interval([row[name] for row in rows], share) for name in rows[0]}


def mean_interval(values: Sequence[float], train_share: float, confidence: float = 0.95) -> Interval:
    """Return mean and interval of rates from repeated folds, clipped to [0, 1].

    Folds share training images and are not independent: Student's t with the variance of Nadeau and Bengio
    (2003), s^2 (1 / folds + judged / trained). A single value gives the widest interval, [0, 1].
    """
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return Interval(mean=mean, low=0.0, high=1.0)
    error = float(np.std(values, ddof=1)) * math.sqrt(1 / count + (1 - train_share) / train_share)
    reach = float(student_t.ppf(0.5 + confidence / 2, count - 1)) * error
    return Interval(mean=mean, low=max(0.0, mean - reach), high=min(1.0, mean + reach))
