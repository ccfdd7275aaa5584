"""The figures of the section "curves": ROC with the shares of good parts passed, probability of detection by size."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter
from scipy.special import expit

from zeromiss.reports.figures import DEFECT, FAINT, INK, NORMAL, STYLE, plot_area

LOWEST = 0.7  # true-positive rate at the bottom of the ROC curve: nobody uses what lies below
_MARKS = ("D", "s", "^")


def roc_with_passed(roc: dict[str, Any], passed: dict[str, Any]) -> Figure:
    """Return the ROC curves of each repeat (of the plain scores without repeats) with PG0, PG2 and PG5; roc, passed: of roc.json, curves.json."""
    with mpl.rc_context(STYLE):
        figure, axes = plot_area(3.6)
        curves = roc["repeats"] or [roc["plain"]]
        for number, curve in enumerate(curves):
            name = ("each repeat" if len(curves) > 1 else "scores out of fold") if number == 0 else None
            axes.plot(curve["fpr"], curve["tpr"], color=NORMAL, linewidth=1.2, alpha=0.75, label=name)
        for mark, (name, one) in zip(_MARKS, passed.items(), strict=True):
            axes.plot(
                [1.0 - one["mean"]], [1.0 - one["missed"]], mark, color=DEFECT, markersize=7, zorder=5, clip_on=False,
                label=f"{name}: {100.0 * one['mean']:.3g} % of good parts pass",
            )  # fmt: skip
        axes.set(
            xlabel="false-positive rate (good parts stopped)", ylabel="defects found", xlim=(-0.02, 1.02), ylim=(LOWEST, 1.015),
        )  # fmt: skip
        axes.legend(loc="lower right", fontsize=8.5, frameon=True, framealpha=1.0, edgecolor="white")
        return figure


def detection_by_size(by_size: dict[str, Any]) -> Figure:
    """Return the share of repeats that found each marked defect against its size, with the fitted curves; by_size: of curves.json."""
    with mpl.rc_context(STYLE):
        figure, axes = plot_area(3.6)
        side_D = np.array(by_size["side"])
        at = np.geomspace(side_D.min() * 0.8, side_D.max() * 1.25, 300)
        looks = ((DEFECT, "-", "o"), (NORMAL, "--", "x"))
        for (colour, line, mark), (name, curve) in zip(looks, by_size["curves"].items(), strict=True):
            axes.plot(side_D, by_size["found"][name], mark, color=colour, markersize=5, alpha=0.4)
            fitted = curve["slope"] is not None
            label = f"at {name}" + ("" if fitted else ": no curve")
            axes.plot(at if fitted else [], expit(curve["intercept"] + curve["slope"] * np.log(at)) if fitted else [], line, color=colour, label=label)
            if curve["a90_95"] is not None and curve["a90_95"] <= at[-1]:
                axes.plot([curve["a90_95"]], [0.9], "|", color=colour, markersize=13, markeredgewidth=2.2)
        axes.axhline(0.9, color=FAINT, linestyle=":", linewidth=1.2)
        axes.annotate("90 %", (at[0], 0.9), xytext=(2, 3), textcoords="offset points", fontsize=8.5, color=INK)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="size of the defect (pixels)", ylabel="probability of detection", ylim=(-0.03, 1.03))
        figure.legend(loc="outside upper center", ncols=2, fontsize=9)
        return figure
