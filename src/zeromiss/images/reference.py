"""The reference that a product's images are laid over: chosen from its images, kept in a folder, opened from it.

    align.json      how images are aligned, and which file the reference was made of
    reference.png   the reference, as the product's images are judged; only where images are aligned

The manifest stage writes the folder, bundles carry a copy: whoever reads images reads the folder and no parameter.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from pydantic import ValidationError

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path, read_json, sha256_file, write_json
from zeromiss.images.align import Aligner
from zeromiss.images.load import load_image, open_image, resize
from zeromiss.sections import first_fault
from zeromiss.stage_params import AlignParams

SCHEMA_VERSION = 1
RECORD, PICTURE = "align.json", "reference.png"
SAMPLE = 500  # images among which the reference is chosen
_SMALL = 64  # pixels of the side on which they are compared


def nearest_to_mean(paths: Sequence[Path]) -> int:
    """Return which image is nearest to the mean of all, the squared distance of small grey copies, light and contrast evened.

    The mean is brightest where parts mostly lie: the image nearest to it lies where most of them do. Of many images,
    `SAMPLE` spread evenly over them are looked at.
    """
    from tqdm import tqdm  # late: who only aligns has no need of it

    chosen = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), SAMPLE)).round().astype(int))
    copies = np.stack([load_image(paths[i], _SMALL).mean(axis=0).ravel() for i in tqdm(chosen, desc="choose reference", unit="image")])
    copies -= copies.mean(axis=1, keepdims=True)
    copies /= np.maximum(copies.std(axis=1, keepdims=True), 1e-6)
    return int(chosen[np.square(copies - copies.mean(axis=0)).sum(axis=1).argmin()])


def write_alignment(folder: Path, params: AlignParams, *, raw: Path, reference: str | None, size: int) -> None:
    """Write the folder: `reference` is a path below `raw`, None where images are not aligned.

    Raises ZeromissError when the reference cannot be read.
    """
    record: dict[str, object] = {"params": params.model_dump(mode="json"), "reference": None}
    (folder / PICTURE).unlink(missing_ok=True)
    if reference is not None:
        source = raw / reference
        rgb_HWC = np.rint(load_image(source, size).transpose(1, 2, 0) * 255).astype(np.uint8)
        _, data = cv2.imencode(".png", np.ascontiguousarray(rgb_HWC[..., ::-1]))
        with atomic_path(folder / PICTURE) as temporary:
            temporary.write_bytes(data.tobytes())
        width, height = open_image(source)[0].size
        record["reference"] = {"path": reference, "sha256": sha256_file(source), "picture": sha256_file(folder / PICTURE), "aspect": width / height}
    write_json(folder / RECORD, record, schema_version=SCHEMA_VERSION)


def alignment_digest(folder: Path) -> str:
    """Return what tells one alignment from another, '' where images are not aligned: the SHA-256 of the record, which names the picture's."""
    record = read_json(folder / RECORD, schema_version=SCHEMA_VERSION)
    return "" if record.get("reference") is None else sha256_file(folder / RECORD)


def open_aligner(folder: Path, size: int) -> Aligner | None:
    """Return the aligner for images of `size` pixels a side from a folder, None where images are not aligned.

    Raises ZeromissError when a file is missing or not as it was written.
    """
    record = read_json(folder / RECORD, schema_version=SCHEMA_VERSION)
    try:
        params, reference = AlignParams.model_validate(record["params"]), record["reference"]
        if params.mode == "none":
            return None
        digest, aspect = str(reference["picture"]), float(reference["aspect"])
    except ValidationError as error:
        key, fault = first_fault(error)
        raise ZeromissError(f"{folder / RECORD}: {key}: {fault}: run the manifest stage anew") from None
    except (KeyError, TypeError, ValueError):
        raise ZeromissError(f"{folder / RECORD} is not as it was written: run the manifest stage anew") from None
    picture = folder / PICTURE
    if not picture.is_file() or sha256_file(picture) != digest:
        raise ZeromissError(f"{picture} is not the reference that {RECORD} names: run the manifest stage anew")
    kept_CHW = load_image(picture, open_image(picture)[0].width)
    reference_CHW = np.ascontiguousarray(resize(np.ascontiguousarray(kept_CHW.transpose(1, 2, 0)), size).transpose(2, 0, 1))
    return Aligner(params, reference_CHW, aspect=aspect)
