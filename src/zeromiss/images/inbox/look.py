"""A close look at an inbox's files: their content's hash, and what is wrong with them."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from zeromiss.files import refuse_full_disk, sha256_file
from zeromiss.images.digests import Digest
from zeromiss.images.facts import Facts
from zeromiss.images.inbox.place import Found, Place
from zeromiss.images.inbox.survey import Image
from zeromiss.images.known import Known, settled
from zeromiss.image_size import SMALLEST_SIDE
from zeromiss.images.load import MODES
from zeromiss.images.workers import work
from zeromiss.stage_params import ManifestParams


class Seen(NamedTuple):
    """A file that was read: where it can be read again, its SHA-256, the image it would be, and what speaks against that."""

    found: Found
    file: Path
    sha256: str
    image: Image | None
    mask: Path | None
    problem: str


def look(
    place: Place, images: Sequence[Image], strange: Sequence[tuple[Found, str]], memory: Known, *, landing: Path, params: ManifestParams
) -> tuple[list[Seen], list[Found]]:
    """Read files whole; return them, and those that turned out to be still written. Notes in `memory` what they hold.

    Raises ZeromissError when the disk has no room for what is fetched and for the copies that an ingest makes.
    """
    started = time.time_ns()
    wanted = [*(image.found for image in images), *(found for found, _ in strange), *(image.mask for image in images if image.mask)]
    landing.parent.mkdir(parents=True, exist_ok=True)
    refuse_full_disk(landing.parent, place.copies * sum(found.size for found in wanted), act="this ingest (the images, and the copy that DVC keeps)")
    files = dict(zip(wanted, place.fetch(wanted, landing), strict=True)) if wanted else {}
    jobs = [("", str(files[image.found])[1:], str(files[image.mask])[1:] if image.mask else "") for image in images]
    facts = work("zeromiss.images.facts:read", jobs, title="check images", unit="image") if jobs else []
    seen, busy = [], []
    for image, fact, job in zip(images, facts, jobs, strict=True):
        problem = _problem(fact, params).replace(job[2], image.mask.name) if image.mask else _problem(fact, params)
        _sort(place, image.found, files, fact.sha256, image, problem, seen, busy)
    for found, reason in strange:
        _sort(place, found, files, None, None, reason, seen, busy)
    memory.note({key(place, one.found): Digest(one.sha256, "", one.found.signature) for one in seen if settled(one.found.signature, started)})
    return seen, busy


def key(place: Place, found: Found) -> str:
    """Return the name under which a file of an inbox is remembered."""
    return f"{place.address}/{found.name}"


def remembered(place: Place, found: Found, memory: Known) -> str:
    """Return the SHA-256 of a file that did not change since it was read, '' where it has to be read."""
    noted = memory.digests.get(key(place, found))
    return noted.sha256 if noted is not None and noted.signature == found.signature else ""


def _sort(
    place: Place, found: Found, files: dict[Found, Path], sha256: str | None, image: Image | None, problem: str, seen: list[Seen], busy: list[Found]
) -> None:
    """Put a file with those seen, or with those whose writer is at work: a folder can tell, an object is whole."""
    file = files[found]
    try:
        content = sha256 or sha256_file(file)
    except OSError:  # renamed or taken away meanwhile
        busy.append(found)
        return
    if place.copies == 2 and place.busy(found):
        busy.append(found)
        return
    mask = files[image.mask] if image is not None and image.mask is not None else None
    seen.append(Seen(found, file, content, image, mask, problem))


def _problem(facts: Facts, params: ManifestParams) -> str:
    """Say what the manifest's checks would refuse of an image: there it would stop every training."""
    if facts.problem or facts.mask_problem:
        return facts.problem or facts.mask_problem
    if facts.mode not in MODES:
        return f"has the mode {facts.mode}: save it as 8-bit grey or RGB"
    least, most = max(params.min_side, SMALLEST_SIDE), params.max_side
    if not least <= min(facts.width or 0, facts.height or 0) <= max(facts.width or 0, facts.height or 0) <= most:
        return f"is {facts.width} x {facts.height} pixels: a side must have {least} to {most} (manifest.min_side, manifest.max_side)"
    return ""
