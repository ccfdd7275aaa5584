"""How differences of normal images from what they should look like vary: their whitening, and one Gaussian of them a place.

Differences are those of a backbone's features, phi(x) - phi(y), with y a reconstruction of x or a reference: paper 1's mask of
normal variation (section 3.2) with a covariance in place of one number a pixel.

Axes: C channels, K whitened dimensions, h, w cells of the grid.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from zeromiss.backbones.normal_variation import (
    MIN_IMAGES, DesignGaussians, DesignMoments, Moments, Whitening, gaussians_kept, gaussians_told, place_dims, worst_vector,
)  # fmt: skip
from zeromiss.errors import ZeromissError

WHITENED, GAUSSIAN = "whitened", "gaussian"  # names of maps: distance of whitened differences, and from a place's Gaussian
SHRINKAGE = 0.1  # of a place's covariance; 0.05 to 0.2, Ledoit-Wolf and OAS differ by less than 0.003 AUROC on the sets measured
PLACE_DIMS, PLACES_MIB = 64, 12.0  # leading dimensions of a place's Gaussian, and most memory for all of them
WHITENED_ON = 100  # images that the whitening is fitted on, at most: their cells are many times more than its numbers
Cells = Callable[[int], Iterable[Tensor]]  # gives the differences (h, w, C) of every n-th of the same images, each time


@dataclass(frozen=True, kw_only=True)
class Differences:
    """How perceptual differences of normal images from their reconstructions, or references, vary."""

    strides: tuple[int, ...]  # of the backbone's maps that are compared
    whitening: Whitening
    places: DesignGaussians | None  # None: parts do not lie alike, or there are too few images

    @property
    def maps(self) -> tuple[str, ...]:
        """The names of the maps, the one that decides first."""
        return (WHITENED,) if self.places is None else (GAUSSIAN, WHITENED)

    def look(self, difference_hwC: Tensor, design: str = "") -> tuple[dict[str, Tensor], Tensor]:
        """Return the maps (h, w) of an image of a design by name, >= 0 (higher = more abnormal), and its residual vector (K,).

        The residual is the mean whitened difference, from the place's normal mean where there is one, of the ten worst
        cells of the map that decides.
        """
        white_hwK = self.whitening(difference_hwC)
        found = {WHITENED: white_hwK.square().sum(-1).sqrt()}
        if self.places is None:
            return found, worst_vector(found[WHITENED], white_hwK)
        places = self.places[design]
        away_hwK = places.away(white_hwK)
        found = {GAUSSIAN: places.distances(away_hwK)} | found
        return found, worst_vector(found[GAUSSIAN], away_hwK)


def fit_differences(cells: Cells, *, strides: Sequence[int], designs: Sequence[str], fixed: bool) -> tuple[Differences, str]:
    """Fit the variation of the differences that `cells` gives; return it and a sentence of what it rests on.

    `designs`: the design of each image, '' where there is none. The whitening is one for all designs.

    Some images are gone through twice, all one at a time: memory does not grow with their number. With `fixed` one Gaussian a
    place is fitted, of each design that has enough images, unless there are fewer than `MIN_IMAGES` images in all. Raises ZeromissError without an image.
    """
    moments, images, counts = Moments(), len(designs), Counter(designs)
    for difference_hwC in cells(-(-images // WHITENED_ON)):
        moments.include(difference_hwC.flatten(0, 1))
        grid = difference_hwC.shape[:2]
    if not moments.count:
        raise ZeromissError("the variation of normal images needs some: ingest normal images")
    whitening = Whitening.fit(moments)
    scale = f"strides {' and '.join(map(str, strides))}, {whitening.dims} dimensions"
    if not fixed:
        return Differences(strides=tuple(strides), whitening=whitening, places=None), f"one covariance for all places, {scale}"
    if images < MIN_IMAGES:
        why = f"one covariance for all places, since a Gaussian a place needs {MIN_IMAGES} normal images, {scale}"
        return Differences(strides=tuple(strides), whitening=whitening, places=None), why
    dims = place_dims(grid[0] * grid[1], min(PLACE_DIMS, whitening.dims), mib=PLACES_MIB / len(gaussians_kept(counts)))
    placed = DesignMoments(dims, designs)
    for difference_hwC, design in zip(cells(1), designs, strict=True):
        placed.include(whitening(difference_hwC), design)
    places = placed.fit(shrinkage=SHRINKAGE)
    told = f"a Gaussian of {dims} dimensions a place{gaussians_told(counts)}, {scale}"
    return Differences(strides=tuple(strides), whitening=whitening, places=places), told
