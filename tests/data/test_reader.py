"""The one way from an image file to an array: as it lies, or laid over the reference, masks along with it."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.align_parts import motion_of, photo
from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize
from zeromiss.images.align import Aligner
from zeromiss.images.load import load_image, load_mask
from zeromiss.images.pcba.board import draw_board
from zeromiss.images.reader import ImageReader, open_reader
from zeromiss.images.reference import write_alignment
from zeromiss.stage_params import AlignParams

SIDE = 128


def save(path: Path, image_CHW: np.ndarray, **options: int) -> Path:
    """Write an image."""
    Image.fromarray(np.rint(image_CHW.transpose(1, 2, 0) * 255).astype(np.uint8)).save(path, **options)
    return path


@pytest.fixture
def shifted(tmp_path: Path) -> tuple[Path, Path, np.ndarray]:
    """A defective board that lies 6 columns and 4 rows off, its mask, and the mask as it should come back."""
    board = draw_board(seed=5, side=SIDE, defect="scratch")
    image = np.roll(board.image_HWC, (4, 6), axis=(0, 1))
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(np.roll(board.mask_HW, (4, 6), axis=(0, 1)).astype(np.uint8) * 255).save(tmp_path / "mask.png")
    return tmp_path / "a.png", tmp_path / "mask.png", board.mask_HW


@pytest.mark.parametrize("reduced", [False, True])
def test_without_a_reference_images_are_read_to_the_same_bits(tmp_path: Path, reduced: bool) -> None:
    path = save(tmp_path / "a.jpg", photo(3, 4 * 96), quality=95)
    reader = ImageReader(48, reduced=reduced)
    assert np.array_equal(reader.read(path), load_image(path, 48, reduced=reduced))
    assert not np.array_equal(reader.read(path), load_image(path, 48, reduced=not reduced))
    image = np.zeros((3, 48, 48), dtype=np.float32)
    assert reader.lay_image(image).image_CHW is image
    with pytest.raises(ValueError, match="not aligned"):
        reader.find(path)


def test_a_mask_without_a_reference_stays(shifted: tuple[Path, Path, np.ndarray]) -> None:
    image, mask, _ = shifted
    assert np.array_equal(ImageReader(SIDE).read_mask(mask, of=image), load_mask(mask, SIDE))


def test_an_image_and_its_mask_come_back_together(shifted: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    image, mask, expected = shifted
    good = draw_board(seed=5, side=SIDE, defect=None).image_HWC.transpose(2, 0, 1).astype(np.float32) / 255
    reader = ImageReader(SIDE, aligner=Aligner(AlignParams(mode="reference"), np.ascontiguousarray(good)))
    back = reader.read_mask(mask, of=image)
    assert back.dtype == bool and back.shape == (SIDE, SIDE)
    inner = (slice(8, -8), slice(8, -8))
    assert (back & expected)[inner].sum() / (back | expected)[inner].sum() > 0.9 > 0.6 > (load_mask(mask, SIDE) & expected).sum() / expected.sum()
    read = reader.read(image)
    assert np.abs(read - good)[:, ~back & np.pad(np.ones((SIDE - 16,) * 2, bool), 8)].max() < 0.1
    assert np.abs(read - good)[:, back].max() > 0.1
    assert np.array_equal(read, reader.lay_image(load_image(image, SIDE)).image_CHW)


def test_places_of_an_image_lead_back_to_its_file(tmp_path: Path) -> None:
    """Of 256 x 128 pixels brought to 64 x 64 each pixel stands for 4 x 2, its middle between the second and the third; turned upright by EXIF too."""
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.new("RGB", (256, 128)).save(tmp_path / "a.png")
    Image.new("RGB", (128, 256)).save(tmp_path / "b.jpg", exif=exif)
    for name in ("a.png", "b.jpg"):
        assert np.allclose(ImageReader(64).lay(tmp_path / name).to_file, [[4, 0, 1.5], [0, 2, 0.5]])
    wide = ImageReader(ImageSize(96, 64)).lay(tmp_path / "a.png")
    assert wide.image_CHW.shape == (3, 64, 96) and np.allclose(wide.to_file @ [95.5, 63.5, 1], [255.5, 127.5])


def test_a_reader_goes_to_another_process(shifted: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    save(tmp_path / "reference.png", photo(5, SIDE))
    write_alignment(tmp_path / "align", AlignParams(mode="reference"), raw=tmp_path, reference="reference.png", size=SIDE)
    reader = open_reader(tmp_path / "align", SIDE)
    copied = pickle.loads(pickle.dumps(reader))
    assert np.array_equal(copied.read(shifted[0]), reader.read(shifted[0]))


def test_what_cannot_be_aligned_is_refused_by_its_name(tmp_path: Path) -> None:
    reader = ImageReader(SIDE, aligner=Aligner(AlignParams(mode="reference"), photo(1, SIDE)))
    path = save(tmp_path / "far.png", photo(1, SIDE, motion_of(SIDE, 0.0, 0.12, 0.0)))
    for call in (lambda: reader.read(path), lambda: reader.read_mask(path, of=path), lambda: reader.find(path)):
        with pytest.raises(ZeromissError, match=r"far\.png lies 12\.0% of its side off the reference and align\.max_shift allows 10\.0%"):
            call()
    with pytest.raises(ZeromissError, match=r"^the image lies 12\.0%"):
        reader.lay_image(load_image(path, SIDE))
