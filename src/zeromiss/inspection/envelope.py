"""The envelope of normal parts: how far their metrics reach, so that what lies outside is abnormal whatever the classifier says.

A classifier that learned from ten defects knows those ten; a blob of another colour may lie on the good side of all it drew.
The envelope is learned from normal parts alone and can only add *abnormal*. It asks two questions, each a number (higher =
more abnormal): does one column that rises with abnormality reach further than normal parts reach (`peak`), and do all columns
together lie where normal parts never lie (`joint`)? Limits come from normal parts that the numbers were not learned from.

Axes: N images, F columns, K principal axes. No paper has this.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationError
from sklearn.decomposition import PCA
from sklearn.model_selection import GroupKFold

from zeromiss.errors import ZeromissError
from zeromiss.files import read_json
from zeromiss.metrics.columns import RESIDUAL, rises
from zeromiss.sections import Section, first_fault

FILE = "envelope.json"
SCHEMA_VERSION = 1
LEAST = 20  # normal images without which there is no envelope
AXES = 16  # principal axes at most
FOLDS = 10
QUESTIONS = ("peak", "joint")
MARGIN = 1.0  # limits lie so many standard deviations, of the logarithm, above the furthest normal part
REACH = 0.99  # quantile of a column's normal values that counts as its reach
TALKED_OF = 3  # columns that a reason names


class Envelope(Section):
    """How far normal parts' metrics reach; `limits` are those of QUESTIONS."""

    columns: tuple[str, ...] = Field(min_length=1)
    median: tuple[float, ...]  # of normal images
    spread: tuple[float, ...]  # scaled median absolute deviation, the standard deviation where that is 0; 0: a column that never varies, not asked
    reach: tuple[float, ...]  # of the drawn-in values, >= 1
    mean: tuple[float, ...]  # of the drawn-in values
    axes: tuple[tuple[float, ...], ...]  # (K, F), orthonormal
    variance: tuple[float, ...]  # along the axes
    rest: float = Field(gt=0.0)  # variance along each other direction
    limits: tuple[float, float]
    n_normals: int
    false_share: float = Field(ge=0.0, le=1.0)  # of normal parts outside of an envelope that was learned without them

    def reason(self, features: Mapping[str, float]) -> str:
        """Return why an image with these metrics lies outside, '' where it lies inside; raises ZeromissError for a column that is missing."""
        missing = [name for name in self.columns if name not in features]
        if missing:
            raise ZeromissError(f"the measurements lack {missing[0]}, which the envelope of normal parts reads: bundle anew")
        row_1F = np.array([[features[name] for name in self.columns]], dtype=np.float64)
        outside = self.numbers(row_1F)[0] / np.array(self.limits)
        if not (outside > 1.0).any():
            return ""
        further_F = self._further(row_1F)[0]
        furthest = [place for place in np.argsort(-further_F, kind="stable")[:TALKED_OF] if further_F[place] > 1.0]
        named = ", ".join(f"{self.columns[place]} {row_1F[0, place]:.4g} (normal parts: about {self.median[place]:.4g})" for place in furthest)
        kind = "one metric lies further out than in any normal part" if outside[0] > 1.0 else "its metrics together lie where those of no normal part lie"
        return f"outside of all normal parts, {kind}" + (f": {named}" if named else "")

    def numbers(self, X_NF: np.ndarray) -> np.ndarray:
        """Return peak and joint of images (N, 2), both > 0, higher = more abnormal.

        peak: the largest drawn-in value of a rising column, in units of its reach. joint: the root of the mean square of all drawn-in
        values, those along the axes in units of their deviation, the others in units of the rest's: a Mahalanobis distance.
        """
        drawn_NF = self._drawn(X_NF)
        away_NF = drawn_NF - np.array(self.mean)
        along_NK = away_NF @ np.array(self.axes).reshape(len(self.variance), -1).T
        beside_N = np.maximum((away_NF**2).sum(axis=1) - (along_NK**2).sum(axis=1), 0.0)
        squares_N = (along_NK**2 / np.array(self.variance)).sum(axis=1) + beside_N / self.rest
        rising_F = np.array([_is_asked_alone(name) for name in self.columns]) & (np.array(self.spread) > 0.0)
        peak_N = (drawn_NF / np.array(self.reach))[:, rising_F].max(axis=1, initial=_LEAST_PEAK)
        return np.stack([peak_N, np.sqrt(squares_N / len(self.columns))], axis=1)

    def _drawn(self, X_NF: np.ndarray) -> np.ndarray:
        """Return values as asinh of their distance from the median in spreads: far out by their logarithm."""
        spread_F = np.array(self.spread)
        varies_F = spread_F > 0.0
        return np.where(varies_F, np.arcsinh((X_NF - np.array(self.median)) / np.where(varies_F, spread_F, 1.0)), 0.0)

    def _further(self, X_NF: np.ndarray) -> np.ndarray:
        """Return how far each value lies out, in units of its column's reach, either way."""
        return np.abs(self._drawn(X_NF)) / np.array(self.reach)


_LEAST_PEAK = 0.01  # of an image all of whose rising columns lie below the median; above 0, since limits are of the logarithm


def fit_envelope(columns: Sequence[str], X_NF: np.ndarray, part_N: Sequence[str]) -> Envelope | None:
    """Learn the envelope from normal images' metrics (N, F), whose columns are named; None where there are fewer than LEAST images or parts for two folds.

    Limits: FOLDS times the numbers of the images of a part are taken from an envelope learned from other parts; a limit lies MARGIN
    standard deviations above the largest, both of the logarithm. `false_share` is measured so too, limits included.
    """
    X_NF, parts, columns = np.asarray(X_NF, dtype=np.float64), np.asarray(part_N), tuple(columns)
    if len(X_NF) < LEAST or len(np.unique(parts)) < LEAST:
        return None
    outside_N = np.zeros(len(X_NF), dtype=bool)
    for learned, judged in _folds(parts, 5):
        inner = _learn(X_NF[learned], columns) | {"limits": _limits(X_NF[learned], parts[learned], columns)}
        envelope = Envelope(**inner, n_normals=len(learned), false_share=0.0)
        outside_N[judged] = (envelope.numbers(X_NF[judged]) > np.array(envelope.limits)).any(axis=1)
    limits = _limits(X_NF, parts, columns)
    return Envelope(**_learn(X_NF, columns), limits=limits, n_normals=len(X_NF), false_share=float(outside_N.mean()))


def load_envelope(path: Path) -> Envelope:
    """Read what the threshold stage wrote; raises ZeromissError for a file that is missing or holds something else."""
    payload = {key: value for key, value in read_json(path, schema_version=SCHEMA_VERSION).items() if key != "schema_version"}
    try:
        return Envelope.model_validate(payload)
    except ValidationError as error:
        key, fault = first_fault(error)
        raise ZeromissError(f"{path}: {key}: {fault}: run the threshold stage anew") from None


def _limits(X_NF: np.ndarray, parts: np.ndarray, columns: tuple[str, ...]) -> tuple[float, float]:
    """Return the limits of the two numbers, by images that were not learned from."""
    numbers_N2 = np.zeros((len(X_NF), len(QUESTIONS)))
    for learned, judged in _folds(parts, FOLDS):
        numbers_N2[judged] = Envelope(**_learn(X_NF[learned], columns), limits=(1.0, 1.0), n_normals=len(learned), false_share=0.0).numbers(X_NF[judged])
    return tuple(float(one) for one in limits_of(numbers_N2))


def limits_of(numbers_N2: np.ndarray) -> np.ndarray:
    """Return the limit of each number from those of normal images: MARGIN standard deviations above the largest, of the logarithm."""
    logarithm_N2 = np.log(numbers_N2)
    return np.exp(logarithm_N2.max(axis=0) + MARGIN * logarithm_N2.std(axis=0))


def _folds(parts: np.ndarray, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return folds by part, as many as there can be up to `count`."""
    return list(GroupKFold(min(count, len(np.unique(parts))), shuffle=True, random_state=0).split(parts, groups=parts))


def _learn(X_NF: np.ndarray, columns: tuple[str, ...]) -> dict[str, object]:
    """Return all of an envelope but its limits."""
    median_F = np.median(X_NF, axis=0)
    robust_F = 1.4826 * np.median(np.abs(X_NF - median_F), axis=0)  # of a normal distribution the standard deviation
    spread_F = np.where(robust_F > 1e-9 * np.abs(median_F), robust_F, X_NF.std(axis=0))
    varies_F = spread_F > 1e-9 * np.abs(median_F)
    spread_F = np.where(varies_F, spread_F, 0.0)
    drawn_NF = np.where(varies_F, np.arcsinh((X_NF - median_F) / np.where(varies_F, spread_F, 1.0)), 0.0)
    found = PCA(min(AXES, len(X_NF) // 3, X_NF.shape[1] - 1), svd_solver="full").fit(drawn_NF)
    keep_K = found.explained_variance_ > 1e-9
    return {
        "columns": columns,
        "median": tuple(median_F.tolist()),
        "spread": tuple(spread_F.tolist()),
        "reach": tuple(np.maximum(np.quantile(np.abs(drawn_NF), REACH, axis=0), 1.0).tolist()),
        "mean": tuple(found.mean_.tolist()),
        "axes": tuple(map(tuple, found.components_[keep_K].tolist())),
        "variance": tuple(found.explained_variance_[keep_K].tolist()),
        "rest": max(float(found.noise_variance_), 1e-9),
    }


def _is_asked_alone(column: str) -> bool:
    """Whether a column that lies far out is by itself a reason."""
    return rises(column) and column.split(".")[1] != RESIDUAL
