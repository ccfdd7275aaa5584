"""What comes after the training: images to measure, the table's size, fits of the selection, and their minutes here.

Minutes are measured on the spot, on a small share of the work: one drawn image through the product's own measuring,
two draws a family through its own selection.
"""

import os
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from zeromiss.backbones.load import build_backbone
from zeromiss.detectors.base import Precision, Reconstruction
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.metrics.columns import KEY_COLUMNS, feature_columns
from zeromiss.metrics.measure import Measurer
from zeromiss.metrics.table import CHUNK
from zeromiss.params import Product
from zeromiss.planning.counts import Counts
from zeromiss.planning.devices import Device, seconds
from zeromiss.planning.paper_step import without_values
from zeromiss.planning.tally import Tally
from zeromiss.selection.draws import draw_parameters
from zeromiss.selection.families import FAMILY
from zeromiss.selection.select import select
from zeromiss.selection.source import FACTS, Source
from zeromiss.stage_params import SelectionParams

_NUMBER, _FACTS = 8, 100  # bytes of a feature, and about that for what a row says of its image
_HEAD = 260  # bytes, about, that Parquet spends on each column of a group of rows
_DRAWS, _ROWS = 2, 400  # of the trial of the selection: draws a family, and rows of its table at most
_PIXELS = 2  # whose crops the trial of the mode `crops` measures


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """The metric table on paper."""

    images: int  # to be redrawn: those of the table, of the mask and those that set the threshold
    rows: int
    columns: int
    table_bytes: int  # as written
    seconds_per_image: float  # on one core of this machine
    minutes: float  # on all of them


@dataclass(frozen=True, kw_only=True)
class Fits:
    """The selection on paper."""

    draws: int  # candidates, over all families
    fits: int  # at most: draws that fall behind are dropped early
    minutes: float  # at most


def plan_extraction(product: Product, counts: Counts, one_core: Device) -> Extraction:
    """Return what measuring the product's images takes; `one_core` is this machine on one thread."""
    columns = len(feature_columns(Vqgan.name, masked=product.metrics.fixed_position))
    each = repaint_seconds(product, one_core) + measure_seconds(product)
    images = counts.rows + counts.mask + counts.threshold
    return Extraction(
        images=images,
        rows=counts.rows,
        columns=columns + len(KEY_COLUMNS),
        table_bytes=table_bytes(counts.rows, columns),
        seconds_per_image=each,
        minutes=images * each / _cores() / 60,
    )


def plan_fits(product: Product, counts: Counts) -> Fits:
    """Return what choosing a classifier takes at most."""
    params, fits = product.selection, count_fits(product.selection, counts.rows)
    columns = len(feature_columns(Vqgan.name, masked=product.metrics.fixed_position))
    minutes = fits * fit_seconds(params, counts, columns) / 60
    return Fits(draws=count_draws(params), fits=fits, minutes=minutes)


def table_bytes(rows: int, columns: int) -> int:
    """Return about how large the metric table's file gets, with `columns` features."""
    return rows * (columns * _NUMBER + _FACTS) + -(-rows // CHUNK) * columns * _HEAD


def count_fits(params: SelectionParams, rows: int) -> int:
    """Return how many classifiers are fitted if no draw is dropped: search, leave-one-out, and both in each outer fold.

    The few searches that leave one type of defect out, a tenth of these at most, are not among them.
    """
    outer = params.outer_folds * params.outer_repeats
    folds = params.folds * params.repeats
    return count_draws(params) * folds * (1 + outer) + len(params.searched) * (rows + folds * outer)


def count_draws(params: SelectionParams) -> int:
    """Return how many candidates are drawn; a family whose space is small has fewer than `params.draws`."""
    return sum(len(draw_parameters(FAMILY[family].space(params.trees), params.draws, 0)) for family in params.searched)


def repaint_seconds(product: Product, one_core: Device) -> float:
    """Return how long redrawing one image takes, from its operations on paper."""
    with torch.device("meta"):
        vqgan = Vqgan(product.vqgan, size=product.size)
    with FakeTensorMode(), Tally() as tally:
        without_values(vqgan)
        vqgan.reconstruct(torch.empty(1, 3, *product.size.shape))
    return seconds(tally.work, one_core)


def measure_seconds(product: Product) -> float:
    """Return how long measuring one redrawn image takes, timed on a drawn one; `crops` is scaled from a few pixels."""
    params, scale = product.metrics, 1.0
    if params.mode == "crops":
        scale = max(1.0, params.pixels / _PIXELS)
        params = params.model_copy(update={"pixels": min(params.pixels, _PIXELS)})
    mask_HW = torch.ones(product.size.shape) if params.fixed_position else None
    measurer = Measurer(detector=_Noise(), backbone=build_backbone(params.backbone), params=params, mask_HW=mask_HW)
    image_CHW = torch.rand(3, *product.size.shape, generator=torch.Generator().manual_seed(0))
    measurer.measure(image_CHW)  # the first call prepares kernels
    start = time.perf_counter()
    measurer.measure(image_CHW)
    return scale * (time.perf_counter() - start)


def fit_seconds(params: SelectionParams, counts: Counts, columns: int) -> float:
    """Return the mean time of a fit, over all families and cores, on a drawn table of the product's size.

    A longer table than 400 rows is scaled from one of 400, in proportion.
    """
    source = drawn_table(counts, columns)
    trial = params.model_copy(update={"draws": _DRAWS})
    start = time.perf_counter()
    select(source, trial, 0, pool="folds")
    fits = (count_draws(trial) + len(params.searched)) * params.folds * params.repeats
    return (time.perf_counter() - start) / fits * max(1.0, counts.rows / len(source.y_N))


def drawn_table(counts: Counts, columns: int) -> Source:
    """Return a table of random features of which half repeat others, as about half of the real ones do."""
    share = min(1.0, _ROWS / counts.rows)
    y_N = np.repeat([0, 1], [max(1, round(share * counts.normals)), max(1, round(share * counts.defects))])
    random = np.random.default_rng(0)
    own_NF = random.normal(size=(len(y_N), -(-columns // 2))) + 0.3 * y_N[:, None]
    names = [f"column_{number}" for number in range(columns)]
    features = pd.DataFrame(np.hstack((own_NF, 2 * own_NF))[:, :columns], columns=names)
    part_N = np.array([f"part_{number}" for number in range(len(y_N))], dtype=object)
    facts = pd.DataFrame({name: part_N for name in FACTS})
    return Source(facts=facts, features=features, y_N=y_N, part_N=part_N)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


class _Noise:
    """A stand-in for the network: an image comes back with noise, so that there is something to localise."""

    name = Vqgan.name
    score_names = None
    image_metrics = Vqgan.image_metrics

    def reconstruct(self, image_BCHW: Tensor, precision: Precision = "fp32") -> Reconstruction:
        """Return the image, disturbed."""
        noise_BCHW = 0.1 * torch.rand(image_BCHW.shape, generator=torch.Generator().manual_seed(1))
        zero_B = torch.zeros(len(image_BCHW))
        return Reconstruction(
            image_hat_BCHW=(image_BCHW + noise_BCHW).clamp(0, 1),
            quantisation_B=zero_B,
            critic_B=zero_B,
            critic_hat_B=zero_B,
        )
