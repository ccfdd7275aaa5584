"""The one way an image file becomes the array that is learned from or judged: read, brought to size, aligned."""

from pathlib import Path

import numpy as np

from zeromiss.images.align import Aligner, Motion, move_mask
from zeromiss.images.load import load_image, load_mask
from zeromiss.images.reference import open_aligner


class ImageReader:
    """Reads images of one product; without an aligner exactly as `load_image` does.

    May be copied to other processes and shared by threads.
    """

    def __init__(self, size: int, *, reduced: bool = False, aligner: Aligner | None = None) -> None:
        """Name the side in pixels; `reduced` as in `load_image`. An aligner's reference must have that side."""
        self.size = size
        self._reduced = reduced
        self._aligner = aligner

    def read(self, path: Path) -> np.ndarray:
        """Return an image file as float32 RGB (3, size, size) in [0, 1], laid over the reference where there is one.

        Raises ZeromissError for a file that `load_image` or the aligner refuses.
        """
        return self.align(self._load(path), name=str(path))

    def align(self, image_CHW: np.ndarray, *, name: str = "the image") -> np.ndarray:
        """Return an image of this side laid over the reference; the image itself where there is none."""
        return image_CHW if self._aligner is None else self._aligner.align(image_CHW, name)

    def find(self, path: Path) -> Motion:
        """Return where an image file lies against the reference, which there must be; raises as `read`."""
        if self._aligner is None:
            raise ValueError("images of this reader are not aligned")
        return self._aligner.find(self._load(path), str(path))

    def read_mask(self, path: Path, *, of: Path) -> np.ndarray:
        """Return the defect mask at `path` as bool (size, size), moved as the image `of` that it belongs to.

        Raises ZeromissError for a mask that `load_mask` refuses, or an image that cannot be aligned.
        """
        mask_HW = load_mask(path, self.size)
        return mask_HW if self._aligner is None else move_mask(mask_HW, self.find(of))

    def _load(self, path: Path) -> np.ndarray:
        """Read a file, unaligned."""
        return load_image(path, self.size, reduced=self._reduced)


def open_reader(folder: Path, size: int, *, reduced: bool = False) -> ImageReader:
    """Return the reader of a product's images at `size` pixels a side, aligned as a folder that `write_alignment` wrote says.

    Raises ZeromissError when a file of the folder is missing or not as it was written.
    """
    return ImageReader(size, reduced=reduced, aligner=open_aligner(folder, size))
