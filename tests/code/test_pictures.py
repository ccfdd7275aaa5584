"""Pictures that are none of the product's: each kind is refused by name, and those of the product are not."""

import cv2
import numpy as np
import pytest

from zeromiss.errors import ZeromissError
from zeromiss.files import write_json
from zeromiss.image_size import ImageSize
from zeromiss.inspection import pictures
from zeromiss.inspection.pictures import NotInspectable, Pictures, Repeats, difference, learn, likeness, load_pictures, look

SIZE = ImageSize(96, 96)


def draw(seed: int, *, light: float = 1.0, spot: bool = False) -> np.ndarray:
    """A part with a dark corner and a bright bar, noise over all: float32 (3, 96, 96)."""
    rng = np.random.default_rng(seed)
    grey = np.full((96, 96), 0.45)
    grey[8:40, 8:30], grey[60:70, 20:90] = 0.15, 0.75
    grey[::8] += 0.08
    if spot:
        grey[44:56, 44:60] = 0.05
    noisy = grey * light * rng.uniform(0.97, 1.03) + rng.normal(size=grey.shape) * 0.02
    return np.clip(np.stack([noisy * 1.02, noisy, noisy * 0.98]), 0.0, 1.0).astype(np.float32)


@pytest.fixture(scope="module")
def known() -> Pictures:
    """What sixty such parts look like, some with a spot."""
    return learn((look(draw(seed, spot=seed % 5 == 0), SIZE) for seed in range(60)), fixed_position=True)


def blurred(image_CHW: np.ndarray) -> np.ndarray:
    """The same out of focus."""
    return np.stack([cv2.GaussianBlur(one, (0, 0), 3.0) for one in image_CHW])


def another_product(image_CHW: np.ndarray) -> np.ndarray:
    """A grid of discs, as bright and as sharp as the part."""
    rows, columns = np.mgrid[:96, :96]
    grey = np.where(((rows % 24 - 12) ** 2 + (columns % 24 - 12) ** 2) < 60, 0.75, 0.4) + np.where(rows % 8 == 3, 0.08, 0.0) - 0.09
    noisy = grey + np.random.default_rng(1).normal(size=grey.shape) * 0.02
    return np.clip(np.stack([noisy * 1.02, noisy, noisy * 0.98]), 0.0, 1.0).astype(np.float32)


def test_new_pictures_of_the_product_are_taken_with_spots_and_without(known):
    refused = [known.refusal(look(draw(seed, spot=seed % 2 == 0), SIZE)) for seed in range(1000, 1200)]
    assert sum(bool(one) for one in refused) <= 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda image: image * 0.6, "less than in any image known"),
        (lambda image: np.clip(image * 1.5, 0, 1), "brightness is"),
        (blurred, "sharpness is"),
        (lambda image: image * np.array([1.4, 1.0, 1.0])[:, None, None], "red against green is"),
        (lambda image: image[:, :, ::-1], "mirrored left to right"),
        (lambda image: image[:, ::-1], "mirrored top to bottom"),
        (lambda image: np.rot90(image, 1, axes=(1, 2)), "turned by"),
        (lambda image: image[:, ::-1, ::-1], "turned by 180 degrees"),
        (lambda image: np.roll(image, (40, 36), axis=(1, 2)), "something else"),
        (another_product, "not inspectable"),
    ],
)
def test_each_kind_of_odd_picture_is_refused_by_name(known, changed, said):
    refused = [known.refusal(look(np.ascontiguousarray(np.clip(changed(draw(seed)), 0, 1), dtype=np.float32), SIZE)) for seed in range(2000, 2020)]
    assert sum(said in one for one in refused) >= 19, refused


@pytest.mark.parametrize(("size", "said"), [((96, 48), "another shape"), ((40, 40), "in all"), ((300, 300), "in all"), ((100, 96), "")])
def test_the_size_of_the_file(known, size, said):
    refusal = known.refusal(look(draw(7), ImageSize(*size)))
    assert said in refusal and bool(refusal) == bool(said)


def test_the_difference_by_hand():
    typical = np.zeros((pictures.SIDE, pictures.SIDE))
    moved = typical.copy()
    moved[:, ::2] = 1.0  # every field: half its pixels 0.5 above the field's mean, half 0.5 below
    assert difference(moved, typical) == pytest.approx(0.5)
    moved[: pictures.SIDE // 2 - 8] = 0.0  # three of eight rows of fields agree: the median stays
    assert difference(moved, typical) == pytest.approx(0.5)
    assert difference(typical + 3.0, typical) == pytest.approx(0.0)  # even light counts nothing


def test_a_mirrored_picture_is_more_like_the_typical_one_when_it_is_mirrored_back():
    grey = look(draw(3), SIZE).grey_HW
    ratios = likeness(grey[:, ::-1], grey)
    assert max(ratios, key=ratios.get) == "mirrored left to right" and ratios["mirrored left to right"] > 100
    assert likeness(grey, grey)["mirrored left to right"] < 0.01


def test_parts_anywhere_have_no_typical_picture():
    found = learn((look(draw(seed), SIZE) for seed in range(30)), fixed_position=False)
    assert found.typical is None and found.refusal(look(draw(5)[:, :, ::-1].copy(), SIZE)) == ""


def test_few_images_teach_nothing():
    assert learn((look(draw(seed), SIZE) for seed in range(pictures.LEAST - 1)), fixed_position=True) is None


def test_it_is_read_as_it_was_written(known, tmp_path):
    write_json(tmp_path / "pictures.json", known.model_dump(mode="json"), schema_version=pictures.SCHEMA_VERSION)
    assert load_pictures(tmp_path / "pictures.json") == known
    write_json(tmp_path / "pictures.json", known.model_dump(mode="json") | {"low": [0.0]}, schema_version=pictures.SCHEMA_VERSION)
    with pytest.raises(ZeromissError, match="pictures.json: low"):
        load_pictures(tmp_path / "pictures.json")


def test_the_last_picture_again_is_told_under_another_name_alone():
    repeats, image = Repeats(), draw(1)
    repeats.check("a.png", image)
    repeats.check("a.png", image)  # asked again
    repeats.check("b.png", draw(2))
    with pytest.raises(NotInspectable, match="c.png is not inspectable: it is b.png again, pixel for pixel"):
        repeats.check("c.png", draw(2))


def test_half_of_the_last_picture_is_told():
    repeats, half = Repeats(), draw(2)
    half[:, 48:] = draw(1)[:, 48:]
    repeats.check("a.png", draw(1))
    with pytest.raises(NotInspectable, match="50% of its rows are those of a.png"):
        repeats.check("b.png", half)


def test_even_ground_may_be_equal():
    repeats, first, second = Repeats(), np.full((3, 96, 96), 0.5, dtype=np.float32), np.full((3, 96, 96), 0.5, dtype=np.float32)
    first[:, 40:50, 40:50], second[:, 40:50, 60:70] = 0.9, 0.9
    repeats.check("a.png", first)
    repeats.check("b.png", second)
