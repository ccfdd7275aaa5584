"""The table of families in the layout of paper 1's Table 1, as rows for a page or a terminal."""

from dataclasses import dataclass
from typing import Any

FIGURES = ("accuracy", "precision", "fpr", "fnr")  # in the table's order
HEADINGS = ("Accuracy", "Precision", "FPR", "FNR")
NAMES = {
    "dt": "DT", "rf": "RF", "et": "ET", "ada": "ADA", "lightgbm": "LGBM", "gbc": "GBC",
    "xgboost": "XGBoost", "lr": "LR", "knn": "KNN", "nb": "NB", "lda": "LDA", "qda": "QDA", "wmw": "WMW",
    "nnlr": "NNLR", "vote": "Vote",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FamilyRow:
    """One family: figures as fractions in [0, 1], at 0.5 (std) and at its zero-false-negative threshold (zfn)."""

    family: str
    name: str  # as the paper writes it
    winner: bool
    std: dict[str, float]  # empty for a family that failed
    zfn: dict[str, float]
    image_auroc: float | None
    error: str  # why the family failed, empty if it did not


def family_rows(families: dict[str, Any]) -> list[FamilyRow]:
    """Return the rows of families.json, best first: by ZFN accuracy, then STD accuracy; failed ones last."""
    rows = [_row(family, entry, families["winner"]) for family, entry in families["families"].items()]
    return sorted(rows, key=lambda row: (bool(row.error), -_or_zero(row.zfn), -_or_zero(row.std), row.family))


def percent(fraction: float) -> str:
    """Return a fraction as the paper writes it: per cent, at most two places, no trailing zeros."""
    return f"{100.0 * fraction:.2f}".rstrip("0").rstrip(".")


def best_figures(rows: list[FamilyRow]) -> dict[tuple[str, str], float]:
    """Return the best value of each column, keyed by (figure, `std` or `zfn`): highest or, for rates, lowest."""
    best = {}
    for figure in FIGURES:
        for kind in ("std", "zfn"):
            values = [value for row in rows if (value := getattr(row, kind).get(figure)) is not None]
            if values:
                best[figure, kind] = max(values) if figure in ("accuracy", "precision") else min(values)
    return best


def _row(family: str, entry: dict[str, Any], winner: str) -> FamilyRow:
    """Return one family's entry as a row."""
    return FamilyRow(
        family=family,
        name=NAMES.get(family, family),
        winner=family == winner,
        std=entry.get("std") or {},
        zfn=entry.get("zfn") or {},
        image_auroc=entry.get("image_auroc"),
        error=entry.get("error") or "",
    )


def _or_zero(figures: dict[str, float]) -> float:
    """Return the accuracy, 0 of a family that failed."""
    return figures.get("accuracy", 0.0)
