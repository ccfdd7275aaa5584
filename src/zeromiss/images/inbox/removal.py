"""Taking images out of an inbox once their committed copies have been read back; nothing else ever leaves it."""

import time
from collections.abc import Mapping
from pathlib import Path

from zeromiss.files import sha256_file
from zeromiss.images import known as digests
from zeromiss.images.inbox.look import remembered
from zeromiss.images.inbox.place import Place, open_place
from zeromiss.images.inbox.survey import Image, survey
from zeromiss.images.ingest import existing
from zeromiss.images.raw import Entry
from zeromiss.images.words import counted
from zeromiss.params import Product
from zeromiss.workspace import Workspace


def remove(product: Product, workspace: Workspace, address: str, committed: Mapping[str, Path]) -> list[str]:
    """Remove images from the inbox at `address` whose committed copies hold the same bytes; return what there is to say.

    `committed` gives the file that holds each committed raw path's bytes. An image without a label, in quarantine, not
    complete, changed since it was read, or with another copy than its own stays.
    """
    from tqdm import tqdm

    place = open_place(address)
    found = survey(place.files(), now=time.time(), settle_seconds=product.ingest.settle_seconds)
    memory, known = digests.load(workspace, f"{product.name}.inbox"), digests.load(workspace, product.name)
    entries = {sha256: entry for entry, sha256 in existing(workspace.raw(product.name), known)}
    taken = [(image, sha256) for image in found.images if (sha256 := remembered(place, image.found, memory)) in entries]
    removed = 0
    for image, sha256 in tqdm(taken, desc="remove from inbox", unit="image", dynamic_ncols=True, disable=not taken):
        entry = entries[sha256]
        if entry.label == image.label and _is_kept(place, image, sha256, entry, committed, workspace.landing(product.name)):
            removed += _remove(place, image)
    return [f"{counted(removed, 'image')} removed from the inbox: their committed copies were read back"] if removed else []


def _is_kept(place: Place, image: Image, sha256: str, entry: Entry, committed: Mapping[str, Path], landing: Path) -> bool:
    """Return whether the committed copies of an image and of its mask hold their bytes, read from the disk now."""
    copy, mask = committed.get(entry.path), committed.get(entry.mask)
    if copy is None or not copy.is_file() or sha256_file(copy) != sha256:
        return False
    if image.mask is None:
        return True
    return mask is not None and mask.is_file() and sha256_file(mask) == sha256_file(place.fetch([image.mask], landing)[0])


def _remove(place: Place, image: Image) -> bool:
    """Remove an image, then its mask; return whether the image is gone."""
    if not place.remove(image.found):
        return False
    if image.mask is not None:
        place.remove(image.mask)
    return True
