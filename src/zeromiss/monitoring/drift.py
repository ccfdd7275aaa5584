"""Whether two groups of images come from one source: Kolmogorov and Smirnov's statistic and PSI of every metric, and one figure for all.

Shapes: N images of the metric table, M images of a window, F metrics, P permutations.

The p-values of all metrics together come from permutations: if window and table have one source, every choice of M
of the N + M images is as likely to be the window, whatever the metrics' distributions and however they hang
together. So the chance of a false alarm is the one that was asked for, with no limit set by hand.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import ks_2samp

_BINS = 10  # of equal shares of the table's images
_PRIOR = 0.5  # images added to every bin, so that an empty one has a logarithm
_CHUNK = 100  # permutations held at a time


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What was found. Statistics in [0, 1]; PSI >= 0; higher = more different."""

    ks_F: np.ndarray  # largest distance of the two distribution functions
    p_F: np.ndarray  # of each metric alone
    corrected_F: np.ndarray  # chance that any metric reaches this distance where nothing has changed (Westfall and Young)
    psi_F: np.ndarray
    mean: float  # of ks_F
    mean_limit: float  # what `mean` exceeds with half the chance of a false alarm where nothing has changed
    psi: float  # mean of psi_F
    psi_limit: float  # what `psi` exceeds with the chance of a false alarm where nothing has changed
    p: float  # overall: of the mean and the largest distance together (Bonferroni)

    @property
    def worst(self) -> np.ndarray:
        """The metrics' indices, the most different first."""
        return np.lexsort((-self.psi_F, -self.ks_F))


def compare(table_NF: np.ndarray, window_MF: np.ndarray, *, permutations: int, false_alarm: float, seed: int) -> Drift:
    """Return how a window's metrics differ from the table's; both float64 and finite."""
    whole = _Pool(table_NF, window_MF)
    now = np.zeros((1, whole.images), dtype=bool)
    now[0, len(table_NF) :] = True
    ks_F, psi_F = whole.distances(now)[0], whole.psi(now)[0]
    drawn = [(whole.distances(chosen), whole.psi(chosen)) for chosen in _choices(whole.images, len(window_MF), permutations, seed)]
    means, largest = np.concatenate([one.mean(axis=1) for one, _ in drawn]), np.concatenate([one.max(axis=1) for one, _ in drawn])
    psis = np.concatenate([one.mean(axis=1) for _, one in drawn])
    corrected_F = (1 + (largest[:, None] >= ks_F[None, :] - 1e-12).sum(axis=0)) / (1 + permutations)
    of_mean = (1 + int((means >= ks_F.mean() - 1e-12).sum())) / (1 + permutations)
    return Drift(
        ks_F=ks_F, p_F=np.array([ks_2samp(table_NF[:, f], window_MF[:, f], method="asymp").pvalue for f in range(len(ks_F))]),
        corrected_F=corrected_F, psi_F=psi_F, mean=float(ks_F.mean()), mean_limit=float(np.quantile(means, 1.0 - false_alarm / 2)),
        psi=float(psi_F.mean()), psi_limit=float(np.quantile(psis, 1.0 - false_alarm)), p=min(1.0, 2.0 * min(of_mean, float(corrected_F.min()))),
    )  # fmt: skip


def mean_distance(table_NF: np.ndarray, window_MF: np.ndarray) -> float:
    """Return the mean distance over the metrics, in [0, 1], alone."""
    now = np.arange(len(table_NF) + len(window_MF)) >= len(table_NF)
    return float(_Pool(table_NF, window_MF).distances(now[None, :]).mean())


class _Pool:
    """Table and window in one heap, sorted once, from which any choice of images is compared with the rest."""

    def __init__(self, table_NF: np.ndarray, window_MF: np.ndarray) -> None:
        """Sort every metric and fix the bins from the table."""
        pool = np.concatenate((table_NF, window_MF))
        self.images, self.metrics = pool.shape
        self._order_FS = np.argsort(pool, axis=0, kind="stable").T
        sorted_FS = np.sort(pool, axis=0).T
        self._ends_FS = np.concatenate((sorted_FS[:, :-1] != sorted_FS[:, 1:], np.ones((self.metrics, 1), dtype=bool)), axis=1)
        self._bin_FS = np.stack([_bins(table_NF[:, f], pool[:, f]) for f in range(self.metrics)])

    def distances(self, chosen_PS: np.ndarray) -> np.ndarray:
        """Return the statistic of each choice and metric, (P, F), in whole numbers until the end: ties are exact."""
        found = np.empty((len(chosen_PS), self.metrics))
        for place, chosen_S in enumerate(chosen_PS):
            inside = int(chosen_S.sum())
            steps_S = np.where(chosen_S, self.images - inside, -inside)
            heights_FS = np.abs(np.cumsum(steps_S[self._order_FS], axis=1)) * self._ends_FS
            found[place] = heights_FS.max(axis=1) / (inside * (self.images - inside))
        return found

    def psi(self, chosen_PS: np.ndarray) -> np.ndarray:
        """Return the population stability index of each choice and metric, (P, F)."""
        hot_SB = (self._bin_FS[:, :, None] == np.arange(_BINS)).transpose(1, 0, 2).reshape(self.images, -1).astype(np.float32)
        inside = (chosen_PS.astype(np.float32) @ hot_SB).reshape(len(chosen_PS), self.metrics, _BINS).astype(np.float64)
        outside = hot_SB.sum(axis=0, dtype=np.float64).reshape(1, self.metrics, _BINS) - inside
        new, old = _shares(inside), _shares(outside)
        return ((new - old) * np.log(new / old)).sum(axis=2)


def _bins(table_N: np.ndarray, values_S: np.ndarray) -> np.ndarray:
    """Return each value's bin: those of the table's tenths, fewer where many values are the same."""
    edges = np.unique(np.quantile(table_N, np.arange(1, _BINS) / _BINS))
    return np.searchsorted(edges, values_S, side="left")


def _shares(counts: np.ndarray) -> np.ndarray:
    """Return counts as shares, a little of the prior in every bin."""
    raised = counts + _PRIOR
    return raised / raised.sum(axis=2, keepdims=True)


def _choices(images: int, size: int, permutations: int, seed: int) -> Iterator[np.ndarray]:
    """Yield choices of `size` images as (up to _CHUNK, S) booleans, `permutations` in all."""
    generator = np.random.default_rng(seed)
    for start in range(0, permutations, _CHUNK):
        ranks = generator.random((min(_CHUNK, permutations - start), images)).argpartition(size - 1, axis=1)[:, :size]
        chosen = np.zeros((len(ranks), images), dtype=bool)
        np.put_along_axis(chosen, ranks, True, axis=1)
        yield chosen
