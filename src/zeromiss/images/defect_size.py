"""How small the defects of a product are, and which maps of a backbone are fine enough to see them.

Sizes are in pixels of the image as inspected. Axes: H, W pixels.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from zeromiss.images import manifest as manifests
from zeromiss.images.reader import open_reader
from zeromiss.params import Product
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

SMALL = 0.1  # quantile of the sides that counts as the smallest: a single speck must not decide
FINE, USUAL = (4, 8), (8, 16)  # pixels a cell
CELLS = 1.5  # cells of the finer usual map that a defect must be wide for it to do


def product_strides(product: Product, workspace: Workspace) -> tuple[int, int]:
    """Return the strides of the maps that suit a product's smallest defects, by the masks of the split `table`; the usual ones without masks."""
    raw, reader = workspace.raw(product.name), open_reader(workspace.alignment(product.name), product.size)
    manifest = read_table(workspace.manifest(product.name) / manifests.FILE, schema_version=manifests.SCHEMA_VERSION)
    marked = manifest[(manifest["split"] == "table") & (manifest["label"] == "defect") & manifest["mask"].notna()]
    masks = (reader.read_mask(raw / mask, of=raw / path) for path, mask in zip(marked["path"], marked["mask"], strict=True))
    return strides_for(smallest_defect(masks))


def strides_for(side: float | None) -> tuple[int, int]:
    """Return the strides for defects of `side` pixels: the finer ones where these are narrower than `CELLS` usual cells."""
    return FINE if side is not None and side < CELLS * USUAL[0] else USUAL


def smallest_defect(masks: Iterable[np.ndarray]) -> float | None:
    """Return the `SMALL` quantile of the defects' sides in pixels; None without a mask.

    A defect is as large as its largest connected region (8 neighbours), since finding that one finds it; its side is the
    square root of the region's area.
    """
    sides = []
    for mask_HW in masks:
        count, _, statistics, _ = cv2.connectedComponentsWithStats(mask_HW.astype(np.uint8), connectivity=8)
        if count > 1:
            sides.append(float(statistics[1:, cv2.CC_STAT_AREA].max()) ** 0.5)
    return float(np.quantile(sides, SMALL)) if sides else None
