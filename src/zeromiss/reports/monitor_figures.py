"""The figures of the monitor's page."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from zeromiss.reports.figures import DEFECT, FAINT, INK, NORMAL, STYLE, plot_area


def distance_course(course: Sequence[dict[str, Any]], limit: float | None) -> Figure:
    """Return the mean distance of each window from the table, in [0, 1], with the limit of the last one."""
    with mpl.rc_context(STYLE):
        figure, axes = plot_area(2.7)
        known = [one for one in course if one["mean"] is not None]
        places = range(len(known))
        axes.plot(places, [one["mean"] for one in known], "o-", color=NORMAL, linewidth=1.6, label="mean distance")
        if limit is not None:
            axes.axhline(limit, color=DEFECT, linestyle="--", linewidth=1.4, label="limit of the last window")
        _name_windows(axes, known)
        axes.set(ylabel="distance from the table", ylim=(0.0, 1.15 * max([limit or 0.0, *(one["mean"] for one in known)])))
        figure.legend(loc="outside upper center", ncols=2, fontsize=9)
        return figure


def abnormal_course(course: Sequence[dict[str, Any]]) -> Figure:
    """Return the share of abnormal verdicts of each window, in per cent, with the number of images above it."""
    with mpl.rc_context(STYLE):
        figure, axes = plot_area(2.7)
        shares = [100.0 * one["abnormal"] / one["images"] for one in course]
        axes.bar(range(len(course)), shares, color=NORMAL, width=0.6)
        for place, (share, one) in enumerate(zip(shares, course, strict=True)):
            axes.annotate(f"{one['images']}", (place, share), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=8.5, color=INK)
        _name_windows(axes, course)
        axes.set(ylabel="abnormal verdicts in %", ylim=(0.0, 1.2 * max(shares) or 1.0))
        return figure


def metric_bars(metrics: Sequence[dict[str, Any]], limit: float) -> Figure:
    """Return bars of the distances of the most different metrics, in [0, 1]; those beyond chance are hatched."""
    with mpl.rc_context(STYLE):
        figure, axes = plot_area(0.7 + 0.42 * len(metrics))
        for place, one in zip(reversed(range(len(metrics))), metrics, strict=True):
            beyond = one["corrected_p"] <= limit
            axes.barh(place, one["ks"], color=DEFECT if beyond else FAINT, hatch="///" if beyond else "", edgecolor="white", height=0.34)
            axes.annotate(one["metric"], (0.0, place), xytext=(2, 12), textcoords="offset points", fontsize=9, va="center")
        axes.set(yticks=[], ylim=(-0.5, len(metrics) - 0.3), xlim=(0.0, 1.0), xlabel="distance from the table; hatched: beyond chance")
        axes.spines["left"].set_visible(False)
        return figure


def _name_windows(axes: mpl.axes.Axes, course: Sequence[dict[str, Any]]) -> None:
    """Name each window by the day it ends."""
    axes.set_xticks(range(len(course)), [one["until"][5:] for one in course], fontsize=8.5, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_xlabel("window that ends on")
