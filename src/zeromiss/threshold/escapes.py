"""What a miss rate means on the line: escapes per million parts, and misses among the next parts.

An escape is a defective part that the inspection passes as good.
"""

from typing import Any

from zeromiss.threshold.ranks import PARTS_PER_MILLION


def escapes(miss_rate_bound: float, next_defect_bound: float, *, defect_share: float | None, next_parts: int) -> dict[str, Any]:
    """Return the highest number of escapes that two bounds of the miss rate, in [0, 1], allow.

    `miss_rate_bound` holds with a confidence, `next_defect_bound` on average. `defect_share`: of the line's parts, in (0, 1); None: not
    known, and then all figures but `per_million_defective` are null. `next_misses` is the expected number among the next
    `next_parts` parts, defective or not, at the bound with confidence; `next_misses_mean` at the one that holds on average.
    """
    known = defect_share is not None
    return {
        "defect_share": defect_share,
        "per_million_defective": PARTS_PER_MILLION * miss_rate_bound,
        "per_million": PARTS_PER_MILLION * defect_share * miss_rate_bound if known else None,
        "next_parts": next_parts,
        "next_misses": next_parts * defect_share * miss_rate_bound if known else None,
        "next_misses_mean": next_parts * defect_share * next_defect_bound if known else None,
    }
