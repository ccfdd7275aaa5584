"""The threshold below which no known defect lies (paper 1, section 3.3, last phase)."""

from typing import Literal

import numpy as np

from zeromiss.errors import ZeromissError

Rule = Literal["zfn", "margin"]


def zfn_threshold(y_N: np.ndarray, probability_N: np.ndarray, *, rule: Rule = "zfn", margin: float = 0.0) -> float:
    """Return the threshold at or above which an image is abnormal, in [0, 1].

    y_N: 1 = defect, 0 = normal; probability_N: of a defect, in [0, 1], higher = more abnormal.
    Rule `zfn`: the lowest probability of a defect. Rule `margin`: that, times 1 - margin, which buys distance
    from the lowest known defect with false alarms; on the known defects it guarantees the same.
    Raises ZeromissError without defects, or for a margin that the rule would not use.
    """
    defect_D = np.asarray(probability_N, dtype=np.float64)[np.asarray(y_N) == 1]
    if not defect_D.size:
        raise ZeromissError("there is no defect to set the threshold by: add images of defects, a threshold is never guessed")
    if not np.isfinite(defect_D).all() or defect_D.min() < 0.0 or defect_D.max() > 1.0:
        raise ZeromissError("a defect's probability is not a number in [0, 1]: run the selection anew")
    if rule == "zfn" and margin:
        raise ZeromissError(f"threshold.margin is {margin:g}, but threshold.rule zfn has none: set threshold.rule to margin")
    return float(defect_D.min()) * (1.0 - margin)
