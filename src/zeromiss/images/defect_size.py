"""How small the defects of a product are, and which maps of a backbone are fine enough to see them.

Sizes are in pixels of the image as inspected. Axes: H, W pixels.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd

from zeromiss.errors import ZeromissError
from zeromiss.images import manifest as manifests
from zeromiss.images.reader import open_reader
from zeromiss.params import Product
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

FILE = "defect_sizes.parquet"  # of the metrics stage: path and side of each marked defect of the table
SMALL = 0.1  # quantile of the sides that counts as the smallest: a single speck must not decide
FINE, USUAL = 4, 8  # pixels a cell of the finer map
CELLS = 1.5  # cells of the finer usual map that a defect must be wide for it to do


def product_strides(product: Product, workspace: Workspace, available: Sequence[int]) -> tuple[int, int]:
    """Return the strides of the two maps that suit a product's smallest defects, by the masks of the split `table`.

    `available`: the strides of the backbone's maps; without masks defects count as large. Raises ZeromissError for a
    backbone with fewer than two maps.
    """
    return strides_for(smallest_side(defect_sizes(product, workspace)), available)


def defect_sizes(product: Product, workspace: Workspace) -> pd.DataFrame:
    """Return `path` and `side` in pixels (see `defect_side`) of each defect of the split `table` that a mask marks, as it is inspected."""
    raw, reader = workspace.raw(product.name), open_reader(workspace.alignment(product.name), product.size)
    manifest = read_table(workspace.manifest(product.name) / manifests.FILE, schema_version=manifests.SCHEMA_VERSION)
    marked = manifest[(manifest["split"] == "table") & (manifest["label"] == "defect") & manifest["mask"].notna()]
    sides = [(path, defect_side(reader.read_mask(raw / mask, of=raw / path))) for path, mask in zip(marked["path"], marked["mask"], strict=True)]
    sizes = pd.DataFrame({"path": [path for path, _ in sides], "side": [side for _, side in sides]})
    return sizes.astype({"path": "object", "side": "float64"}).dropna(ignore_index=True)


def strides_for(side: float | None, available: Sequence[int]) -> tuple[int, int]:
    """Return two of the strides for defects of `side` pixels, the finer first: 4 and 8 for small ones, 8 and 16 for others or where it is None.

    Of a backbone that has them not: the coarsest map that is no coarser than the finer of these, and the next coarser one.
    """
    if len(available) < 2:
        raise ZeromissError(f"the backbone gives {len(available)} map and normal variation needs two: choose another metrics.backbone")
    ordered = sorted(available)
    wanted = FINE if side is not None and side < CELLS * USUAL else USUAL
    first = max((place for place, stride in enumerate(ordered) if stride <= wanted), default=0)
    first = min(first, len(ordered) - 2)
    return ordered[first], ordered[first + 1]


def smallest_side(sizes: pd.DataFrame) -> float | None:
    """Return the `SMALL` quantile of the column `side`, in pixels; None without a row."""
    return float(np.quantile(sizes["side"], SMALL)) if len(sizes) else None


def defect_side(mask_HW: np.ndarray) -> float | None:
    """Return a defect's side in pixels, None where the mask marks nothing.

    A defect is as large as its largest connected region (8 neighbours), since finding that one finds it; its side is the
    square root of the region's area.
    """
    count, _, statistics, _ = cv2.connectedComponentsWithStats(mask_HW.astype(np.uint8), connectivity=8)
    return float(statistics[1:, cv2.CC_STAT_AREA].max()) ** 0.5 if count > 1 else None
