"""The project's own synthetic boards, drawn anew from the product's seed."""

from pathlib import Path

from zeromiss.images.sources.mvtec import list_mvtec
from zeromiss.images.sources.record import Listing
from zeromiss.stage_params import SourceParams

_INCOMING_SEED = 1_000_003  # apart from the product's seed: boards that nobody has judged


def list_pcba(scratch: Path, *, source: SourceParams, seed: int) -> Listing:
    """Draw the boards below `scratch` and list them; a board is a part.

    `source.incoming` more boards, half of them defective, come from another seed. Their names tell what was drawn.
    """
    from zeromiss.images.pcba.product import write_boards

    known, unseen = scratch / "known", scratch / "unseen"
    write_boards(known, normals=source.normals, defects=source.defects, side=source.side, seed=seed)
    listing = list_mvtec(known, part_of=lambda path: path.stem)
    if not source.incoming:
        return listing
    defects = source.incoming // 2
    normals = source.incoming - defects
    write_boards(unseen, normals=normals, defects=defects, side=source.side, seed=seed + _INCOMING_SEED)
    incoming = [
        (record.file, f"{record.file.stem}_{record.defect_type or 'good'}{record.file.suffix}")
        for record in list_mvtec(unseen).records
    ]
    note = f"{len(incoming)} more boards are drawn as images that nobody has judged, {defects} of them defective"
    return Listing(records=listing.records, notes=[note], incoming=incoming)
