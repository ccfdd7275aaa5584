"""The variants: what each leaves out of the product's method, or does otherwise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import ValidationError

from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize
from zeromiss.params import Product
from zeromiss.sections import first_fault
from zeromiss.selection.resample import is_imbalanced

VQGAN = "vqgan"
STEP = 32  # pixels: an input size is a multiple of it, so that every network and every tile fits
_ADDED = ("map", "context")  # image-level maps that paper 1 has not


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One change of the product. Columns are named `<detector>.<level>.<metric>[.<aggregate>][.masked]`."""

    name: str
    change: str  # what is different from the full system, in words
    drops: Callable[[str], bool] | None = None  # which columns of the metric table are left out
    settings: dict[str, Any] = field(default_factory=dict)  # parameters that are other ones, by dotted key
    stages: tuple[str, ...] = ()  # those that make its own metric table, in order; none: the product's table
    network_seed: int | None = None  # of the training, where it is not the product's

    @property
    def trained(self) -> bool:
        """Whether a network of its own is trained."""
        return VQGAN in self.stages


def of_vqgan(product: Product) -> Product:
    """Return the product with the VQGAN as its only detector: its method is what an ablation takes apart.

    Raises ZeromissError when the product does not list it.
    """
    if VQGAN not in product.detectors:
        raise ZeromissError(f"an ablation takes the VQGAN's method apart, and product {product.name!r} does not list vqgan under detectors")
    alone = product.selection.model_copy(update={"detectors": None})
    return product.model_copy(update={"detectors": (VQGAN,), "selection": alone})


def variants(product: Product) -> list[Variant]:
    """Return every variant of a product, those that reuse its metric table first."""
    return [*_without(), *_other_table(product)]


def pick(product: Product, only: Sequence[str] | None) -> list[Variant]:
    """Return the variants named by `only`, in the order of `variants`; all of them for None.

    Raises ZeromissError for a name that none of the product's variants has.
    """
    every = variants(product)
    known = [variant.name for variant in every]
    for name in only or ():
        if name not in known:
            raise ZeromissError(f"unknown variant {name!r}: {product.name} has {', '.join(known)}")
    return [variant for variant in every if not only or variant.name in only]


def varied(product: Product, variant: Variant) -> Product:
    """Return the product with the variant's parameters.

    Raises ZeromissError naming the key that the product cannot have so.
    """
    content = product.model_dump()
    for dotted, value in variant.settings.items():
        *sections, key = dotted.split(".")
        place = content
        for section in sections:
            place = place[section]
        place[key] = value
    try:
        return Product.model_validate(content)
    except ValidationError as error:
        key, fault = first_fault(error)
        raise ZeromissError(f"variant {variant.name} of {product.name}: {key}: {fault}") from None


def kept_columns(variant: Variant, columns: Sequence[str]) -> list[str]:
    """Return the feature columns that the variant keeps, in their order."""
    return [name for name in columns if variant.drops is None or not variant.drops(name)]


def why_not(variant: Variant, product: Product, columns: Sequence[str], y_N: np.ndarray) -> str | None:
    """Return why the variant would be the full system itself, or nothing at all, in a sentence; None where it acts.

    columns: the metric table's features; y_N: its labels, 1 = defect.
    """
    if variant.drops is not None:
        kept = kept_columns(variant, columns)
        if len(kept) == len(columns):
            return f"{variant.name} does not act here: the metric table of {product.name} has none of the columns that it leaves out"
        if not kept:
            return f"{variant.name} would leave no column of the metric table of {product.name}"
    if variant.name == "no_smote" and not is_imbalanced(y_N, product.selection.smote_below):
        rarer = float(min(np.mean(y_N == 0), np.mean(y_N == 1)))
        return (
            f"SMOTE does not act here: the rarer class makes up {100 * rarer:.1f} % of the metric table, and "
            f"selection.smote_below is {product.selection.smote_below:g}"
        )
    return None


def is_masked(column: str) -> bool:
    """Whether a column was localised after the normal-variation mask."""
    return column.endswith(".masked")


def is_patch(column: str) -> bool:
    """Whether a column is of the patch level."""
    return _parts(column)[0] == "patch"


def is_fid(column: str) -> bool:
    """Whether a column aggregates the perceptual distance of patches."""
    return _parts(column) == ("patch", "fid")


def is_critic(column: str) -> bool:
    """Whether a column is an output of the discriminator."""
    return _parts(column) in {("image", "critic"), ("image", "critic_hat")}


def is_added(column: str) -> bool:
    """Whether a column aggregates a whole-image map that paper 1 has not."""
    level, metric = _parts(column)
    return level == "image" and metric in _ADDED


def is_varied(column: str) -> bool:
    """Whether a column rests on the variation of normal images: a map's statistic, or the residual vector's."""
    return column.split(".")[1] in ("map", "residual")


def _parts(column: str) -> tuple[str, str]:
    """Return level and metric."""
    parts = column.split(".")
    return parts[1], parts[2]


def _without() -> list[Variant]:
    """Return the variants that need no new metric table."""
    return [
        Variant(name="no_mask", change="without the columns localised after the normal-variation mask", drops=is_masked),
        Variant(name="no_patches", change="without the patch level", drops=is_patch),
        Variant(name="no_fid", change="without the perceptual distance of patches, which still chooses the patches", drops=is_fid),
        Variant(name="no_critic", change="without the discriminator's outputs", drops=is_critic),
        Variant(name="no_added", change="without the two perceptual maps of the whole image, which the paper has not", drops=is_added),
        Variant(name="no_variation", change="without the variation of normal images: maps' statistics and residual vector", drops=is_varied),
        Variant(name="no_smote", change="without SMOTE", settings={"selection.smote_below": 0.0}),
    ]


def _other_table(product: Product) -> list[Variant]:
    """Return the variants that measure anew, and those that train first."""
    mode = "crops" if product.metrics.mode == "dense" else "dense"
    codes, size, both = product.vqgan.codes, _half(product.size), ("vqgan", "metrics")
    found = [
        Variant(name=mode, change=f"patch distances in the mode {mode}", settings={"metrics.mode": mode}, stages=("metrics",)),
        Variant(
            name="other_seed",
            change="the same network trained again from another seed: what luck alone does",
            stages=both,
            network_seed=product.seed + 1,
        ),
        Variant(name="half_codes", change=f"{codes // 2} codes, not {codes}", settings={"vqgan.codes": codes // 2}, stages=both),
        Variant(name="double_codes", change=f"{2 * codes} codes, not {codes}", settings={"vqgan.codes": 2 * codes}, stages=both),
        Variant(name="half_size", change=f"images of {size} pixels, not {product.size}", settings={"size": size.plain}, stages=both),
    ]
    return [variant for variant in found if variant.settings.get("size") != product.size.plain]


def _half(size: ImageSize) -> ImageSize:
    """Return about half of a size, both sides multiples of 32."""
    return ImageSize(*(max(STEP, round(side / 2 / STEP) * STEP) for side in (size.width, size.height)))
