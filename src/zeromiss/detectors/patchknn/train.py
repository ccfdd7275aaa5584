"""Fit patchknn: two looks at the normal images, for the whitening and for what is kept; nothing is learned by steps."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic
from typing import Unpack

import torch
from torch import Tensor
from tqdm import tqdm

from zeromiss.backbones.block_colours import block_colours
from zeromiss.backbones.load import load_backbone
from zeromiss.backbones.normal_variation import MIN_IMAGES, DesignGaussians, DesignMoments, Moments, Whitening, gaussians_kept, gaussians_told, place_dims
from zeromiss.detector_params import PatchknnParams
from zeromiss.detectors.batches import Contexts, Images, generator_at
from zeromiss.detectors.images import floats
from zeromiss.detectors.loop import How, Trained
from zeromiss.detectors.patchknn.nearest import coreset
from zeromiss.detectors.patchknn.patchknn import Bank, Patchknn
from zeromiss.errors import ZeromissError
from zeromiss.image_size import Size

WHITENED = 100  # images that the whitening is fitted on, most: their cells are many times more than its numbers
POOL = 40_000  # cells that the coreset is chosen from, most
_WHITENING, _KEPT, _POOL = 0, 1, 2  # what is drawn with the seed


def train(
    params: PatchknnParams, images: Images, *, size: Size, seed: int, contexts: Contexts | None = None, **_how: Unpack[How]
) -> Trained:
    """Fit on uint8 images (3, H, W) of `size`; the same seed gives the same numbers. `params.strides` must be set.

    With `params.radius` None cells are sought anywhere and no Gaussian a place is fitted; nor is one with fewer than
    `MIN_IMAGES` images. Where `contexts` name designs, cells are kept of each by its share of the images, and each with
    `MIN_IMAGES` images has Gaussians of its own; the whitening is one for all. Of `_how` it uses nothing (see `How`). Raises ZeromissError for fewer than two images, or without
    the backbone's weights or maps.
    """
    started = monotonic()
    if len(images) < 2:
        raise ZeromissError(f"patchknn needs two normal images at least and was given {len(images)}: ingest more")
    backbone = load_backbone(params.backbone, params.backbone_path)
    sketch = Patchknn(params, backbone, Bank(rows=1, columns=1, dims=1, bank_dims=1, kept=1, place_dims=0))

    def vectors(image_CHW: Tensor) -> Tensor:
        """Return the features of one image's cells, (h, w, C)."""
        with torch.inference_mode():
            return sketch.vectors(sketch.maps(image_CHW[None]))

    def colours(image_CHW: Tensor) -> Tensor:
        """Return the colours of the blocks of one image's cells, (h, w, N)."""
        return block_colours(image_CHW, min(params.strides))

    moments, colour_moments = Moments(), Moments()
    for index in tqdm(drawn(len(images), WHITENED, seed, _WHITENING), desc="patchknn whitening", unit="image", dynamic_ncols=True):
        image_CHW = floats(images[index])
        moments.include(vectors(image_CHW).flatten(0, 1))
        colour_moments.include(colours(image_CHW).flatten(0, 1))
    whitening, grid = Whitening.fit(moments), vectors(floats(images[0])).shape[:2]
    designs = contexts.designs if contexts is not None else [""] * len(images)
    counts = Counter(designs)
    plan = plan_bank(params, grid, dims=whitening.dims, images=len(images), gaussians=len(gaussians_kept(counts)))
    kept = {design: max(1, plan.kept * count // len(images)) for design, count in sorted(counts.items())}
    plan = replace(plan, kept=sum(kept.values()))
    colour_whitening = Whitening.fit(colour_moments) if plan.place_dims and params.colours else None
    if colour_whitening is not None:
        plan = replace(plan, colour_dims=colour_whitening.dims)
    print(describe(plan, len(images), anywhere=params.radius is None) + (gaussians_told(counts) if plan.place_dims else ""))
    detector = Patchknn(params, backbone, plan, designs=kept, placed=gaussians_kept(counts))
    detector.mean_C.copy_(whitening.mean_C)
    detector.matrix_CK.copy_(whitening.matrix_CK)
    if colour_whitening is not None:
        detector.colour_mean_C.copy_(colour_whitening.mean_C)
        detector.colour_matrix_CK.copy_(colour_whitening.matrix_CK)
    _keep(detector, images, lambda image_CHW: whitening(vectors(image_CHW)), lambda image_CHW: detector.colour_whitening(colours(image_CHW)), designs, seed)
    return Trained(detector=detector, history=[], seconds=monotonic() - started)


def plan_bank(params: PatchknnParams, grid: tuple[int, int], *, dims: int, images: int, gaussians: int = 1) -> Bank:
    """Return what is kept of so many images with `grid` cells each: as many of them as `params.bank_mib` has room for.

    `gaussians`: sets of Gaussians a place, which share `params.places_mib`.
    """
    rows, columns = grid
    bank_dims = min(params.bank_dims, dims)
    budget = int(params.bank_mib * 2**20 / (2 * bank_dims))  # cells, in half precision
    if params.radius is None:
        return Bank(rows=rows, columns=columns, dims=dims, bank_dims=bank_dims, kept=min(params.coreset, budget, images * rows * columns), place_dims=0)
    kept = min(images, budget // (rows * columns))
    if not kept:
        raise ZeromissError(f"patchknn.bank_mib {params.bank_mib:g} has no room for one image of {rows} x {columns} cells: raise it or lower size")
    places = place_dims(rows * columns, min(params.place_dims, dims), mib=params.places_mib / gaussians) if images >= MIN_IMAGES else 0
    return Bank(rows=rows, columns=columns, dims=dims, bank_dims=bank_dims, kept=kept, place_dims=places)


def describe(bank: Bank, images: int, *, anywhere: bool) -> str:
    """Return one sentence of what is kept, and its size."""
    cells = bank.rows * bank.columns
    if anywhere:
        return f"patchknn keeps {bank.kept} of {images * cells} cells, {bank.bank_dims} numbers each ({_mib(2 * bank.kept * bank.bank_dims)} MiB)"
    kept = f"patchknn keeps {bank.kept} of {images} images, {cells} cells of {bank.bank_dims} numbers each ({_mib(2 * bank.kept * cells * bank.bank_dims)} MiB)"
    if not bank.place_dims:
        return f"{kept}, and no Gaussian a place, which needs {MIN_IMAGES} images"
    size = cells * (2 * (bank.place_dims**2 + bank.colour_dims**2) + 4 * (bank.dims + bank.colour_dims))
    colours = f" and one of {bank.colour_dims} colours" if bank.colour_dims else ""
    return f"{kept}, and one Gaussian of {bank.place_dims} numbers{colours} a cell ({_mib(size)} MiB)"


def drawn(images: int, count: int, seed: int, purpose: int) -> list[int]:
    """Return at most `count` different indices of so many images, drawn with the seed, in order."""
    return sorted(torch.randperm(images, generator=generator_at(seed, 0, purpose))[:count].tolist())


def _keep(
    detector: Patchknn, images: Images, white: Callable[[Tensor], Tensor], coloured: Callable[[Tensor], Tensor], designs: Sequence[str], seed: int
) -> None:
    """Fill the detector's bank, one design after the other, and its Gaussians; both functions return an image's whitened vectors (h, w, K)."""
    bank, radius, number = detector.bank, detector.params.radius, len(designs)
    mine = {design: [index for index in range(number) if designs[index] == design] for design in detector.designs}
    if radius is None:
        each = -(-POOL // number)  # cells of an image
        bar = tqdm(total=number, desc="patchknn", unit="image", dynamic_ncols=True)
        for design, indices in mine.items():
            pool_NK = torch.cat([_some(white(floats(images[index])), each, generator_at(seed, index, _POOL))[:, : bank.bank_dims] for index in indices])
            bar.update(len(indices))
            chosen = coreset(pool_NK, detector.designs[design], generator_at(seed, 0, _KEPT))
            detector.kept_NK[detector.kept_of(design)] = pool_NK[chosen].half()
        bar.close()
        return
    order = [mine[design][rank] for design, count in detector.designs.items() for rank in drawn(len(mine[design]), count, seed, _KEPT)]
    rows = {index: row for row, index in enumerate(order)}
    moments, colour_moments = DesignMoments(bank.place_dims, designs), DesignMoments(bank.colour_dims, designs)
    for index in tqdm(range(number), desc="patchknn", unit="image", dynamic_ncols=True):
        image_CHW = floats(images[index])
        white_hwK = white(image_CHW)
        if bank.place_dims:
            moments.include(white_hwK, designs[index])
        if bank.colour_dims:
            colour_moments.include(coloured(image_CHW), designs[index])
        if index in rows:
            detector.kept_NK[:, :, rows[index]] = white_hwK[..., : bank.bank_dims].half()
    if not bank.place_dims:
        return
    _put(moments.fit(shrinkage=detector.params.shrinkage), detector.placed, detector.place_mean_DhwK, detector.place_factor_DhwJJ)
    if bank.colour_dims:
        _put(colour_moments.fit(shrinkage=detector.params.shrinkage), detector.placed, detector.colour_place_mean_DhwK, detector.colour_place_factor_DhwKK)


def _put(places: DesignGaussians, placed: Sequence[str], mean_DhwK: Tensor, factor_DhwJJ: Tensor) -> None:
    """Write the Gaussians of each design into the buffers that keep them."""
    for rank, design in enumerate(placed):
        mean_DhwK[rank] = places[design].mean_hwK
        factor_DhwJJ[rank] = places[design].factor_hwJJ


def _some(white_hwK: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return at most `count` drawn cells of an image."""
    flat_NK = white_hwK.flatten(0, 1)
    return flat_NK[torch.randperm(len(flat_NK), generator=generator)[:count]]


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f}"
