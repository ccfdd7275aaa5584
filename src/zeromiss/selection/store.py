"""The fitted classifier as a file: skops, with the few types each family needs named here.

No pickle: reading a file runs no code of its own. A file with any other type is refused.
"""

from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from skops.io import dumps, get_untrusted_types, loads
from sklearn.pipeline import Pipeline

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path
from zeromiss.selection.contents import UnsoundError, check_contents

STEPS = ["residual", "constant", "tails", "correlated", "scale", "classifier"]
AS_MEASURED = [step for step in STEPS if step != "tails"]  # of selection.tails as_measured
PREPROCESSING = frozenset(
    f"zeromiss.selection.preprocess.{name}" for name in ("DrawTailsIn", "DropConstant", "DropCorrelated", "KeepBest", "UnitScale")
) | {"zeromiss.selection.residuals.ResidualLogOdds"}
LARGEST = 1 << 30  # bytes of an unpacked classifier: a forest of 10,000 trees takes a tenth
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
    _check_contents(path, pipeline)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def load_classifier(path: Path) -> Pipeline:
    """Read what `save_classifier` wrote: its probabilities are bit-equal to those before.

    Raises ZeromissError when the file is missing, is no skops file, holds a type that no family needs, or its classes, trees or
    numbers are not those of a fitted classifier.
    """
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise ZeromissError(f"{path} cannot be read ({problem.strerror}): run the selection stage") from None
    _check_size(path, content)
    allowed = _check_types(path, content)
    try:
        pipeline = loads(content, trusted=sorted(allowed))
    except Exception as problem:  # a damaged file can fail anywhere inside the libraries it names
        raise ZeromissError(f"{path} is a damaged classifier file ({type(problem).__name__}): run the selection stage anew") from None
    _check_steps(path, pipeline)
    _check_contents(path, pipeline)
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


def _check_size(path: Path, content: bytes) -> None:
    """Refuse a file that unpacks to more than a classifier can be."""
    try:
        unpacked = sum(entry.file_size for entry in ZipFile(BytesIO(content)).infolist())
    except (BadZipFile, OSError, ValueError):
        raise ZeromissError(f"{path} is no skops file: only classifiers written by the selection stage are read") from None
    if unpacked > LARGEST:
        raise ZeromissError(f"{path} unpacks to {unpacked >> 20} MiB, more than the {LARGEST >> 20} of any classifier: it is not loaded")


def _check_contents(path: Path, pipeline: Pipeline) -> None:
    """Refuse a pipeline whose classes, trees or numbers are not those of its family."""
    try:
        check_contents(pipeline)
    except UnsoundError as fault:
        raise ZeromissError(f"{path} {fault}: it is not loaded; run the selection stage anew") from None
    except Exception as fault:  # what was edited can fail anywhere inside the libraries
        raise ZeromissError(f"{path} cannot judge ({type(fault).__name__}: {' '.join(str(fault).split())[:200]}): run the selection stage anew") from None
