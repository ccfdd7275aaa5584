"""Figures that put systems side by side: ROC curves, honest figures with intervals, points of an embedding, maps.

Colours are Okabe and Ito's, told apart by colour-blind readers, and lines differ too.
"""

from collections.abc import Mapping
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve as curve_of

from zeromiss.images.enlarge import enlarge, shown_size
from zeromiss.reports.figures import DEFECT, FAINT, INK, NORMAL, STYLE, WIDTH, plot_area

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")
LINES = ("-", "--", ":", "-.")
SIDE = 192  # pixels of a picture of a map
_QUANTILE = 0.999  # of a normal image's map values


def line_of(place: int) -> dict[str, Any]:
    """Return colour and line of the curve at `place`: no two of the first 16 are the same."""
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": LINES[(place + place // len(COLOURS)) % len(LINES)]}


def roc_of_all(y_N: np.ndarray, scores: Mapping[str, np.ndarray]) -> Figure:
    """Return one ROC curve a detector's native score, with a mark where its lowest defect is found (y: 1 = defect)."""
    with mpl.rc_context(STYLE):
        figure, axes = plot_area(4.2 + 0.12 * len(scores))
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.0)
        for place, (name, score_N) in enumerate(scores.items()):
            fpr_K, tpr_K, _ = curve_of(y_N, score_N)
            axes.plot(fpr_K, tpr_K, linewidth=1.5, label=name, **line_of(place))
            full = float(np.mean(score_N[y_N == 0] >= score_N[y_N == 1].min()))
            axes.plot([full], [1.0], "D", color=line_of(place)["color"], markersize=5, clip_on=False)
        axes.set(xlabel="false-positive rate", ylabel="defects found (true-positive rate)", xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
        figure.legend(loc="outside lower center", ncols=3, fontsize=9, columnspacing=1.2, handlelength=2.2)
        return figure


def honest_intervals(systems: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]) -> Figure:
    """Return each system's mean FPR at zero missed over outer folds with its 95 % interval, the lowest on top."""
    ordered = sorted(systems, key=lambda name: systems[name]["figures"]["fpr_at_zero_missed"]["mean"])
    with mpl.rc_context(STYLE):
        figure, axes = plot_area(0.9 + 0.4 * len(ordered))
        for place, name in enumerate(reversed(ordered)):
            found = systems[name]["figures"]["fpr_at_zero_missed"]
            stack = systems[name]["kind"] == "stack"
            axes.plot([found["low"], found["high"]], [place, place], color=DEFECT if stack else NORMAL, linewidth=3.0 if stack else 1.5)
            axes.plot([found["mean"]], [place], "D" if stack else "o", color=DEFECT if stack else NORMAL, markersize=7)
            axes.annotate(titles[name], (0.0, place), xytext=(2, 7), textcoords="offset points", fontsize=9, va="center", color=INK)
        axes.set(xlabel="FPR at zero missed, outer folds (mean, 95 % interval)", xlim=(-0.02, 1.02), ylim=(-0.6, len(ordered) - 0.2))
        axes.set_yticks([])
        return figure


def embedded_points(points: Mapping[str, np.ndarray], y_N: np.ndarray) -> Figure:
    """Return one plot below the other of points in a plane, (N, 2) each by title, normal and defect told apart (1 = defect)."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4 * len(points) + 0.4), layout="constrained")
        FigureCanvasSVG(figure)
        for axes, (title, points_N2) in zip(figure.subplots(len(points), 1, squeeze=False).ravel(), points.items(), strict=True):
            for label, colour, shape, name in ((0, NORMAL, "o", "normal"), (1, DEFECT, "^", "defect")):
                chosen_M2 = points_N2[y_N == label]
                axes.scatter(chosen_M2[:, 0], chosen_M2[:, 1], s=16, c=colour, marker=shape, alpha=0.7, linewidths=0, label=f"{name} ({len(chosen_M2)})")
            axes.set(xticks=[], yticks=[])
            axes.set_title(title, fontsize=10, loc="left")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
        return figure


def golden_bars(fpr_G: list[float], own: float) -> Figure:
    """Return the FPR at no missed defect of each group's best golden sample beside GanoDIP's own (paper 2, section 6.3)."""
    with mpl.rc_context(STYLE):
        figure, axes = plot_area(3.0)
        places = np.arange(1, len(fpr_G) + 1)
        axes.bar(places, sorted(fpr_G), color=NORMAL, alpha=0.7, hatch="//", edgecolor="white", label="best golden sample of a group")
        axes.axhline(own, color=DEFECT, linewidth=1.8, label="GanoDIP")
        axes.set(xlabel="groups of training images, by their figure", ylabel="FPR at no missed defect", ylim=(0.0, 1.04), xticks=places)
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)
        return figure


def full_scale(normal_maps: list[np.ndarray]) -> float:
    """Return the map value that is drawn brightest: the largest of normal images' 0.999 quantiles; 1 where that is 0."""
    return max(float(np.quantile(map_HW, _QUANTILE)) for map_HW in normal_maps) or 1.0


def map_picture(map_HW: np.ndarray, scale: float, side: int = SIDE) -> np.ndarray:
    """Return a map as uint8 RGB, the longer side of `side` pixels: dark = nothing, brightest = `scale` or above."""
    shade_HW = np.rint(np.clip(np.asarray(map_HW, dtype=np.float32) / scale, 0.0, 1.0) * 255.0).astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(shade_HW, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return enlarge(coloured, side)


def outlined(image_CHW: np.ndarray, mask_HW: np.ndarray | None, side: int = SIDE) -> np.ndarray:
    """Return an RGB image in [0, 1] as uint8 RGB, the longer side of `side` pixels, the regions of `mask_HW` (bool) outlined in white on black."""
    pixels = np.clip(np.rint(np.moveaxis(image_CHW, 0, -1) * 255.0), 0, 255).astype(np.uint8)
    picture = enlarge(pixels, side)
    if mask_HW is not None:
        shown = cv2.resize(mask_HW.astype(np.uint8), shown_size(mask_HW, side), interpolation=cv2.INTER_NEAREST)
        edges, _ = cv2.findContours(shown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            picture = cv2.drawContours(picture, edges, -1, colour, width)
    return picture
