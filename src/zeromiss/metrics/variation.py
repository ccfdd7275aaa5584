"""What is known of one detector's normal images: how its maps and differences vary where nothing is wrong.

Of every detector: the level that 99.9 % of a normal map's values stay below. Of one that reconstructs also the whitening of
perceptual differences phi(x) - phi(x_hat), and one Gaussian of them a place where parts always lie alike: paper 1's
mask of normal variation (section 3.2) with a covariance in place of one number a pixel.

Axes: C channels, K whitened dimensions, h, w cells of the grid.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zeromiss.backbones.normal_variation import MIN_IMAGES, Moments, PlaceGaussians, PlaceMoments, Whitening, place_dims, worst_vector
from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path
from zeromiss.metrics.map_statistics import normal_level

WHITENED, GAUSSIAN, NATIVE = "whitened", "gaussian", "native"  # names of maps: distance of whitened differences, from a place's Gaussian, a detector's own
SHRINKAGE = 0.1  # of a place's covariance; 0.05 to 0.2, Ledoit-Wolf and OAS differ by less than 0.003 AUROC on the sets measured
PLACE_DIMS, PLACES_MIB = 64, 24.0  # leading dimensions of a place's Gaussian, and most memory for all of them
WHITENED_ON = 100  # images that the whitening is fitted on, at most: their cells are many times more than its numbers
Cells = Callable[[int], Iterable[Tensor]]  # gives the differences (h, w, C) of every n-th of the same images, each time


@dataclass(frozen=True, kw_only=True)
class Differences:
    """How perceptual differences of normal images from their reconstructions vary."""

    strides: tuple[int, ...]  # of the backbone's maps that are compared
    whitening: Whitening
    places: PlaceGaussians | None  # None: parts do not lie alike, or there are too few images

    @property
    def maps(self) -> tuple[str, ...]:
        """The names of the maps, the one that decides first."""
        return (WHITENED,) if self.places is None else (GAUSSIAN, WHITENED)

    def look(self, difference_hwC: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the maps (h, w) of an image by name, >= 0 (higher = more abnormal), and its residual vector (K,).

        The residual is the mean whitened difference, from the place's normal mean where there is one, of the ten worst
        cells of the map that decides.
        """
        white_hwK = self.whitening(difference_hwC)
        found = {WHITENED: white_hwK.square().sum(-1).sqrt()}
        if self.places is None:
            return found, worst_vector(found[WHITENED], white_hwK)
        away_hwK = self.places.away(white_hwK)
        found = {GAUSSIAN: self.places.distances(away_hwK)} | found
        return found, worst_vector(found[GAUSSIAN], away_hwK)


@dataclass(frozen=True, kw_only=True)
class Variation:
    """What is known of one detector's normal images."""

    levels: dict[str, float]  # by map, in the order of their columns
    dims: int  # numbers of the residual vector; 0: there is none
    differences: Differences | None = None  # of a detector that reconstructs


def fit_differences(cells: Cells, *, strides: Sequence[int], images: int, fixed: bool) -> tuple[Differences, str]:
    """Fit the variation of the differences that `cells` gives, of so many images; return it and a sentence of what it rests on.

    Some images are gone through twice, all one at a time: memory does not grow with their number. With `fixed` one Gaussian a
    place is fitted, unless there are fewer than `MIN_IMAGES` images. Raises ZeromissError without an image.
    """
    moments = Moments()
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
    placed = PlaceMoments(place_dims(grid[0] * grid[1], min(PLACE_DIMS, whitening.dims), mib=PLACES_MIB))
    for difference_hwC in cells(1):
        placed.include(whitening(difference_hwC))
    places = PlaceGaussians.fit(placed, shrinkage=SHRINKAGE)
    return Differences(strides=tuple(strides), whitening=whitening, places=places), f"a Gaussian of {placed.dims} dimensions a place, {scale}"


def levels_of(maps: Iterable[dict[str, Tensor]]) -> dict[str, float]:
    """Return the normal level of each map from those of normal images; raises ZeromissError without an image."""
    found: dict[str, list] = {}
    for one in maps:
        for name, map_hw in one.items():
            found.setdefault(name, []).append(map_hw.numpy())
    return {name: normal_level(values) for name, values in found.items()} if found else {NATIVE: normal_level([])}


def save_variation(path: Path, variation: Variation) -> None:
    """Write a variation as safetensors, atomically."""
    tensors = {f"level.{rank}.{name}": torch.tensor(level, dtype=torch.float64) for rank, (name, level) in enumerate(variation.levels.items())}
    tensors["dims"] = torch.tensor(variation.dims)
    if variation.differences is not None:
        tensors["strides"] = torch.tensor(variation.differences.strides)
        tensors |= variation.differences.whitening.tensors()
        tensors |= {} if variation.differences.places is None else variation.differences.places.tensors()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        save_file({key: value.contiguous() for key, value in tensors.items()}, temporary)


def load_variation(path: Path) -> Variation:
    """Read what `save_variation` wrote; raises ZeromissError when the file is missing, damaged or holds something else."""
    try:
        tensors = load_file(path)
        names = sorted((key.split(".", 2) for key in tensors if key.startswith("level.")), key=lambda parts: int(parts[1]))
        levels = {name: float(tensors[f"level.{rank}.{name}"]) for _, rank, name in names}
        differences = None
        if "strides" in tensors:
            places = PlaceGaussians.of(tensors) if "places.mean_hwK" in tensors else None
            differences = Differences(strides=tuple(tensors["strides"].tolist()), whitening=Whitening.of(tensors), places=places)
        return Variation(levels=levels, dims=int(tensors["dims"]), differences=differences)
    except FileNotFoundError:
        raise ZeromissError(f"{path} is missing: run the metrics stage") from None
    except (SafetensorError, KeyError, ValueError) as error:
        raise ZeromissError(f"{path} holds no variation of normal images ({error}): run the metrics stage again") from None
