"""What is known of one detector's normal images: how its maps and differences vary where nothing is wrong.

Of every detector: the level that 99.9 % of a normal map's values stay below. Of one that reconstructs also the whitening of
perceptual differences phi(x) - phi(x_hat), and one Gaussian of them a place where parts always lie alike: paper 1's
mask of normal variation (section 3.2) with a covariance in place of one number a pixel.

Axes: C channels, K whitened dimensions, h, w cells of the grid.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zeromiss.backbones.differences import Differences
from zeromiss.backbones.normal_variation import DesignGaussians, Whitening
from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path
from zeromiss.metrics.map_statistics import normal_level

NATIVE = "native"  # name of a detector's own map


@dataclass(frozen=True, kw_only=True)
class Variation:
    """What is known of one detector's normal images."""

    levels: dict[str, float]  # by map, in the order of their columns
    dims: int  # numbers of the residual vector; 0: there is none
    differences: Differences | None = None  # of a detector that reconstructs


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
            differences = Differences(
                strides=tuple(tensors["strides"].tolist()), whitening=Whitening.of(tensors), places=DesignGaussians.of_tensors(tensors)
            )
        return Variation(levels=levels, dims=int(tensors["dims"]), differences=differences)
    except FileNotFoundError:
        raise ZeromissError(f"{path} is missing: run the metrics stage") from None
    except (SafetensorError, KeyError, ValueError) as error:
        raise ZeromissError(f"{path} holds no variation of normal images ({error}): run the metrics stage again") from None
