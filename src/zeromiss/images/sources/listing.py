"""A product's source, whatever its kind."""

import json
from dataclasses import replace
from pathlib import Path

from zeromiss.errors import ZeromissError
from zeromiss.images.sources.csv import list_csv
from zeromiss.images.sources.elpv import LABELS, list_elpv
from zeromiss.images.sources.mvtec import list_mvtec
from zeromiss.images.sources.pcba import list_pcba
from zeromiss.images.sources.record import Listing
from zeromiss.params import Product


def list_source(product: Product, *, root: Path, folder: Path | None, scratch: Path) -> Listing:
    """List a product's images.

    `folder` takes the place of the product's own source: a CSV file or a folder that holds one CSV file for the
    kind csv, an MVTec AD style folder otherwise (for elpv also a folder with its `labels.csv`). A relative
    `source.path` is meant from `root`. `scratch` is an empty folder for images that are drawn.

    Raises ZeromissError for all that the source's kind refuses, and when there is no path to read.
    """
    kind = product.source.kind
    given = folder or (root / product.source.path if product.source.path else None)
    if kind == "elpv" and (given is None or (given / LABELS).is_file()):
        return list_elpv(given, incoming=product.source.incoming, seed=product.seed)
    if kind == "pcba" and given is None:
        return list_pcba(scratch, source=product.source, seed=product.seed)
    if given is None:
        raise ZeromissError(f"products.{product.name}.source.path is missing: a source of kind {kind} needs it")
    if kind != "csv":
        return list_mvtec(given)
    listing = list_csv(_table(given))
    return replace(listing, read=[*listing.read, given]) if given.is_dir() else listing


def drawing_recipe(product: Product) -> str | None:
    """Return, as JSON text, all that decides what a product's own source draws; None where it draws nothing."""
    if product.source.kind != "pcba" or product.source.path:
        return None
    drawn = {"kind", "normals", "defects", "side", "incoming"} | ({"layouts"} if product.source.layouts > 1 else set())
    source = product.source.model_dump(include=drawn)
    return json.dumps({"schema_version": 1, "seed": product.seed, **source}, indent=2) + "\n"


def _table(path: Path) -> Path:
    """Return the CSV file meant by a file or by the folder that holds it."""
    if not path.is_dir():
        return path
    tables = sorted(path.glob("*.csv"))
    if len(tables) != 1:
        raise ZeromissError(f"{path} holds {len(tables)} CSV files: name the one with the columns path and label")
    return tables[0]
