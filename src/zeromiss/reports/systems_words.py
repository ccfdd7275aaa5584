"""What systems and their figures are called, on the page and in the terminal alike."""

from collections.abc import Mapping
from typing import Any

from zeromiss.image_size import ImageSize

FIGURES = {
    "fpr_at_zero_missed": "FPR at zero missed",
    "image_auroc": "image AUROC",
    "fpr": "FPR",
    "fnr": "FNR",
    "accuracy": "accuracy",
}
HONEST = (
    "In each outer fold the inner part alone chooses columns, classifier and threshold, and the outer part is judged. FPR at zero missed "
    "and image AUROC rank the outer part; FPR and FNR are at the lowest defect score of the inner part. Mean and 95 % interval."
)
OPTIMISTIC = (
    "Classifier and threshold are chosen on the very images they are judged by. These figures are optimistic; they stand here because "
    "papers give such ones."
)


def system_title(name: str, content: Mapping[str, Any]) -> str:
    """Return what a judged system is called."""
    kind, _, detector = name.partition(".")
    if kind in ("native", "columns"):
        return f"{detector} alone" if kind == "native" else f"columns of {detector}"
    fast = content["fast"]
    whole = {"stack": "stack of all", "score_stack": "stack of native scores"}
    return whole[name] if name in whole else f"stack in {fast['limit']:g} x {fast[name]['base']}"


def percent(value: float | None, places: int = 1) -> str:
    """Return a fraction in per cent, a dash for None."""
    return "-" if value is None else f"{100.0 * value:.{places}f}"


def ranged(figure: Mapping[str, float]) -> str:
    """Return a mean with its interval in per cent."""
    return f"{percent(figure['mean'])} [{percent(figure['low'])}, {percent(figure['high'])}]"


def with_std(entry: Mapping[str, Any], key: str) -> str:
    """Return a detector's figure in per cent: the mean and standard deviation over its seeds where there are several."""
    spread = entry["spread"].get(key)
    return percent(entry[key]) if spread is None else f"{percent(spread['mean'])}±{percent(spread['std'])}"


def signed(difference: Mapping[str, Any]) -> str:
    """Return a difference in points with its reach, and whether it is better, worse or noise."""
    reach = (difference["high"] - difference["low"]) / 2
    return f"{100 * difference['mean']:+.1f} ± {100 * reach:.1f} {difference['verdict']}"


def costs(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return what fitting and judging take, in words by the keys of `zeromiss.reports.systems.COSTS`."""
    images, peak = entry["fit_images"], entry["peak_mib"]
    return {
        "fit_seconds": f"{entry['fit_seconds']:.0f} s",
        "fit_images": "-" if images is None else str(images),
        "images_per_second": f"{entry['images_per_second']:.1f}",
        "peak_mib": "-" if peak is None else f"{peak:.0f} MiB",
        "tensors_mib": f"{entry['tensors_mib']:.1f} MiB",
        "parameters": f"{entry['parameters'] / 1e6:.2f} M",
    }


def heading(content: Mapping[str, Any]) -> str:
    """Return what was compared, in a sentence."""
    return (
        f"{content['product']}: {len(content['detectors'])} detectors on the same {content['n_normals']} normal and {content['n_defects']} defect "
        f"images of {ImageSize.of(content['size'])} pixels, none of which taught any of them."
    )


def protocol(content: Mapping[str, Any]) -> str:
    """Return how composites were judged, in a sentence."""
    settings = content["composites"]["settings"]
    folds = settings["outer_folds"] * settings["outer_repeats"]
    return (
        f"{folds} outer folds ({settings['outer_repeats']} times {settings['outer_folds']}), the same for all; composites choose among "
        f"{', '.join(settings['families'])} (draws of each: {settings['draws']}), judged by {settings['scoring'].replace('_', ' ')}."
    )


def speed(content: Mapping[str, Any]) -> list[str]:
    """Return what the stacks for speed are made of, or why there is none."""
    told, fast = [], content["fast"]
    for name, kind in (("fast_stack", "cheapest detector"), ("first_stack", "first detector")):
        base, members = fast[name]["base"], fast[name]["members"]
        milliseconds = 1000 * content["detectors"][base]["seconds_per_image"]
        if len(members) == 1:
            told.append(f"no second detector fits into {fast['limit']:g} times the {milliseconds:.0f} ms an image of the {kind}, {base}")
        else:
            others = ", ".join(member for member in members if member != base)
            told.append(f"within {fast['limit']:g} times the {milliseconds:.0f} ms an image of the {kind}, {base}, fit also {others}")
    return told
