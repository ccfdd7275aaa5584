"""What false alarms cost: seconds of manual review a part (paper 1, section 4.3)."""

from zeromiss.errors import ZeromissError


def review_seconds(fpr: float, manual_seconds: float) -> float:
    """Return the mean seconds a person spends on a normal part: the false-positive rate times a full look's seconds.

    `fpr` in [0, 1]; `manual_seconds` is what a look at every part takes. Raises ZeromissError out of range.
    """
    if not 0.0 <= fpr <= 1.0 or not manual_seconds >= 0.0:
        raise ZeromissError(f"review time needs a rate in [0, 1] and seconds of at least 0, not {fpr:g} and {manual_seconds:g}")
    return fpr * manual_seconds
