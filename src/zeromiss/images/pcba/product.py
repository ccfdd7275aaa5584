"""The synthetic product as a folder of pictures, laid out like MVTec AD."""

from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path
from zeromiss.images.pcba.board import draw_board, draw_reference
from zeromiss.images.pcba.defects import DEFECTS

__all__ = ["DEFECTS", "write_boards"]

_SEEDS = 1_000_000  # boards of a product seed; the next product seed begins above them


def write_boards(folder: Path, *, normals: int, defects: int, side: int, seed: int, layouts: int = 1) -> None:
    """Draw boards into `folder`: train/good, test/<defect>, ground_truth/<defect>/<stem>_mask.png.

    Of several layouts, which boards have in turn, each gets a picture of the design, see `reference_file`.

    Good boards come first, then the defective ones, the kinds in turn. Every board has its own
    number, which is its stem and its part id. The same arguments write the same pictures.
    Raises ZeromissError for negative counts, too many boards, or what `draw_board` refuses.
    """
    if normals < 0 or defects < 0 or seed < 0 or normals + defects > _SEEDS:
        raise ZeromissError(f"boards: normals, defects and seed must be 0 or more, and at most {_SEEDS} boards in all")
    for layout in range(layouts if layouts > 1 else 0):
        _write_png(folder / reference_file(layout), draw_reference(layout=layout, side=side)[..., ::-1])
    for number in tqdm(range(normals + defects), desc="drawing boards", unit="board"):
        kind = None if number < normals else DEFECTS[(number - normals) % len(DEFECTS)]
        stem = f"board_{number:05d}"
        board = draw_board(seed=seed * _SEEDS + number, side=side, defect=kind, layout=layout_of(number, normals=normals, layouts=layouts))
        place = folder / "train" / "good" if kind is None else folder / "test" / kind
        _write_png(place / f"{stem}.png", board.image_HWC[..., ::-1])
        if kind is not None:
            _write_png(folder / "ground_truth" / kind / f"{stem}_mask.png", board.mask_HW.astype(np.uint8) * 255)


def layout_of(number: int, *, normals: int, layouts: int) -> int:
    """Return the layout of a board by its number: good ones have them in turn, defective ones once a round of all kinds."""
    return (number if number < normals else (number - normals) // len(DEFECTS)) % layouts


def design_name(layout: int) -> str:
    """Return the name of a layout."""
    return f"layout_{layout}"


def reference_file(layout: int) -> str:
    """Return where, below the folder of the boards, the picture of a layout lies."""
    return f"references/{design_name(layout)}.png"


def _write_png(path: Path, pixels: np.ndarray) -> None:
    _, data = cv2.imencode(".png", np.ascontiguousarray(pixels), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
