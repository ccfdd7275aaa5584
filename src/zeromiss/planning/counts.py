"""How many images each step will see: from the manifest, else from the raw index by the manifest's own rules."""

from dataclasses import asdict, dataclass

import pandas as pd

from zeromiss import schemas
from zeromiss.files import read_json
from zeromiss.images.labels import apply_to_entries, read_changes
from zeromiss.images.manifest import COUNTS_FILE
from zeromiss.images.raw import INDEX, read_index
from zeromiss.images.split import assign_splits
from zeromiss.params import Product
from zeromiss.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Images of a product by what they are for."""

    train: int  # normals that train the network
    mask: int  # normals that make the mask of normal variation
    normals: int  # of the metric table
    defects: int  # of the metric table
    source: str  # where these numbers come from
    threshold: int = 0  # defects that set the threshold alone

    @property
    def rows(self) -> int:
        """Rows of the metric table."""
        return self.normals + self.defects


def count_images(product: Product, workspace: Workspace) -> Counts | None:
    """Return the counts; None while nothing was ingested.

    Raises ZeromissError when the raw index is damaged, or holds too few images to be split.
    """
    raw = workspace.raw(product.name)
    if not (raw / INDEX).is_file():
        return None
    written = workspace.manifest(product.name) / COUNTS_FILE
    if written.is_file():
        return _counts(read_json(written, schema_version=schemas.COUNTS)["counts"], "the manifest")
    changed = apply_to_entries(read_index(raw), read_changes(workspace.labels(product.name)))
    entries = pd.DataFrame([asdict(entry) for entry in changed])
    split = assign_splits(entries, params=product.manifest, mask=product.manifest.mask, seed=product.seed)
    found = entries.groupby([split, "label"]).size()
    names = ("train", "mask", "table", "threshold")
    return _counts(
        {name: {label: int(found.get((name, label), 0)) for label in ("normal", "defect")} for name in names},
        "the raw index, split as the manifest stage will",
    )


def _counts(found: dict[str, dict[str, int]], source: str) -> Counts:
    return Counts(
        train=found["train"]["normal"],
        mask=found["mask"]["normal"],
        normals=found["table"]["normal"],
        defects=found["table"]["defect"],
        source=source,
        threshold=found["threshold"]["defect"],
    )
