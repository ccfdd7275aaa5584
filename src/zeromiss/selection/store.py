"""The fitted classifier as a file: skops, with the few types each family needs named here.

No pickle: reading a file runs no code of its own. A file with any other type is refused.
"""

from pathlib import Path

from skops.io import dumps, get_untrusted_types, loads
from sklearn.pipeline import Pipeline

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path

STEPS = ["residual", "constant", "tails", "correlated", "scale", "classifier"]
AS_MEASURED = [step for step in STEPS if step != "tails"]  # of selection.tails as_measured
PREPROCESSING = frozenset(
    f"zeromiss.selection.preprocess.{name}" for name in ("DrawTailsIn", "DropConstant", "DropCorrelated", "KeepBest", "UnitScale")
) | {"zeromiss.selection.residuals.ResidualLogOdds"}
_TREES = frozenset({"sklearn.tree._tree.Tree"})
_LIGHTGBM = frozenset({"collections.OrderedDict", "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier"})
_XGBOOST = frozenset({"xgboost.core.Booster", "xgboost.sklearn.XGBClassifier"})
TRUSTED = {  # beyond what skops itself knows of NumPy and scikit-learn
    "dt": _TREES, "rf": _TREES, "et": _TREES, "ada": _TREES, "lightgbm": _LIGHTGBM, "gbc": _TREES,
    "xgboost": _XGBOOST, "lr": frozenset(), "knn": frozenset(), "nb": frozenset(), "lda": frozenset(), "qda": frozenset(),
    "wmw": frozenset({"zeromiss.selection.wmw.WMWClassifier"}), "nnlr": frozenset({"zeromiss.selection.nonnegative.NonNegativeLogistic"}),
}  # fmt: skip
VOTE = "zeromiss.selection.vote.SoftVote"  # the one classifier that holds others: what any family needs may lie beside it


def save_classifier(path: Path, pipeline: Pipeline) -> None:
    """Write a fitted pipeline of `fit_pipeline`, atomically.

    Raises ZeromissError when it holds anything `load_classifier` would refuse.
    """
    content = dumps(pipeline)
    _check_types(path, content)
    _check_steps(path, pipeline)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def load_classifier(path: Path) -> Pipeline:
    """Read what `save_classifier` wrote: its probabilities are bit-equal to those before.

    Raises ZeromissError when the file is missing, is no skops file, or holds a type that no family needs.
    """
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise ZeromissError(f"{path} cannot be read ({problem.strerror}): run the selection stage") from None
    allowed = _check_types(path, content)
    try:
        pipeline = loads(content, trusted=sorted(allowed))
    except Exception as problem:  # a damaged file can fail anywhere inside the libraries it names
        raise ZeromissError(f"{path} is a damaged classifier file ({type(problem).__name__}): run the selection stage anew") from None
    _check_steps(path, pipeline)
    return pipeline


def _check_types(path: Path, content: bytes) -> frozenset[str]:
    """Return the types found beyond skops' own; refuse them unless one family explains them all."""
    try:
        found = frozenset(get_untrusted_types(data=content))
    except Exception:  # skops raises whatever its ZIP and JSON readers do
        raise ZeromissError(f"{path} is no skops file: only classifiers written by the selection stage are read") from None
    known = PREPROCESSING.union({VOTE}, *TRUSTED.values())
    if any(found <= PREPROCESSING | types for types in TRUSTED.values()) or (VOTE in found and found <= known):
        return found
    strange = ", ".join(sorted(found - known)) or ", ".join(sorted(found - PREPROCESSING))
    raise ZeromissError(f"{path} holds {strange}, which no family of classifiers needs: it is not loaded; run the selection stage anew")


def _check_steps(path: Path, pipeline: object) -> None:
    """Refuse anything but preprocessing followed by a classifier."""
    if not isinstance(pipeline, Pipeline) or [name for name, _ in pipeline.steps] not in (STEPS, AS_MEASURED):
        raise ZeromissError(f"{path} holds no pipeline of {', '.join(STEPS)}: run the selection stage anew")
