"""XGBoost and LightGBM fitted to judge one fold: many fits share the binned rows, which take as long to make as the trees.

Each function takes an unfitted estimator and gives the probabilities which it would give after `fit`, bit for
bit. Axis M: judged images.
"""

import lightgbm
import numpy as np
import xgboost

from zeromiss.selection.bench import Bench


def xgboost_probability(boosting: xgboost.XGBClassifier, bench: Bench) -> np.ndarray:
    """Return XGBoost's probability of a defect, (M,) float32."""
    fold, bins = bench.fold, boosting.max_bin
    rows = bench.once(("xgboost", bins), lambda: xgboost.QuantileDMatrix(fold.train_NF, fold.train_N, nthread=1, max_bin=bins))
    booster = xgboost.Booster(boosting.get_xgb_params(), [rows])
    for number in range(boosting.n_estimators):
        booster.update(rows, number)
    return booster.inplace_predict(fold.judged_MF, validate_features=False)


def lightgbm_probability(boosting: lightgbm.LGBMClassifier, bench: Bench) -> np.ndarray:
    """Return LightGBM's probability of a defect, (M,).

    Columns that no split with `min_child_samples` could use are left out of the bins, so fits share them only
    where that number and the constraints are the same.
    """
    fold, given = bench.fold, boosting.get_params()
    unused = ("n_estimators", "n_jobs", "class_weight", "importance_type")
    params = {name: value for name, value in given.items() if value is not None and name not in unused}
    params |= {"objective": "binary", "num_threads": 1}
    key = ("lightgbm", boosting.max_bin, boosting.min_child_samples, str(given.get("monotone_constraints")))
    rows = bench.once(key, lambda: lightgbm.Dataset(fold.train_NF, fold.train_N, params=params).construct())
    booster = lightgbm.Booster(params, rows)
    for _ in range(boosting.n_estimators):
        booster.update()
    return booster.predict(fold.judged_MF, num_threads=1)
