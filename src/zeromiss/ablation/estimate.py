"""How long a variant will take, before it starts: timed on a small share of its work, or told by the product's own run."""

import io
import os
from contextlib import redirect_stderr

import numpy as np

from zeromiss import schemas
from zeromiss.ablation.variants import Variant, varied
from zeromiss.files import read_json
from zeromiss.metrics.table import NATIVE_FILE
from zeromiss.params import Product
from zeromiss.planning.counts import Counts
from zeromiss.planning.pipeline import count_draws, fit_seconds, measure_seconds
from zeromiss.selection.source import Source
from zeromiss.workspace import Workspace



def fold_seconds(product: Product, source: Source) -> float:
    """Return how long an outer fold takes at most, on all cores: its fits, timed on two draws a family."""
    params, share = product.selection, 1 - 1 / product.selection.outer_folds
    normals, defects = (int(round(share * np.sum(source.y_N == label))) for label in (0, 1))
    counts = Counts(train=0, mask=0, normals=normals, defects=defects, source="the metric table")
    with redirect_stderr(io.StringIO()):  # the trial's own bars
        each = fit_seconds(params, counts, source.features.shape[1])
    return (count_draws(params) + len(params.families)) * params.folds * each


def making_seconds(product: Product, variant: Variant, images: int, workspace: Workspace) -> float:
    """Return how long the variant's own metric table takes; 0 where it has none.

    Trained variants: as long as the product's own training and measuring took. Other modes: one image, timed, for
    each of `images`, over all cores. Raises ZeromissError when the product's run left no times.
    """
    if not variant.stages:
        return 0.0
    if not variant.trained:
        return images * measure_seconds(varied(product, variant)) / len(os.sched_getaffinity(0))
    training = read_json(workspace.detector(product.name, "vqgan") / "training.json", schema_version=schemas.TRAINING)
    native = read_json(workspace.metrics(product.name) / NATIVE_FILE, schema_version=schemas.NATIVE)
    return float(training["seconds"]) + float(native["seconds"])
