"""Honest curves: what the out-of-fold scores say beyond one threshold; the content of curves.json.

Good parts passed (`passed`), AUROC over matched pairs (`matched`), probability of detection by defect size (`by_size`). Axes: R
repeats, N images, D defects.
"""

from typing import Any

import numpy as np
import pandas as pd

from zeromiss.selection.matched_auroc import matched_scores, native_scores
from zeromiss.selection.out_of_fold import OutOfFold
from zeromiss.threshold.detection_by_size import curve_facts
from zeromiss.threshold.passed import passed_facts

FILE, SCHEMA_VERSION = "curves.json", 1
FALSE_ALARMS = 0.05  # of the second threshold at which detection by size is told


def curves_facts(scores: OutOfFold, natives: pd.DataFrame, properties: pd.DataFrame, sizes: pd.DataFrame) -> dict[str, Any]:
    """Return the content of curves.json.

    natives: columns path, label and one of native scores a detector; properties: path, part_id, group and stratum of the
    images whose trivial properties were read (properties.parquet); sizes: path and side in pixels of marked defects, may be empty.
    """
    composite = pd.DataFrame(scores.probability_RN.T, index=scores.facts["path"])
    return {
        "protocol": scores.protocol,
        "repeats": len(scores.probability_RN),
        "n_defects": int((scores.y_N == 1).sum()),
        "n_normals": int((scores.y_N == 0).sum()),
        "passed": passed_facts(scores),
        "matched": matched_scores({"composite": composite} | native_scores(natives), properties),
        "by_size": size_facts(scores, sizes) if len(sizes) else None,
    }


def size_facts(scores: OutOfFold, sizes: pd.DataFrame) -> dict[str, Any]:
    """Return detection by size at two thresholds: each fold's own ZFN threshold, and the one with 5 % false alarms.

    `found`: of each marked defect the share of repeats that found it.
    """
    own = pd.Series(np.arange(len(scores.facts)), index=scores.facts["path"])
    sizes = sizes[sizes["path"].isin(own.index)]
    place_D, normal_RM = own[sizes["path"]].to_numpy(), scores.probability_RN[:, scores.y_N == 0]
    score_RD = scores.probability_RN[:, place_D]
    allowed = int(FALSE_ALARMS * normal_RM.shape[1])
    highest_R = np.sort(normal_RM, axis=1)[:, ::-1][:, allowed]  # above it lie at most 5 % of the normal images
    found = {
        "zero missed": (score_RD >= scores.threshold_RN[:, place_D]).mean(axis=0),
        "5 % false alarms": (score_RD > highest_R[:, None]).mean(axis=0),
    }
    side_D = sizes["side"].to_numpy()
    return {
        "n_defects": len(sizes),
        "side": side_D.tolist(),
        "found": {name: found_D.tolist() for name, found_D in found.items()},
        "curves": {name: curve_facts(side_D, found_D) for name, found_D in found.items()},
    }
