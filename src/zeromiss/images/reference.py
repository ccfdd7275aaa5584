"""The reference that a product's images are laid over: chosen from its images, kept in a folder, opened from it.

    align.json      how images are aligned, which file the reference was made of, and (orientation) where the part lies in it
    reference.png   the reference, as the product's images are inspected, or (orientation) its part; only where images are aligned

The manifest stage writes the folder, bundles carry a copy: whoever reads images reads the folder and no parameter.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from pydantic import ValidationError

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path, read_json, sha256_file, write_json
from zeromiss.image_size import ImageSize, Size
from zeromiss.images.align import Aligner
from zeromiss.images.load import load_image, load_picture, open_image, resize
from zeromiss.images.orientation import Frame, Orienter, fit_matrix, make_frame, part_or_none, sample, upright
from zeromiss.sections import first_fault
from zeromiss.stage_params import AlignParams

SCHEMA_VERSION = 2
RECORD, PICTURE = "align.json", "reference.png"
SAMPLE = 500  # images among which the reference is chosen
_SMALL = 64  # pixels of the side on which they are compared


def nearest_to_mean(paths: Sequence[Path]) -> int:
    """Return which image is nearest to the mean of all, the squared distance of small grey copies, light and contrast evened.

    The mean is brightest where parts mostly lie: the image nearest to it lies where most of them do. Of many images,
    `SAMPLE` spread evenly over them are looked at.
    """
    from tqdm import tqdm  # late: who only aligns has no need of it

    chosen = _spread(len(paths))
    copies = np.stack([load_image(paths[i], _SMALL).mean(axis=0).ravel() for i in tqdm(chosen, desc="choose reference", unit="image")])
    return int(chosen[_nearest(copies)])


def typical_part(paths: Sequence[Path]) -> int:
    """Return which picture shows the part most like the mean of all parts, each turned to its axis and cut out.

    Of many images `SAMPLE` are looked at. Pictures without a clear part do not count; where most are so, there is no background and
    the picture nearest to their mean as they are is returned.
    """
    from tqdm import tqdm  # late: who only aligns has no need of it

    chosen = _spread(len(paths))
    copies: dict[int, np.ndarray] = {}
    for i in tqdm(chosen, desc="choose reference", unit="image"):
        picture_HWC = load_picture(paths[i])
        part = part_or_none(picture_HWC)
        if part is not None:
            copies[int(i)] = upright(picture_HWC, part, _SMALL).ravel()
    if 2 * len(copies) < len(chosen):
        return nearest_to_mean(paths)
    return list(copies)[_nearest(np.stack(list(copies.values())))]


def _spread(count: int) -> np.ndarray:
    """Return `SAMPLE` indices of `count`, evenly spread; all where there are fewer."""
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).round().astype(int))


def _nearest(copies_NP: np.ndarray) -> int:
    """Return which copy is nearest to the mean of all, light and contrast evened."""
    copies_NP = copies_NP - copies_NP.mean(axis=1, keepdims=True)
    copies_NP /= np.maximum(copies_NP.std(axis=1, keepdims=True), 1e-6)
    return int(np.square(copies_NP - copies_NP.mean(axis=0)).sum(axis=1).argmin())


def write_alignment(folder: Path, params: AlignParams, *, raw: Path, reference: str | None, size: Size) -> None:
    """Write the folder: `reference` is a path below `raw`, None where images are not aligned.

    Raises ZeromissError when the reference cannot be read, or parts cannot be turned by it.
    """
    record: dict[str, object] = {"params": params.model_dump(mode="json"), "reference": None}
    (folder / PICTURE).unlink(missing_ok=True)
    if reference is not None:
        source, facts = raw / reference, {}
        if params.mode == "orientation":
            picture_HWC, facts = _oriented(source)
        else:
            picture_HWC = load_image(source, size).transpose(1, 2, 0)
        rgb_HWC = np.rint(np.clip(picture_HWC, 0.0, 1.0) * 255).astype(np.uint8)
        _, data = cv2.imencode(".png", np.ascontiguousarray(rgb_HWC[..., ::-1]))
        with atomic_path(folder / PICTURE) as temporary:
            temporary.write_bytes(data.tobytes())
        width, height = open_image(source)[0].size
        record["reference"] = {"path": reference, "sha256": sha256_file(source), "picture": sha256_file(folder / PICTURE), "aspect": width / height} | facts
    write_json(folder / RECORD, record, schema_version=SCHEMA_VERSION)


def alignment_digest(folder: Path) -> str:
    """Return what tells one alignment from another, '' where images are not aligned: the SHA-256 of the record, which names the picture's."""
    record = read_json(folder / RECORD, schema_version=SCHEMA_VERSION)
    return "" if record.get("reference") is None else sha256_file(folder / RECORD)


def open_aligner(folder: Path, size: Size) -> Aligner | Orienter | None:
    """Return the aligner for images of `size` from a folder, None where images are not aligned.

    Raises ZeromissError when a file is missing or not as it was written.
    """
    record = read_json(folder / RECORD, schema_version=SCHEMA_VERSION)
    try:
        params, reference = AlignParams.model_validate(record["params"]), record["reference"]
        if params.mode == "none":
            return None
        digest, aspect = str(reference["picture"]), float(reference["aspect"])
        frame = Frame(**reference["frame"]) if params.mode == "orientation" else None
    except ValidationError as error:
        key, fault = first_fault(error)
        raise ZeromissError(f"{folder / RECORD}: {key}: {fault}: run the manifest stage anew") from None
    except (KeyError, TypeError, ValueError):
        raise ZeromissError(f"{folder / RECORD} is not as it was written: run the manifest stage anew") from None
    picture = folder / PICTURE
    if not picture.is_file() or sha256_file(picture) != digest:
        raise ZeromissError(f"{picture} is not the reference that {RECORD} names: run the manifest stage anew")
    kept_HWC = np.asarray(open_image(picture)[0].convert("RGB"), dtype=np.float32) / np.float32(255.0)
    if frame is not None:
        return Orienter(params, kept_HWC, frame, ImageSize.of(size))
    return Aligner(params, np.ascontiguousarray(resize(kept_HWC, size).transpose(2, 0, 1)), aspect=aspect)


def _oriented(source: Path) -> tuple[np.ndarray, dict[str, object]]:
    """Return the picture of a reference that parts at any angle are laid over, and its frame."""
    picture_HWC = load_picture(source)
    frame = make_frame(picture_HWC, part_or_none(picture_HWC))
    return sample(picture_HWC, *fit_matrix(frame)), {"frame": asdict(frame)}
