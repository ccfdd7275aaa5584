"""Is a score of 0.8 right eight times in ten? The reliability of the winner's pooled scores, and a curve where it helps.

Scores and probabilities are of a defect, in [0, 1], higher = more abnormal; labels 1 = defect, 0 = normal. Verdicts
never use the curve: the threshold lies on the raw score. Axes: N images, K points of a curve, G parts.
"""

from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import binomtest, t
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from zeromiss.selection.curve import Curve
from zeromiss.selection.folds import search_folds

SCHEMA_VERSION = 1
FILE = "calibration.json"
BINS = 10  # of the reliability curve, equally wide
CONFIDENCE = 0.95
ISOTONIC_FROM = 1000  # images: steps fitted to fewer follow the noise, a sigmoid's two numbers don't
_GRID = np.linspace(0.0, 1.0, 101)  # scores at which a sigmoid is written down
Method = Literal["isotonic", "sigmoid"]


def calibrate(y_N: np.ndarray, score_N: np.ndarray, part_N: np.ndarray, *, folds: int, seed: int) -> dict[str, Any]:
    """Return the content of calibration.json for the winner's out-of-fold scores.

    The curve is judged cross-fitted: each image by a curve that saw no image of its part. It `helps` only if the Brier
    score falls by more than its noise: if the 95 % interval of the difference over parts lies below 0.
    Raises ZeromissError when a class has fewer parts than `folds`.
    """
    method: Method = "isotonic" if len(y_N) >= ISOTONIC_FROM else "sigmoid"
    crossed_N = np.empty(len(y_N))
    for training, judged in search_folds(y_N, part_N, folds, seed):
        crossed_N[judged] = fit_curve(y_N[training], score_N[training], method).at(score_N[judged])
    difference = brier_difference(y_N, score_N, crossed_N, part_N)
    helps = difference["high"] < 0.0
    curve = fit_curve(y_N, score_N, method) if helps else Curve(x=(), y=())
    found = {
        "method": method if helps else None,
        "tried": method,
        "helps": helps,
        "brier_raw": float(brier_score_loss(y_N, score_N)),
        "brier_calibrated": float(brier_score_loss(y_N, crossed_N)),
        "difference": difference,
        "defect_share": float(np.mean(y_N)),
        "reliability": reliability(y_N, score_N),
        "x": list(curve.x),
        "y": list(curve.y),
    }
    return found | {"sentence": _sentence(found, len(y_N))}


def fit_curve(y_N: np.ndarray, score_N: np.ndarray, method: Method) -> Curve:
    """Fit a rising curve from score to probability on images of both labels.

    `isotonic`: the best rising steps. `sigmoid`: Platt's, with his targets (n + 1) / (n + 2) and 1 / (n + 2) in place
    of 1 and 0. No point lies nearer to 0 or 1 than 1 / (N + 2): that nothing was seen is no proof.
    """
    if method == "isotonic":
        fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(score_N, y_N)
        x_K, y_K = fitted.X_thresholds_, fitted.y_thresholds_
    else:
        x_K, y_K = _GRID, _sigmoid(y_N, score_N)
    nearest = 1.0 / (len(y_N) + 2)
    return Curve(x=tuple(map(float, x_K)), y=tuple(map(float, np.clip(y_K, nearest, 1.0 - nearest))))


def _sigmoid(y_N: np.ndarray, score_N: np.ndarray) -> np.ndarray:
    """Return Platt's sigmoid on the grid; one that falls with the score is replaced by the share of defects."""
    n_defects = int(np.sum(y_N))
    target_N = np.where(y_N == 1, (n_defects + 1) / (n_defects + 2), 1 / (len(y_N) - n_defects + 2))
    # a target between 0 and 1 is an image of both labels, each with its share of weight
    fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    fitted.fit(np.tile(score_N, 2)[:, None], np.repeat([1, 0], len(y_N)), sample_weight=np.concatenate((target_N, 1 - target_N)))
    if fitted.coef_[0, 0] <= 0.0:
        return np.full(len(_GRID), np.mean(y_N))
    return fitted.predict_proba(_GRID[:, None])[:, 1]


def brier_difference(y_N: np.ndarray, raw_N: np.ndarray, calibrated_N: np.ndarray, part_N: np.ndarray) -> dict[str, float]:
    """Return the calibrated Brier score less the raw one (below 0: better), with its 95 % interval over parts.

    Images of one part go together: the variance is that of the parts' sums about their share of the mean.
    """
    gain_N = (calibrated_N - y_N) ** 2 - (raw_N - y_N) ** 2
    mean = float(gain_N.mean())
    rest_G = pd.Series(gain_N - mean).groupby(np.asarray(part_N, dtype=str)).sum().to_numpy()
    parts = len(rest_G)
    error = float(np.sqrt(parts / (parts - 1) * np.square(rest_G).sum())) / len(gain_N)
    reach = float(t.isf((1.0 - CONFIDENCE) / 2.0, parts - 1)) * error
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


def reliability(y_N: np.ndarray, score_N: np.ndarray) -> list[dict[str, float]]:
    """Return one entry for each bin of scores that holds any: its bounds, n, mean score, and the share of defects in it.

    Bins are half open, low <= score < high, the last closed; the share comes with Wilson's 95 % interval, which takes
    images for independent.
    """
    bin_N = np.minimum((np.asarray(score_N) * BINS).astype(int), BINS - 1)
    entries = []
    for number in np.unique(bin_N):
        inside = bin_N == number
        found = binomtest(int(y_N[inside].sum()), int(inside.sum())).proportion_ci(CONFIDENCE, method="wilson")
        entries.append(
            {
                "low": number / BINS,
                "high": (number + 1) / BINS,
                "n": int(inside.sum()),
                "mean_score": float(score_N[inside].mean()),
                "share_defects": float(y_N[inside].mean()),
                "share_low": float(found.low),
                "share_high": float(found.high),
            }
        )
    return entries


def _sentence(found: dict[str, Any], images: int) -> str:
    """Say in one sentence whether the curve helps, and what its probability means."""
    difference, share = found["difference"], found["defect_share"]
    interval = f"95 % interval {difference['low']:+.4f} to {difference['high']:+.4f}, n = {images}"
    if not found["helps"]:
        return (
            f"The raw score is kept: a {found['tried']} curve changes its Brier score of {found['brier_raw']:.4f} by "
            f"{difference['mean']:+.4f} ({interval}), no improvement beyond noise."
        )
    return (
        f"The calibrated probability ({found['method']}) has a Brier score of {found['brier_calibrated']:.4f}, the raw score one of "
        f"{found['brier_raw']:.4f} ({interval}); it is the probability at the table's share of defects, {100.0 * share:.3g} %, not at the line's."
    )
