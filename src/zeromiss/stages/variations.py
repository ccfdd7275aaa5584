"""What the metrics stage learns of normal images before it measures any: the variation of each detector's maps and differences.

Axes: h, w cells of the grid, C channels.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from zeromiss.backbones.base import Backbone
from zeromiss.backbones.differences import Differences, fit_differences
from zeromiss.detectors.base import Context, Detector, reads_context, redraws
from zeromiss.detectors.images import ContextReader
from zeromiss.errors import ZeromissError
from zeromiss.images.defect_size import smallest_side, strides_for
from zeromiss.images.reader import ImageReader
from zeromiss.images.references import Companion, companion_of
from zeromiss.metrics.measure import Measurer
from zeromiss.metrics.measure_map import cell_maps
from zeromiss.metrics.table import cores, in_order, read_tensor
from zeromiss.metrics.threads import one_thread
from zeromiss.metrics.variation import Variation, levels_of
from zeromiss.params import Product
from zeromiss.workspace import Workspace

LEVEL_IMAGES = 30  # unseen normal images that the level of normal maps is taken from, at most


def fit_variations(
    product: Product,
    workspace: Workspace,
    detectors: Sequence[Detector],
    backbone: Backbone,
    manifest: pd.DataFrame,
    reader: ImageReader,
    *,
    sizes: pd.DataFrame,
) -> dict[str, Variation]:
    """Return what is known of normal images by detector.

    Levels of maps come from the split `mask`, of which nothing was learned. The variation of a reconstructing detector's
    differences comes from those images and, since they are few, from the training images too: they are reconstructed a
    little better, which costs less than a covariance of thirty images. sizes: of the defects, see `defect_sizes`. Raises ZeromissError without unseen normal images.
    """
    raw, splits = workspace.raw(product.name), manifest[manifest["label"] == "normal"]
    of = {raw / row["path"]: companion_of(row, raw) for row in splits.to_dict(orient="records")}
    unseen, training = ([raw / path for path in splits.loc[splits["split"] == split, "path"]] for split in ("mask", "train"))
    if not unseen:
        raise ZeromissError(f"product {product.name!r} has no normal image that nothing was learned of: set manifest.mask above 0")
    paths = unseen[: product.metrics.variation_images]
    paths += spread(training, product.metrics.variation_images - len(paths))
    strides = None
    found = {}
    for detector in detectors:
        if not redraws(detector):
            found[detector.name] = _of_maps(detector, unseen[:LEVEL_IMAGES], of, reader)
            continue
        strides = strides or product.metrics.strides or strides_for(smallest_side(sizes), backbone.strides)
        plain = Measurer(detector=detector, backbone=backbone, params=product.metrics, mask_HW=None)
        differences, rests_on = _of_differences(plain, product, paths, of, strides, reader)
        print(f"variation of {detector.name}: {rests_on}, from {min(len(unseen), len(paths))} unseen and {max(0, len(paths) - len(unseen))} training images")
        found[detector.name] = _of_looks(plain, differences, unseen[:LEVEL_IMAGES], of, reader)
    return found


def _of_maps(detector: Detector, paths: Sequence[Path], of: Mapping[Path, Companion], reader: ImageReader) -> Variation:
    """Return the levels of the maps of a detector that gives them itself."""
    dims, context_of = 0, ContextReader(reader)

    def maps() -> Iterator[dict[str, Tensor]]:
        """Yield the maps of each image."""
        nonlocal dims
        for path in tqdm(paths, desc=f"normal maps of {detector.name}", unit="image", dynamic_ncols=True):
            context = {"context": context_of(of[path])} if reads_context(detector) else {}
            with one_thread(), torch.inference_mode():
                found, residual_K = cell_maps(detector.detect(read_tensor(path, reader)[None], **context))
            dims = len(residual_K)
            yield found

    levels = levels_of(maps())
    return Variation(levels=levels, dims=dims)


def _of_differences(
    plain: Measurer, product: Product, paths: Sequence[Path], of: Mapping[Path, Companion], strides: Sequence[int], reader: ImageReader
) -> tuple[Differences, str]:
    """Fit the variation of a reconstructing detector's differences."""
    tiled = product.metrics.tiles is not None

    def cells(every: int) -> Iterator[Tensor]:
        """Yield the differences of every n-th image, or of its tiles."""
        some = paths[::every]
        with tqdm(total=len(some), desc=f"variation of {plain.detector.name}", unit="image", dynamic_ncols=True) as bar:
            for found in _each(plain, strides, some, reader, tiled=tiled):
                yield from found
                bar.update()

    return fit_differences(cells, strides=strides, designs=[of[path].design for path in paths], fixed=product.metrics.fixed_position and not tiled)


def _each(plain: Measurer, strides: Sequence[int], paths: Sequence[Path], reader: ImageReader, *, tiled: bool) -> Iterable[list[Tensor]]:
    """Yield the differences of each image in order, several measured at once unless they come in tiles."""
    measurer, workers = (plain.on_lanes(cores()), 0) if tiled else (plain, cores())
    return in_order(lambda path: measurer.cells(read_tensor(path, reader), strides), paths, workers=workers)


def _of_looks(plain: Measurer, differences: Differences, paths: Sequence[Path], of: Mapping[Path, Companion], reader: ImageReader) -> Variation:
    """Return the variation with the levels of its maps on unseen images."""
    unlevelled = Variation(levels=dict.fromkeys(differences.maps, 0.0), dims=differences.whitening.dims, differences=differences)
    measurer = Measurer(detector=plain.detector, backbone=plain.given, params=plain.params, mask_HW=None, variation=unlevelled)
    found = in_order(lambda path: measurer.look(read_tensor(path, reader), Context(design=of[path].design)), paths, workers=0 if plain.params.tiles else cores())
    bar = tqdm(found, total=len(paths), desc=f"normal maps of {plain.detector.name}", unit="image", dynamic_ncols=True)
    return Variation(levels=levels_of(bar), dims=unlevelled.dims, differences=differences)


def spread(paths: Sequence[Path], count: int) -> list[Path]:
    """Return at most `count` of the paths, spread evenly over their order."""
    if count >= len(paths):
        return list(paths)
    return [paths[rank * len(paths) // count] for rank in range(count)]
