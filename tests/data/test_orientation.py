"""Parts at any angle: found, turned, cut out and refused; the truth is drawn."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.data.orientation_parts import ARROW, arrow, disc, ground, picture, place
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json
from zeromiss.image_size import ImageSize
from zeromiss.images.orientation import Orienter, fit_matrix, make_frame, part_or_none, sample
from zeromiss.images.raw import Entry, index_text
from zeromiss.images.reader import open_reader
from zeromiss.images.segmentation import NoClearPart, find_part
from zeromiss.params import Product
from zeromiss.stage_params import AlignParams
from zeromiss.stages import manifest
from zeromiss.stages.base import NoLog
from zeromiss.workspace import Workspace

REFERENCE = (20.0, (3.3, -2.2))  # how the reference lies
POINTS = np.array([(-60, -20), (60, 20), (70, 0), (-60, 20)], dtype=float)  # places on the part
ANGLES = np.linspace(0, 360, 24, endpoint=False)


def orienter(draw: Callable[..., np.ndarray], *, size: ImageSize = ImageSize(256, 96), **params: object) -> Orienter:
    """Return what lays drawn pictures over the drawn reference."""
    reference = draw(*REFERENCE)
    frame = make_frame(reference, part_or_none(reference))
    return Orienter(AlignParams(mode="orientation", **params), sample(reference, *fit_matrix(frame)), frame, size)


def seen_at(matrix: np.ndarray, places_N2: np.ndarray) -> np.ndarray:
    """Return where places of a file lie in the inspected image, whose matrix leads to the file."""
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    return places_N2 @ back[:, :2].T + back[:, 2]


@pytest.mark.parametrize(("draw", "method", "reach"), [(arrow, "axis", 40), (disc, "centre", 40), (ground, "spectrum", 15)])
def test_the_same_places_come_to_lie_upon_one_another_at_any_angle(draw: Callable[..., np.ndarray], method: str, reach: float) -> None:
    """Median error under a pixel of the file and half a degree, the right one of two half turns every time."""
    aligned, shifts = orienter(draw, crop="part"), np.random.default_rng(1)
    assert aligned.frame.method == method
    upright = aligned.find(draw(*REFERENCE)).matrix
    off, turned = [], []
    for number, degrees in enumerate(ANGLES):
        shift = shifts.uniform(-reach, reach, 2)
        found = aligned.find(draw(degrees, shift, seed=number + 1))
        in_file = seen_at(upright, place(POINTS, *REFERENCE)) @ found.matrix[:, :2].T + found.matrix[:, 2]
        off.append(np.linalg.norm(in_file - place(POINTS, degrees, shift), axis=1).max())
        turned.append(abs((found.degrees - (degrees - REFERENCE[0]) + 180) % 360 - 180))
    assert np.median(off) < 1.0 and np.median(turned) < 0.5
    assert max(off) < 2.0 and max(turned) < 1.0


def test_the_part_fills_the_image_in_its_own_shape_and_keeps_the_pixels_of_the_file() -> None:
    """180 x 56 pixels of a part with a margin of a tenth are 216 x 67.2: as much as an image of 216 x 68 shows, one pixel each."""
    size = ImageSize(216, 68)
    aligned = orienter(arrow, size=size, crop="part", margin=0.1)
    found = aligned.find(arrow(130.0, (20.0, 10.0)))
    assert np.sqrt(np.linalg.det(found.matrix[:, :2])) == pytest.approx(1.0, abs=0.02)
    image_CHW = aligned.move(arrow(130.0, (20.0, 10.0)), found)
    assert image_CHW.shape == (3, 68, 216)
    corners = seen_at(found.matrix, place([(-90, -28), (90, 0)], 130.0, (20.0, 10.0)))
    assert sorted(corners[:, 0]) == pytest.approx([17.5, 197.5], abs=2.5)  # 180 of 216 pixels, in the middle
    tall = orienter(arrow, size=ImageSize(68, 216), crop="part", margin=0.1)
    ends = seen_at(tall.find(arrow(130.0)).matrix, place([(-90, 0), (90, 0)], 130.0))
    assert np.ptp(ends[:, 0]) < 1.0 and np.ptp(ends[:, 1]) == pytest.approx(180, rel=0.02)


def test_a_full_crop_shows_as_much_as_the_picture_does() -> None:
    for size, scale in ((ImageSize(320, 320), 1.0), (ImageSize(160, 160), 2.0), (ImageSize(320, 160), 2.0)):
        found = orienter(arrow, size=size).find(arrow(75.0))
        assert np.sqrt(np.linalg.det(found.matrix[:, :2])) == pytest.approx(scale, abs=0.01)


def test_all_angles_give_nearly_the_same_image() -> None:
    aligned = orienter(arrow, crop="part")
    images = [aligned.move(one, aligned.find(one)) for one in (arrow(degrees, (9.0, -7.0), seed=3) for degrees in (5.0, 95.0, 200.0))]
    assert max(float(np.abs(one - images[0]).mean()) for one in images[1:]) < 0.015
    assert float(np.abs(images[0][:, :, ::-1] - images[0]).mean()) > 0.03  # which a part that lies the other way is not


@pytest.mark.parametrize("shrink", [1, 3])
def test_a_mask_moves_with_its_image_and_never_vanishes(shrink: int) -> None:
    """A mark of one pixel comes to lie where the place lies in the image."""
    aligned = orienter(arrow, size=ImageSize(216 // shrink, 72 // shrink), crop="part", margin=0.1)
    image, at = arrow(250.0, (-12.0, 8.0)), np.rint(place([(40.0, 12.0)], 250.0, (-12.0, 8.0))).astype(int)[0]
    mask_HW = np.zeros((320, 320), dtype=bool)
    mask_HW[at[1], at[0]] = True
    found = aligned.find(image)
    moved = np.argwhere(aligned.move_mask(mask_HW, found))
    assert len(moved) >= 1
    assert np.abs(moved[:, ::-1].mean(axis=0) - seen_at(found.matrix, at[None].astype(float))[0]).max() < 1.0


def test_sampling_by_known_answers() -> None:
    image = np.random.default_rng(0).random((12, 20)).astype(np.float32)
    assert np.allclose(sample(image, np.eye(2, 3), (12, 20)), image, atol=1e-6)
    half_turn = np.array([[-1.0, 0.0, 19.0], [0.0, -1.0, 11.0]])
    assert np.allclose(sample(image, half_turn, (12, 20)), image[::-1, ::-1], atol=1e-6)
    moved = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, 2.0]])
    assert np.allclose(sample(image, moved, (5, 6)), image[2:7, 3:9], atol=1e-6)
    even = np.full((40, 40, 3), 0.25, np.float32)
    assert np.allclose(sample(even, np.array([[4.0, 0.0, 1.5], [0.0, 4.0, 1.5]]), (10, 10)), 0.25, atol=1e-5)
    fine = (np.indices((64, 64)).sum(axis=0) % 2).astype(np.float32)  # a pattern finer than the pixels it is brought to becomes even
    assert np.ptp(sample(fine, np.array([[4.0, 0.0, 1.5], [0.0, 4.0, 1.5]]), (16, 16))) < 0.05


@pytest.mark.parametrize("shades", [((60, 60, 60), (200, 200, 200)), ((200, 200, 200), (60, 60, 60)), ((120, 60, 60), (60, 60, 120))])
def test_a_rectangle_is_found_darker_brighter_or_in_another_colour(shades: tuple) -> None:
    """160 x 40 pixels at 30 degrees: its axes' ratio is 4, as that of its sides."""
    part = find_part(picture(30.0, (12.5, -8.25), shapes=[[(-80, -20), (80, -20), (80, 20), (-80, 20)]], shades=shades))
    assert part.centre == pytest.approx((159.5 + 12.5, 159.5 - 8.25), abs=0.2)
    assert part.area == pytest.approx(6400, rel=0.04)
    assert part.elongation == pytest.approx(4.0, rel=0.04)
    assert min(abs(part.degrees - 30.0), abs(part.degrees + 150.0)) < 0.3
    assert part.box(30.0)[2:] == pytest.approx((160, 40), abs=2.5)


def test_the_heavier_tail_says_which_way_an_axis_points() -> None:
    """Third moments: of a long triangle the tip, which is far from the middle, lies ahead at every angle."""
    for degrees in range(-170, 180, 35):
        part = find_part(picture(degrees, shapes=[[(90, 0), (-60, 30), (-60, -30)]]))
        assert abs((part.degrees - degrees + 180) % 360 - 180) < 1.0


def two_parts() -> np.ndarray:
    """Return a picture of two parts."""
    return picture(0.0, shapes=[[(-120, -60), (-20, -60), (-20, -20), (-120, -20)], [(20, 20), (120, 20), (120, 60), (20, 60)]])


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.full((200, 200, 3), 0.5, np.float32), r"^a\.png shows no part that stands out from its background"),
        (ground(0.0), r"a\.png shows (no part that stands out|\d+ parts)"),
        (two_parts(), r"^a\.png shows 2 parts before its background and one is inspected at a time"),
        (arrow(0.0, (100.0, 0.0)), r"^the part in a\.png is cut off by the picture's edge"),
        (picture(0.0, shapes=[[(-8, -4), (8, -4), (8, 4), (-8, 4)]]), r"a\.png shows no part of 0\.5% of its area or more"),
    ],
)
def test_what_shows_no_clear_part_is_refused_by_its_name(image: np.ndarray, sentence: str) -> None:
    with pytest.raises(NoClearPart, match=sentence):
        orienter(arrow).find(image, "a.png")


def test_another_part_is_refused_by_its_name() -> None:
    aligned = orienter(arrow)
    larger = [(1.3 * x, 1.3 * y) for x, y in ARROW]
    square = [(-48, -48), (48, -48), (48, 48), (-48, 48)]
    bar, grid = [(-85, -29), (85, -29), (85, 29), (-85, 29)], [(x, y, 8) for x in range(-70, 80, 20) for y in (-15, 15)]
    cases = [
        (picture(10.0, shapes=[larger]), r"^the part in b\.png has 1\.[67]\d times the area of the reference's"),
        (picture(10.0, shapes=[square]), r"^the part in b\.png is nearly round and the reference's is 3\.\d times as long as broad"),
        (picture(10.0, shapes=[bar], shades=((190, 190, 190), (60, 60, 60)), discs=grid), r"^b\.png (agrees with|could not be laid)"),
    ]
    for image, sentence in cases:
        with pytest.raises(ZeromissError, match=sentence):
            aligned.find(image, "b.png")
    with pytest.raises(ZeromissError, match=r"160 x 160 pixels cannot be laid over a reference of 320 x 320 without a background"):
        orienter(ground).find(ground(0.0, side=160))


def test_a_round_part_without_marks_is_no_reference() -> None:
    plain = disc(0.0, discs=[])
    with pytest.raises(ZeromissError, match="nearly round and shows nothing that says how it is turned"):
        make_frame(plain, find_part(plain))


@pytest.mark.parametrize(
    ("align", "sentence"),
    [
        ({"mode": "orientation", "max_shift": 0.2}, r"align\.max_shift is set, but align\.mode orientation"),
        ({"mode": "orientation", "margin": 0.1}, r"align\.margin is set, but align\.mode orientation with align\.crop full does not read it"),
        ({"mode": "reference", "crop": "part"}, r"align\.crop is set, but align\.mode reference"),
    ],
)
def test_keys_that_nothing_reads_are_refused(make_product: Callable[..., Product], align: dict, sentence: str) -> None:
    with pytest.raises(ZeromissError, match=sentence):
        make_product(align=align)


def test_pictures_that_are_turned_are_read_whole(make_product: Callable[..., Product]) -> None:
    with pytest.raises(ZeromissError, match=r"align\.mode orientation samples the pixels of the file and metrics\.decode is reduced"):
        make_product(align={"mode": "orientation"}, metrics={"decode": "reduced"})


@pytest.fixture
def turned(make_product: Callable[..., Product], tmp_path) -> tuple[Product, Workspace]:
    """A product of twelve arrows at any angle, one of them with a marked scratch, brought to 96 x 48 pixels."""
    product = make_product(
        "part", size=[96, 48], align={"mode": "orientation", "crop": "part"}, manifest={"min_defects": 2, "mask": 2, "audit": 0.0}, source={"kind": "csv"}
    )
    workspace, entries = Workspace(root=tmp_path), []
    raw = workspace.raw("part")
    for folder in ("images", "masks"):
        (raw / folder).mkdir(parents=True)
    for number in range(12):
        degrees, defect = 31.0 * number, number >= 8
        image, mask = arrow(degrees, (2.0 * number - 10, 5.0), seed=number), ""
        if defect:
            marked = np.zeros((320, 320), np.uint8)
            line = np.rint(place([(-25, -15), (-25, 15)], degrees, (2.0 * number - 10, 5.0))).astype(int)
            cv2.line(marked, line[0].tolist(), line[1].tolist(), 255, 5)
            image[marked > 0] = 1.0
            mask = f"masks/{number}.png"
            Image.fromarray(marked).save(raw / mask)
        path = f"images/{number}.png"
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(raw / path)
        label, kind = ("defect", "scratch") if defect else ("normal", "")
        entries.append(Entry(path=path, label=label, defect_type=kind, part_id=f"p{number}", mask=mask, source_split=""))
    (raw / "index.csv").write_text(index_text(entries))
    return product, workspace


def test_a_product_of_turned_parts_from_the_manifest_to_its_images(turned: tuple[Product, Workspace], capsys: pytest.CaptureFixture) -> None:
    product, workspace = turned
    manifest.run(product, workspace, NoLog())
    folder, raw = workspace.alignment("part"), workspace.raw("part")
    frame = read_json(folder / "align.json", schema_version=2)["reference"]["frame"]
    assert (frame["method"], frame["width"], frame["height"]) == ("axis", 320, 320)
    assert "align: 12 images laid over images/" in capsys.readouterr().out
    reader = open_reader(folder, product.size)
    images = [reader.read(raw / f"images/{number}.png") for number in range(12)]
    assert {one.shape for one in images} == {(3, 48, 96)}
    assert max(float(np.abs(one - images[0]).mean()) for one in images[:8]) < 0.02
    masks = [reader.read_mask(raw / f"masks/{number}.png", of=raw / f"images/{number}.png") for number in range(8, 12)]
    assert np.logical_and.reduce(masks).sum() > 0.5 * np.logical_or.reduce(masks).sum() > 0
    assert min(float(one[:, mask].mean()) for one, mask in zip(images[8:], masks, strict=True)) > 0.75
    assert np.array_equal(reader.lay(raw / "images/3.png").to_file, reader.find(raw / "images/3.png").matrix)
    Image.fromarray(np.rint(arrow(0.0, (100.0, 0.0)) * 255).astype(np.uint8)).save(raw / "images/3.png")
    with pytest.raises(ZeromissError, match=r"the part in .*images/3\.png is cut off by the picture's edge.*; or take what cannot be aligned out of the index"):
        manifest.run(product, workspace, NoLog())
