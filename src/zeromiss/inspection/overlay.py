"""The picture that shows a person why an image got its verdict.

Original, reconstruction, difference and patches side by side (paper 1, Figs. 6 and 11), under a header with
the verdict, the score against the threshold, the file and the model. Colours are RGB in 0..255.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torchvision.ops import nms

from zeromiss.files import atomic_path
from zeromiss.images.enlarge import enlarge
from zeromiss.inspection.inspector import Examination
from zeromiss.inspection.verdict import ABNORMAL, Patch, Verdict

Colour = tuple[int, int, int]

SMALLEST_PANEL, LARGEST_PANEL = 480, 768  # pixels of a panel's longer side: text and boxes stay readable
LEAST_WIDTH = 1200  # pixels of an overlay: what its header needs
GAP, HEADER, CAPTION = 16, 96, 34
FULL_SCALE = 0.1  # a difference is drawn against its largest value, or this where all are smaller
INK, FAINT, PAPER = (28, 32, 38), (96, 104, 114), (255, 255, 255)
RED, GREEN, TRACK = (178, 24, 32), (22, 110, 62), (222, 226, 230)
FAR, NEAR = (255, 32, 32), (255, 205, 64)  # colours of the most and the least distant patch drawn
STRONG = 5  # patches whose frame has a dark rim, to show on any ground
OVERLAP = 0.1  # intersection over union above which two patches lie at one place
REDRAWN = ("original", "reconstruction", "difference", "patches")  # panels where the first detector redraws
MAPPED = ("original", "anomaly map", "patches")  # and where it does not


def write_overlay(path: Path, examination: Examination, *, boxes: int) -> None:
    """Write the overlay of one examined image as PNG, atomically, with its `boxes` most distant patches."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        Image.fromarray(draw_overlay(examination, boxes=boxes)).save(temporary, format="PNG")


def draw_overlay(examination: Examination, *, boxes: int) -> np.ndarray:
    """Return the overlay as uint8 RGB (H, W, 3)."""
    verdict = examination.verdict
    panels = draw_panels(examination, boxes=boxes)
    height, width = panels["original"].shape[:2]
    canvas = Image.new("RGB", (max(GAP + len(panels) * (width + GAP), LEAST_WIDTH), HEADER + CAPTION + height + GAP), PAPER)
    brush = ImageDraw.Draw(canvas)
    _draw_header(brush, verdict, width=canvas.width)
    shown = len(apart(verdict.patches, boxes))
    notes = {
        "difference": f"brightest = {max(_peak(examination), FULL_SCALE):.2f} of 1",
        "anomaly map": "brightest = its largest value",
        "patches": f"the {shown} most distant that lie apart",
    }
    for index, (title, panel) in enumerate(panels.items()):
        left = GAP + index * (width + GAP)
        canvas.paste(Image.fromarray(panel), (left, HEADER + CAPTION))
        brush.text((left, HEADER + 6), title, fill=INK, font=_font(19))
        if width >= SMALLEST_PANEL // 2:  # beside the title there is no room for it on a narrower panel
            brush.text((left + width, HEADER + 9), notes.get(title, ""), fill=FAINT, font=_font(15), anchor="ra")
    return np.asarray(canvas)


def draw_panels(examination: Examination, *, boxes: int, side: int | None = None) -> dict[str, np.ndarray]:
    """Return the panels by title, REDRAWN or MAPPED, each uint8 RGB (H, W, 3), the longer side of `side` pixels."""
    longer = max(examination.image_CHW.shape[1:])
    side = side or panel_side(longer)
    enlarged = {title: enlarge(picture, side) for title, picture in plain_panels(examination).items()}
    marked = draw_patches(enlarged["original"], apart(examination.verdict.patches, boxes), scale=side / longer)
    return enlarged | {"patches": marked}


def plain_panels(examination: Examination) -> dict[str, np.ndarray]:
    """Return the panels without frames by title, each uint8 RGB in the size of the image."""
    measurement = examination.measurement
    original = {"original": to_pixels(examination.image_CHW)}
    if measurement.image_hat_CHW is None:
        return original | {"anomaly map": colour_difference(np.asarray(measurement.map_HW, dtype=np.float32), full_scale=1e-12)}
    difference = colour_difference(np.asarray(measurement.difference_HW, dtype=np.float32))
    return original | {"reconstruction": to_pixels(measurement.image_hat_CHW), "difference": difference}


def _peak(examination: Examination) -> float:
    """Return the largest difference, 0 where nothing was redrawn."""
    difference_HW = examination.measurement.difference_HW
    return 0.0 if difference_HW is None else float(np.asarray(difference_HW).max())


def panel_side(size: int) -> int:
    """Return the longer side of a panel for images whose own has `size` pixels: between 480 and 768, whole multiples below 480."""
    if size >= SMALLEST_PANEL:
        return min(size, LARGEST_PANEL)
    return size * -(-SMALLEST_PANEL // size)


def to_pixels(image_CHW: np.ndarray) -> np.ndarray:
    """Return an RGB image in [0, 1], (3, H, W), as uint8 (H, W, 3)."""
    scaled = np.asarray(image_CHW, dtype=np.float32).transpose(1, 2, 0) * 255.0
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def colour_difference(difference_HW: np.ndarray, *, full_scale: float = FULL_SCALE) -> np.ndarray:
    """Return values >= 0 as uint8 RGB, dark = 0, bright = their largest (at least `full_scale`)."""
    scaled = difference_HW / max(float(difference_HW.max()), full_scale)
    coloured = cv2.applyColorMap(np.rint(scaled * 255.0).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB)


def apart(patches: tuple[Patch, ...], boxes: int) -> tuple[Patch, ...]:
    """Return up to `boxes` patches, the most distant first, without those that lie on a more distant one.

    Many patches surround one place; a person is to see the others too.
    """
    if not patches:
        return ()
    corners = torch.tensor([(one.x, one.y, one.x + one.size, one.y + one.size) for one in patches], dtype=torch.float64)
    kept = nms(corners, torch.tensor([one.distance for one in patches], dtype=torch.float64), OVERLAP)
    return tuple(patches[place] for place in kept[:boxes].tolist())


def draw_patches(picture: np.ndarray, patches: tuple[Patch, ...], *, scale: float) -> np.ndarray:
    """Return a copy of `picture` with the frames of `patches`, drawn from the least to the most distant.

    A frame lies around its patch: its inner edge is the patch's edge times `scale`. Frames are red for the most
    distant and yellow for the least; the first few have a dark rim.
    """
    canvas = Image.fromarray(picture)
    brush = ImageDraw.Draw(canvas)
    for rank in reversed(range(len(patches))):
        patch = patches[rank]
        left, top = round(patch.x * scale), round(patch.y * scale)
        right, bottom = round((patch.x + patch.size) * scale), round((patch.y + patch.size) * scale)
        if rank < STRONG:
            brush.rectangle((left - 3, top - 3, right + 2, bottom + 2), outline=(0, 0, 0), width=1)
        brush.rectangle((left - 2, top - 2, right + 1, bottom + 1), outline=_shade(rank, len(patches)), width=2)
    return np.asarray(canvas)


def _shade(rank: int, count: int) -> Colour:
    """Return the colour of the patch at `rank`, 0 being the most distant of `count`."""
    share = rank / max(count - 1, 1)
    red, green, blue = (round(far + (near - far) * share) for far, near in zip(FAR, NEAR, strict=True))
    return red, green, blue


def _draw_header(brush: ImageDraw.ImageDraw, verdict: Verdict, *, width: int) -> None:
    """Draw verdict, score against threshold, file and model above the panels."""
    colour = RED if verdict.verdict == ABNORMAL else GREEN
    brush.rectangle((0, 0, width, 8), fill=colour)
    brush.text((GAP, 20), verdict.verdict.upper(), fill=colour, font=_font(34))
    sign = ">=" if verdict.verdict == ABNORMAL else "<"
    text = f"score {verdict.score:.4f} {sign} threshold {verdict.threshold:.4f}"
    brush.text((GAP, 64), text, fill=INK, font=_font(19))
    _draw_scale(brush, verdict, left=GAP + 420, right=width // 2 + 200, colour=colour)
    brush.text((width - GAP, 28), Path(verdict.path).name or "image", fill=INK, font=_font(19), anchor="ra")
    model = f"{verdict.model.name} version {verdict.model.version}"
    brush.text((width - GAP, 60), model, fill=FAINT, font=_font(16), anchor="ra")


def _draw_scale(brush: ImageDraw.ImageDraw, verdict: Verdict, *, left: int, right: int, colour: Colour) -> None:
    """Draw the scale of scores from 0 to 1 with the score as a bar and the threshold as a mark."""

    def column(value: float) -> int:
        """Return where a score lies on the scale."""
        return left + round((right - left) * value)

    brush.rectangle((left, 44, right, 60), fill=TRACK)
    brush.rectangle((left, 44, column(verdict.score), 60), fill=colour)
    mark = column(verdict.threshold)
    brush.rectangle((mark - 1, 36, mark + 1, 68), fill=INK)
    brush.text((mark, 33), "threshold", fill=INK, font=_font(15), anchor="mb")
    brush.text((left, 64), "0", fill=FAINT, font=_font(15))
    brush.text((right, 64), "1", fill=FAINT, font=_font(15), anchor="ra")


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font that comes with Pillow, so that no system font is needed."""
    return ImageFont.load_default(size=size)
