"""Before anything is learned: which image is the reference, and can every image of the manifest be laid over it?"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize, Size
from zeromiss.images.reader import open_reader
from zeromiss.images.reference import nearest_to_mean, typical_part, write_alignment
from zeromiss.images.workers import work
from zeromiss.stage_params import AlignParams

SHAPE = 0.02  # share by which the ratio of an image's sides may differ from the reference's


def choose_reference(rows: pd.DataFrame, params: AlignParams, *, raw: Path) -> str | None:
    """Return the path, below `raw`, of the image that all images of the manifest are laid over; None where none is.

    Raises ZeromissError when the parameters name one that is not there, has a defect or is locked away.
    """
    if params.mode == "none":
        return None
    if params.reference is not None:
        usable = rows[(rows["label"] == "normal") & (rows["split"] != "audit")]
        if params.reference not in set(usable["path"]):
            raise ZeromissError(
                f"align.reference {params.reference} is no normal image of the index outside the split audit: name another one, "
                f"for example {usable['path'].min()}"
            )
        return params.reference
    taught = rows.loc[(rows["split"] == "train") & (rows["label"] == "normal"), "path"].tolist()
    choose = typical_part if params.mode == "orientation" else nearest_to_mean
    return taught[choose([raw / path for path in taught])]


def check_alignable(rows: pd.DataFrame, params: AlignParams, *, raw: Path, reference: str, size: Size, reduced: bool) -> pd.DataFrame:
    """Lay every image of the manifest over the reference; return correlation, shift and degrees of each.

    Raises ZeromissError naming the first image that cannot be aligned, and how many more cannot.
    """
    if params.mode != "orientation":  # which samples each picture in its own pixels
        _refuse_other_shapes(rows, reference, raw)
    with TemporaryDirectory() as scratch:
        write_alignment(Path(scratch), params, raw=raw, reference=reference, size=size)
        items = [(scratch, ImageSize.of(size), reduced, str(raw / path)) for path in rows["path"]]
        found = work("zeromiss.images.alignable:lay", items, title="align images", unit="image")
    lost = [problem for *_, problem in found if problem]
    if lost:
        more = f" ({len(lost) - 1} more like it)" if len(lost) > 1 else ""
        raise ZeromissError(f"{lost[0]}{more}; or take what cannot be aligned out of the index")
    return pd.DataFrame([values for *values, _ in found], columns=["correlation", "shift", "degrees"], index=rows.index)


def lay(items: list[tuple[str, ImageSize, bool, str]]) -> list[tuple[float, float, float, str]]:
    """Return correlation, shift and degrees of image files, with '' or why they cannot be aligned; all of one folder and size."""
    folder, size, reduced, _ = items[0]
    reader, found = open_reader(Path(folder), size, reduced=reduced), []
    for *_, path in items:
        try:
            motion = reader.find(Path(path))
            found.append((motion.correlation, motion.shift, motion.degrees, ""))
        except ZeromissError as refusal:
            found.append((0.0, 0.0, 0.0, str(refusal)))
    return found


def summary(motions: pd.DataFrame) -> dict[str, float]:
    """Return what the run's page shows of the motions found."""
    return {
        "align.shift_median": float(motions["shift"].median()),
        "align.shift_max": float(motions["shift"].max()),
        "align.degrees_max": float(motions["degrees"].abs().max()),
        "align.correlation_min": float(motions["correlation"].min()),
    }


def sentence(motions: pd.DataFrame, reference: str) -> str:
    """Say in one line what aligning moved."""
    told = summary(motions)
    return (
        f"align: {len(motions)} images laid over {reference}, shifted by {told['align.shift_median']:.1%} of the side (median; at most "
        f"{told['align.shift_max']:.1%}) and turned by {told['align.degrees_max']:.1f} degrees at most; agreement {told['align.correlation_min']:.2f} or more"
    )


def _refuse_other_shapes(rows: pd.DataFrame, reference: str, raw: Path) -> None:
    """Raise ZeromissError when an image's sides have another ratio than the reference's: it would be squeezed otherwise."""
    ratio = rows["width"] / rows["height"]
    own = ratio[rows["path"] == reference].iloc[0]
    for row in rows[(ratio / own - 1).abs() > SHAPE].to_dict(orient="records"):
        raise ZeromissError(
            f"{raw / row['path']} is {row['width']} x {row['height']} pixels, of another shape than the reference {reference}: aligning needs "
            "images of one shape, so crop it or set align.mode to none"
        )
