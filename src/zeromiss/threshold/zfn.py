"""The threshold below which no known defect lies (paper 1, section 3.3, last phase)."""

import numpy as np

from zeromiss.errors import ZeromissError


def zfn_threshold(y_N: np.ndarray, probability_N: np.ndarray) -> float:
    """Return the lowest probability of a defect, in [0, 1]: at or above it an image is abnormal.

    y_N: 1 = defect, 0 = normal; probability_N: of a defect, in [0, 1], higher = more abnormal.
    Raises ZeromissError without defects, or for a defect whose probability is none.
    """
    defect_D = np.asarray(probability_N, dtype=np.float64)[np.asarray(y_N) == 1]
    if not defect_D.size:
        raise ZeromissError("there is no defect to set the threshold by: add images of defects, a threshold is never guessed")
    if not np.isfinite(defect_D).all() or defect_D.min() < 0.0 or defect_D.max() > 1.0:
        raise ZeromissError("a defect's probability is not a number in [0, 1]: run the selection anew")
    return float(defect_D.min())
