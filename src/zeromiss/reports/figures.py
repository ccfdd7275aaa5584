"""The figures of the report, drawn without a display.

Blue = normal, vermilion = defect (Okabe and Ito's colours, told apart by colour-blind readers), also told by
line, hatching or shape. Sizes fit a phone: at 350 pixels wide the text is still readable.
"""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde
from sklearn.metrics import RocCurveDisplay

from zeromiss.files import atomic_path

NORMAL, DEFECT, INK, FAINT = "#0072b2", "#d55e00", "#1f2937", "#9aa3af"
WIDTH = 4.8  # inches
STYLE = {
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
    with mpl.rc_context(STYLE):
        figure, axes = plot_area(3.4)
        edges = np.linspace(0.0, 1.0, _BINS + 1)
        axes.hist(normal, bins=edges, color=NORMAL, alpha=0.45, label=f"normal ({len(normal)})")
        axes.hist(defect, bins=edges, color=DEFECT, alpha=0.45, hatch="///", edgecolor=DEFECT, label=f"defect ({len(defect)})")
        for scores, colour, line in ((normal, NORMAL, "-"), (defect, DEFECT, "--")):
            _draw_density(axes, scores, colour, line)
        axes.axvline(threshold, color=INK, linestyle=":", linewidth=1.8, label=f"threshold {threshold:.4g}")
        axes.set(xlabel="composite score (higher = more abnormal)", ylabel="images", xlim=(0.0, 1.0))
        figure.legend(loc="outside upper center", ncols=3, fontsize=9, columnspacing=1.2, handlelength=1.6)
        return figure


def roc_curve(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Figure:
    """Return the ROC curve of pooled scores with the point at which no known defect is missed.

    labels: 1 = defect; scores in [0, 1]. A threshold that lies elsewhere than at the lowest defect has a mark of its own.
    """
    with mpl.rc_context(STYLE):
        figure, axes = plot_area(3.4)
        RocCurveDisplay.from_predictions(
            labels, scores, ax=axes, name="composite score", curve_kwargs={"color": NORMAL, "linewidth": 1.8},
            plot_chance_level=True, chance_level_kw={"color": FAINT, "linestyle": "--"},
        )  # fmt: skip
        normal, defect = scores[labels == 0], scores[labels == 1]
        full = float(np.mean(normal >= defect.min()))
        axes.plot([full], [1.0], "D", color=DEFECT, markersize=8, zorder=5, clip_on=False, label=f"no known defect missed: FPR {100 * full:.3g} %")
        at = float(np.mean(normal >= threshold)), float(np.mean(defect >= threshold))
        if at != (full, 1.0):
            axes.plot(*([value] for value in at), "s", color=INK, markersize=7, label=f"threshold in use: FPR {100 * at[0]:.3g} %")
        axes.set(xlabel="false-positive rate", ylabel="defects found (true-positive rate)", xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
        axes.legend(loc="lower right", fontsize=8.5, frameon=True, framealpha=1.0, edgecolor="white")
        return figure


def influence_bars(importances: pd.DataFrame) -> Figure:
    """Return bars of the means with their standard deviations, the first on top, named above (paper 1, Fig. 14).

    importances: columns mean and std, indexed by the metrics' names.
    """
    with mpl.rc_context(STYLE):
        figure, axes = plot_area(0.7 + 0.46 * len(importances))
        places = np.arange(len(importances))[::-1]
        axes.barh(
            places, importances["mean"], xerr=importances["std"], color=NORMAL, height=0.34, capsize=3,
            error_kw={"ecolor": INK, "elinewidth": 1.2},
        )  # fmt: skip
        for place, name in zip(places, importances.index, strict=True):
            axes.annotate(name, (0.0, place), xytext=(2, 12), textcoords="offset points", fontsize=9, va="center")
        axes.set(yticks=[], ylim=(-0.5, len(importances) - 0.3), xlabel="rise of the log loss when the metric is shuffled")
        axes.spines["left"].set_visible(False)
        return figure


def code_use(counts: np.ndarray) -> Figure:
    """Return the share of use of each code, the most used first, beside equal use of all. counts: (codes,)."""
    with mpl.rc_context(STYLE):
        figure, axes = plot_area(2.8)
        shares = np.sort(counts)[::-1] / max(int(counts.sum()), 1)
        axes.fill_between(np.arange(len(shares) + 1), np.append(shares, shares[-1]), step="post", color=NORMAL, alpha=0.6)
        axes.axhline(1 / len(shares), color=INK, linestyle="--", linewidth=1.2, label="all codes used alike")
        axes.set(xlabel="codes, the most used first", ylabel="share of the cells", xlim=(0, len(shares)), ylim=(0.0, None))
        axes.legend(loc="upper right")
        return figure


def reliability_curve(bins: list[dict[str, Any]], calibrated: tuple[list[float], list[float]] = ([], [])) -> Figure:
    """Return the share of defects among images of like score against their mean score, with intervals.

    bins: entries of calibration.json with mean_score, share_defects, share_low, share_high (all in [0, 1]) and n.
    calibrated: scores and the probabilities they are calibrated to, empty where calibration does not help.
    """
    with mpl.rc_context(STYLE):
        figure, axes = plot_area(3.4)
        filled = [entry for entry in bins if entry["n"]]
        mean, share, low, high = (np.array([entry[key] for entry in filled], dtype=float) for key in ("mean_score", "share_defects", "share_low", "share_high"))
        axes.plot([0, 1], [0, 1], color=FAINT, linestyle="--", label="score = share of defects")
        reach = np.maximum(np.stack((share - low, high - share)), 0.0)
        axes.errorbar(mean, share, yerr=reach, fmt="o-", color=NORMAL, capsize=3, linewidth=1.4, label="observed, with 95 % interval")
        if len(calibrated[0]):
            axes.plot(*calibrated, color=DEFECT, linestyle=":", linewidth=1.8, label="calibrated probability")
        axes.set(xlabel="composite score", ylabel="share of defects", xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
        axes.legend(loc="upper left", fontsize=9)
        return figure


def training_curves(history: pd.DataFrame, names: list[str]) -> Figure:
    """Return one small plot for each column in `names` against the column `step`."""
    with mpl.rc_context(STYLE):
        columns = min(2, len(names))
        rows = -(-len(names) // columns)
        figure = Figure(figsize=(WIDTH + 1.0, 1.7 * rows), layout="constrained")
        FigureCanvasSVG(figure)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
        for axes, name in zip(grid, names, strict=False):
            axes.plot(history["step"], history[name], color=NORMAL, linewidth=1.2)
            axes.set_title(name.replace("_", " "), fontsize=10, loc="left")
        for axes in grid[max(len(names) - columns, 0) : len(names)]:
            axes.set_xlabel("step")
            axes.tick_params(labelbottom=True)
        for axes in grid[len(names) :]:
            axes.set_visible(False)
        return figure


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as SVG, atomically, the same bytes for the same figure."""
    with mpl.rc_context(STYLE), atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})


def plot_area(height: float) -> tuple[Figure, mpl.axes.Axes]:
    """Return a figure of that many inches with one pair of axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots()


def _draw_density(axes: mpl.axes.Axes, scores: np.ndarray, colour: str, line: str) -> None:
    """Draw a kernel density estimate in images a bin, where the scores vary enough for one."""
    if len(scores) < 3 or float(np.ptp(scores)) < 1e-3:
        return
    at = np.linspace(0.0, 1.0, 400)
    axes.plot(at, gaussian_kde(scores)(at) * len(scores) / _BINS, color=colour, linestyle=line, linewidth=1.4)
