"""Solder: fillets that differ from joint to joint, bridges, the label and scratches on the board."""

import numpy as np
from ppf.datamatrix import DataMatrix

from zeromiss.images.pcba.canvas import Canvas, Material, Pose, circle, rectangle, rounded
from zeromiss.images.pcba.font import text_strokes
from zeromiss.images.pcba.layout import CODE_AT, CODE_SIDE, LABEL_SIZE
from zeromiss.images.pcba.scene import Scene, Scratch, joint_table

ALLOY = Material(colour=(198, 201, 206), height=6, gloss=235, metal=255)
# Each level: share of the pad along and across, shift inward (share of the length), height.
_LEVELS = ((1.0, 1.0, 0.0, 7), (0.88, 0.84, 0.05, 11), (0.72, 0.68, 0.1, 16), (0.54, 0.5, 0.14, 20), (0.34, 0.32, 0.17, 24))


def _blob() -> np.ndarray:
    """A unit shape between a circle and a square, (16, 2)."""
    ring = circle(16)
    return ring / np.maximum(np.abs(ring).max(axis=1, keepdims=True), 0.82) * 0.96


def _shapes(scene: Scene, *, along: float, across: float, inward: float) -> np.ndarray:
    """Return one outline a joint, (J, 16, 2), in the world."""
    _, pad = joint_table(scene.layout)
    length, width = pad[:, 4], pad[:, 5]
    swell = 0.5 + 0.5 * scene.amount_J
    x = (inward * pad[:, 6] + scene.drift_J2[:, 0]) * length
    y = scene.drift_J2[:, 1] * width
    local = _blob()[None] * np.stack([along * length * swell, across * width * swell], axis=-1)[:, None] / 2.0
    local = local + np.stack([x, y], axis=-1)[:, None]
    cosine, sine = pad[:, 2, None], pad[:, 3, None]
    turned = np.stack([cosine * local[..., 0] - sine * local[..., 1], sine * local[..., 0] + cosine * local[..., 1]], axis=-1)
    return turned + pad[:, None, :2]


def draw_solder(canvas: Canvas, scene: Scene) -> None:
    """Draw every joint as a stack of outlines that rises towards its part."""
    wet = scene.amount_J > 0.0
    for along, across, inward, height in _LEVELS:
        shapes = _shapes(scene, along=along, across=across, inward=inward)[wet]
        canvas.fill(list(shapes), ALLOY.at(height))
    _, pad = joint_table(scene.layout)
    small = _shapes(scene, along=0.3, across=0.3, inward=0.0)
    offset = scene.glint_J2 * pad[:, 4:6]
    turned = np.stack([pad[:, 2] * offset[:, 0] - pad[:, 3] * offset[:, 1], pad[:, 3] * offset[:, 0] + pad[:, 2] * offset[:, 1]], axis=-1)
    for band in range(3):
        chosen = wet & (np.floor(scene.gloss_J * 3.0) == band)
        if chosen.any():
            canvas.fill(list(small[chosen] + turned[chosen, None]), ALLOY.at(10 + 9 * band))


def draw_bridge(canvas: Canvas, outline: np.ndarray) -> None:
    """Draw solder where it must not be: a smooth ridge over the outline."""
    centre = outline.mean(axis=0)
    for share, height in ((1.0, 16), (0.8, 26), (0.56, 34), (0.3, 40)):
        canvas.fill([centre + (outline - centre) * share], ALLOY.dyed(1.2).at(height))


def draw_scratch(canvas: Canvas, scratch: Scratch) -> None:
    """Draw a groove through the solder mask, with a bright burr along one edge."""
    bare = Material(colour=scratch.colour, height=1, gloss=120, metal=60)
    canvas.track([scratch.path + 0.45 * scratch.width], scratch.width * 0.6, Material(colour=(150, 176, 150), height=9, gloss=120))
    canvas.track([scratch.path], scratch.width, bare)


def code_modules(serial: str) -> np.ndarray:
    """Return the Data Matrix of a serial number, (M, M) bool, True = dark."""
    return np.array(DataMatrix(serial).matrix, dtype=bool)


def module_centres(label: Pose, count: int) -> np.ndarray:
    """Return the world centres (M, M, 2) of the code's modules on a label at this pose."""
    module = CODE_SIDE / count
    steps = (np.arange(count) - (count - 1) / 2.0) * module
    grid = np.stack(np.broadcast_arrays(steps[None, :], steps[:, None]), axis=-1)
    return label.place(grid + CODE_AT)


def draw_label(canvas: Canvas, scene: Scene) -> None:
    """Draw the sticker with the board's code and serial number."""
    pose = scene.label
    paper = Material(colour=(226, 226, 222), height=8, gloss=25)
    canvas.fill([rounded(0, 0, *LABEL_SIZE, 5.0)], paper, pose)
    modules = code_modules(scene.serial)
    module = CODE_SIDE / len(modules)
    square = pose.place(rectangle(0, 0, module, module)) - (pose.x, pose.y)
    for centre in module_centres(pose, len(modules))[modules]:  # one at a time: neighbours share edges
        canvas.paint([square + centre], (26, 26, 28))
    for text, size, y in ((scene.serial[:5], 11.0, -32.0), (scene.serial[5:], 10.0, -8.0), ("REV C", 10.0, 14.0), ("PASS", 12.0, 38.0)):
        canvas.stroke(text_strokes(text, height=size, at=(47.0, y)), size * 0.14, (40, 40, 44), pose)
