"""The project's own synthetic boards, drawn anew from the product's seed."""

from dataclasses import replace
from pathlib import Path

from zeromiss.images.sources.mvtec import list_mvtec
from zeromiss.images.sources.record import Listing, Record
from zeromiss.stage_params import SourceParams

_INCOMING_SEED = 1_000_003  # apart from the product's seed: boards that nobody has judged


def list_pcba(scratch: Path, *, source: SourceParams, seed: int) -> Listing:
    """Draw the boards below `scratch` and list them; a board is a part.

    Of several `source.layouts`, each is a design whose picture, without noise, is the reference of its boards.
    `source.incoming` more boards, half of them defective, come from another seed. Their names tell what was drawn.
    """
    from zeromiss.images.pcba.product import write_boards

    layouts = source.layouts
    known, unseen = scratch / "known", scratch / "unseen"
    write_boards(known, normals=source.normals, defects=source.defects, side=source.side, seed=seed, layouts=layouts)
    records = [_designed(record, known, normals=source.normals, layouts=layouts) for record in list_mvtec(known, part_of=lambda path: path.stem).records]
    if not source.incoming:
        return Listing(records=records)
    defects = source.incoming // 2
    normals = source.incoming - defects
    write_boards(unseen, normals=normals, defects=defects, side=source.side, seed=seed + _INCOMING_SEED, layouts=layouts)
    incoming = [
        (record.file, _incoming_name(record, normals=normals, layouts=layouts))
        for record in list_mvtec(unseen).records
    ]
    note = f"{len(incoming)} more boards are drawn as images that nobody has judged, {defects} of them defective"
    return Listing(records=records, notes=[note], incoming=incoming)


def _designed(record: Record, folder: Path, *, normals: int, layouts: int) -> Record:
    """Return a board with its design and reference, as it is where there is one layout."""
    from zeromiss.images.pcba.product import design_name, reference_file

    if layouts == 1:
        return record
    layout = _layout(record, normals=normals, layouts=layouts)
    return replace(record, reference=folder / reference_file(layout), design=design_name(layout))


def _incoming_name(record: Record, *, normals: int, layouts: int) -> str:
    """Return the name of a board that nobody has judged: its number, what was drawn, and its design where there are several."""
    from zeromiss.images.pcba.product import design_name

    parts = [record.file.stem, record.defect_type or "good"]
    if layouts > 1:
        parts.append(design_name(_layout(record, normals=normals, layouts=layouts)))
    return "_".join(parts) + record.file.suffix


def _layout(record: Record, *, normals: int, layouts: int) -> int:
    """Return the layout of a drawn board, which follows from its number."""
    from zeromiss.images.pcba.product import layout_of

    return layout_of(int(record.file.stem.rpartition("_")[2]), normals=normals, layouts=layouts)
