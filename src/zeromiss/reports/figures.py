"""The figures of the report, drawn without a display. Blue = normal, vermilion = defect, also told by shape."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from zeromiss.files import atomic_path

NORMAL, DEFECT, INK, FAINT = "#2b6cb0", "#c2410c", "#1f2937", "#9aa3af"
_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "zeromiss",  # the same figure gives the same bytes
    "legend.frameon": False,
}
_BINS = 30


def score_distributions(normal: np.ndarray, defect: np.ndarray, threshold: float) -> Figure:
    """Return histograms of the pooled out-of-fold scores in [0, 1] with the threshold (paper 1, Fig. 12)."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(8.0, 3.4)
        edges = np.linspace(0.0, 1.0, _BINS + 1)
        axes.hist(normal, bins=edges, color=NORMAL, alpha=0.45, label=f"normal ({len(normal)})")
        axes.hist(defect, bins=edges, color=DEFECT, alpha=0.45, hatch="///", edgecolor=DEFECT, label=f"defect ({len(defect)})")
        for scores, colour, line in ((normal, NORMAL, "-"), (defect, DEFECT, "--")):
            _draw_density(axes, scores, colour, line)
        axes.axvline(threshold, color=INK, linestyle=":", linewidth=1.8, label=f"threshold {threshold:.4g}")
        axes.set(xlabel="composite anomaly score (higher = more abnormal)", ylabel="images", xlim=(0.0, 1.0))
        axes.legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, 1.16))
        return figure


def influence_bars(importances: pd.Series) -> Figure:
    """Return bars of the given importances, the largest on top (paper 1, Fig. 14)."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(8.0, 0.7 + 0.34 * len(importances))
        shown = importances.iloc[::-1]
        axes.barh(range(len(shown)), shown.to_numpy(), color=NORMAL, height=0.65)
        axes.set_yticks(range(len(shown)), list(shown.index))
        axes.set_xlabel("rise of the log loss when the metric is shuffled")
        return figure


def training_curves(history: pd.DataFrame, names: list[str]) -> Figure:
    """Return one small plot for each column in `names` against the column `step`."""
    with mpl.rc_context(_STYLE):
        columns = min(3, len(names))
        rows = -(-len(names) // columns)
        figure = Figure(figsize=(9.0, 2.2 * rows), layout="constrained")
        FigureCanvasSVG(figure)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, name in zip(grid, names, strict=False):
            axes.plot(history["step"], history[name], color=NORMAL, linewidth=1.2)
            axes.set_title(name.replace("_", " "), fontsize=10, loc="left")
            axes.set_xlabel("step", fontsize=8)
            axes.tick_params(labelsize=8)
        for axes in grid[len(names) :]:
            axes.set_visible(False)
        return figure


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as SVG, atomically, the same bytes for the same figure."""
    with mpl.rc_context(_STYLE), atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})


def _figure(width: float, height: float) -> tuple[Figure, mpl.axes.Axes]:
    """Return a figure of that many inches with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots()


def _draw_density(axes: mpl.axes.Axes, scores: np.ndarray, colour: str, line: str) -> None:
    """Draw a kernel density estimate in images a bin, where the scores vary enough for one."""
    if len(scores) < 3 or float(np.ptp(scores)) < 1e-3:
        return
    at = np.linspace(0.0, 1.0, 400)
    axes.plot(at, gaussian_kde(scores)(at) * len(scores) / _BINS, color=colour, linestyle=line, linewidth=1.4)
