"""The one way an image file becomes the array that is learned from or inspected: read, aligned, brought to size."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeromiss.image_size import ImageSize, Size
from zeromiss.images.align import Aligner, Motion, move_image, move_mask
from zeromiss.images.load import file_size, load_image, load_mask, load_picture, read_mask
from zeromiss.images.orientation import Orienter
from zeromiss.images.reference import open_aligner
from zeromiss.images.registration import scaling


@dataclass(frozen=True, kw_only=True)
class Laid:
    """An image as inspected, and where it comes from."""

    image_CHW: np.ndarray  # float32 RGB in [0, 1]
    to_file: np.ndarray  # (2, 3) float64: takes a place (x, y, 1) of it to that of the same thing in the file, pixels


class ImageReader:
    """Reads images of one product; without an aligner exactly as `load_image` does.

    May be copied to other processes and shared by threads.
    """

    def __init__(self, size: Size, *, reduced: bool = False, aligner: Aligner | Orienter | None = None) -> None:
        """Name the size; `reduced` as in `load_image`. An aligner's reference must have that size."""
        self.size = ImageSize.of(size)
        self._reduced = reduced
        self._aligner = aligner

    @property
    def takes_any_size(self) -> bool:
        """Whether `lay_image` cuts its image out of a picture of any size."""
        return isinstance(self._aligner, Orienter)

    def read(self, path: Path) -> np.ndarray:
        """Return an image file as float32 RGB (3, H, W) in [0, 1], laid over the reference where there is one.

        Raises ZeromissError for a file that `load_image` or the aligner refuses.
        """
        return self.lay(path).image_CHW

    def lay(self, path: Path) -> Laid:
        """Return an image file as `read` does, with its way back to the file; raises as `read`."""
        if isinstance(self._aligner, Orienter):
            return self._oriented(load_picture(path), str(path))
        laid = self.lay_image(self._load(path), name=str(path))
        return Laid(image_CHW=laid.image_CHW, to_file=scaling(self.size.shape, file_size(path).shape, after=laid.to_file))

    def lay_image(self, image_CHW: np.ndarray, *, name: str = "the image") -> Laid:
        """Return an image of this size, or where `takes_any_size` of any, laid over the reference; itself where there is none.

        It counts as the file. Raises as the aligner.
        """
        if isinstance(self._aligner, Orienter):
            return self._oriented(np.ascontiguousarray(image_CHW.transpose(1, 2, 0)), name)
        if self._aligner is None:
            return Laid(image_CHW=image_CHW, to_file=np.eye(2, 3))
        motion = self._aligner.find(image_CHW, name)
        return Laid(image_CHW=move_image(image_CHW, motion), to_file=motion.matrix)

    def find(self, path: Path) -> Motion:
        """Return where an image file lies against the reference, which there must be; raises as `read`."""
        if self._aligner is None:
            raise ValueError("images of this reader are not aligned")
        return self._aligner.find(load_picture(path) if isinstance(self._aligner, Orienter) else self._load(path), str(path))

    def read_mask(self, path: Path, *, of: Path) -> np.ndarray:
        """Return the defect mask at `path` as bool (H, W), moved as the image `of` that it belongs to.

        Raises ZeromissError for a mask that `load_mask` refuses, or an image that cannot be aligned.
        """
        if isinstance(self._aligner, Orienter):
            return self._aligner.move_mask(read_mask(path), self.find(of))
        mask_HW = load_mask(path, self.size)
        return mask_HW if self._aligner is None else move_mask(mask_HW, self.find(of))

    def _load(self, path: Path) -> np.ndarray:
        """Read a file, unaligned."""
        return load_image(path, self.size, reduced=self._reduced)

    def _oriented(self, picture_HWC: np.ndarray, name: str) -> Laid:
        """Return a picture turned as the reference."""
        motion = self._aligner.find(picture_HWC, name)
        return Laid(image_CHW=self._aligner.move(picture_HWC, motion), to_file=motion.matrix)


def open_reader(folder: Path, size: Size, *, reduced: bool = False) -> ImageReader:
    """Return the reader of a product's images at `size`, aligned as a folder that `write_alignment` wrote says.

    Raises ZeromissError when a file of the folder is missing or not as it was written.
    """
    return ImageReader(size, reduced=reduced, aligner=open_aligner(folder, size))
