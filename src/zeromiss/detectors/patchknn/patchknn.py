"""The fitted detector: how far each patch lies from the normal patches of its place.

Features are two maps of a frozen backbone, each averaged over 3 x 3 cells, the coarser enlarged to the finer (as PaDiM,
arXiv:2011.08785, and PatchCore, arXiv:2106.08265, take them), whitened. Two distances: to the nearest normal patch
within `radius` cells of the same place (anywhere where parts do not lie alike), and from one Gaussian a place. Where parts
lie alike there is a third one, which no network has a part in: from one Gaussian a place of the colours of small blocks
(`backbones/block_colours.py`).

Where a product has several designs, an image is compared with normal images of its own design alone.

Axes: B images, C channels, D sets of Gaussians, H, W pixels, h, w cells, N kept images, M kept cells, K whitened dimensions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from zeromiss.backbones.base import Backbone
from zeromiss.backbones.block_colours import NUMBERS, least_over_shifts
from zeromiss.backbones.differences import GAUSSIAN
from zeromiss.backbones.faster import faster
from zeromiss.backbones.local_features import cell_vectors
from zeromiss.backbones.normal_variation import DesignGaussians, PlaceGaussians, Whitening, worst_mean, worst_vector
from zeromiss.detector_params import PatchknnParams
from zeromiss.detectors.base import NO_CONTEXT, Context, Detection
from zeromiss.detectors.patchknn.nearest import PlaceBank, nearest_anywhere, nearest_by_place
from zeromiss.errors import ZeromissError

NEAREST, COLOUR = "nearest", "colour"  # names of maps, beside GAUSSIAN


@dataclass(frozen=True, kw_only=True)
class Bank:
    """Sizes of what is kept of the normal images; `place_dims` 0: no Gaussian a place."""

    rows: int
    columns: int
    dims: int  # whitened dimensions, of which the leading `bank_dims` are compared
    bank_dims: int
    kept: int  # images, or cells where they are sought anywhere
    place_dims: int
    colour_dims: int = 0  # whitened colours of a cell's blocks; 0: no Gaussian of them


class Patchknn(nn.Module):
    """Backbone, whitening, kept normal cells and, where parts lie alike, Gaussians of places."""

    name = "patchknn"
    reads_context = True
    score_names: tuple[str, ...]

    def __init__(
        self, params: PatchknnParams, backbone: Backbone, bank: Bank, *, designs: Mapping[str, int] | None = None, placed: Sequence[str] = ("",)
    ) -> None:
        """Make room for what `bank` describes; `params.strides` must be set.

        `designs`: how many of the kept images or cells each design has, in the order in which they lie (None: there are no
        designs); `placed`: the designs with Gaussians of their own, '' standing for those of all images.

        Raises ZeromissError when the backbone has no map at one of the strides.
        """
        super().__init__()
        absent = [stride for stride in params.strides or () if stride not in backbone.strides]
        if absent or not params.strides:
            found = ", ".join(map(str, backbone.strides))
            raise ZeromissError(f"patchknn.strides: {params.backbone} has no map at stride {(*absent, None)[0]}: choose among {found}")
        self.params, self.backbone, self.bank = params, backbone, bank
        self.designs, self.placed = dict(designs or {"": bank.kept}), tuple(placed)
        self.levels = tuple(backbone.strides.index(stride) for stride in sorted(params.strides))
        self._looks = (faster(backbone, fold_norms=True).to(memory_format=torch.channels_last),)  # not stored: made of the backbone
        grid, places = (bank.rows, bank.columns), bank.place_dims
        channels = sum(backbone.channels[level] for level in self.levels)
        self.register_buffer("mean_C", torch.zeros(channels))
        self.register_buffer("matrix_CK", torch.zeros(channels, bank.dims))
        kept = (bank.kept, bank.bank_dims) if params.radius is None else (*grid, bank.kept, bank.bank_dims)
        self.register_buffer("kept_NK", torch.zeros(kept, dtype=torch.float16))  # rounded to half: moves a distance by some 1e-3 of itself
        sets = len(self.placed)
        self.register_buffer("place_mean_DhwK", torch.zeros(sets, *grid, bank.dims) if places else None)
        self.register_buffer("place_factor_DhwJJ", torch.zeros(sets, *grid, places, places, dtype=torch.float16) if places else None)
        colours = bank.colour_dims
        kinds = {
            "colour_mean_C": ((NUMBERS,), torch.float32),
            "colour_matrix_CK": ((NUMBERS, colours), torch.float32),
            "colour_place_mean_DhwK": ((sets, *grid, colours), torch.float32),
            "colour_place_factor_DhwKK": ((sets, *grid, colours, colours), torch.float16),
        }
        for name, (shape, kind) in kinds.items():
            self.register_buffer(name, torch.zeros(shape, dtype=kind) if colours else None)
        self.score_names = (*((GAUSSIAN,) if places else ()), *((COLOUR,) if colours else ()))
        self.requires_grad_(False).eval()

    @property
    def shared_backbone(self) -> Backbone:
        """The backbone whose maps it may share."""
        return self.backbone

    @property
    def whitening(self) -> Whitening:
        """The whitening of its features."""
        return Whitening(mean_C=self.mean_C, matrix_CK=self.matrix_CK)

    @cached_property
    def place_bank(self) -> PlaceBank:
        """The kept cells as they are searched, where they are sought by place; made at the first inspection, twice as large as what is stored."""
        return PlaceBank.of(self.kept_NK)

    @property
    def colour_whitening(self) -> Whitening:
        """The whitening of the colours of a cell's blocks."""
        return Whitening(mean_C=self.colour_mean_C, matrix_CK=self.colour_matrix_CK)

    @property
    def places(self) -> DesignGaussians | None:
        """The Gaussians a place of its features, None where there are none."""
        return self._gaussians(self.place_mean_DhwK, self.place_factor_DhwJJ)

    @property
    def colour_places(self) -> DesignGaussians | None:
        """The Gaussians a place of the blocks' colours, None where there are none."""
        return self._gaussians(self.colour_place_mean_DhwK, self.colour_place_factor_DhwKK)

    def _gaussians(self, mean_DhwK: Tensor | None, factor_DhwJJ: Tensor | None) -> DesignGaussians | None:
        """Return what the buffers of one kind hold."""
        if mean_DhwK is None or factor_DhwJJ is None:
            return None
        sets = zip(self.placed, mean_DhwK, factor_DhwJJ, strict=True)
        return DesignGaussians({design: PlaceGaussians(mean_hwK=mean_hwK, factor_hwJJ=factor_hwJJ) for design, mean_hwK, factor_hwJJ in sets})

    def kept_of(self, design: str) -> slice:
        """Return where the kept images (or cells) of a design lie; raises ZeromissError for one that no training image had."""
        if "" in self.designs:
            return slice(None)
        if design not in self.designs:
            raise ZeromissError(f"the design {design!r} is not among those of the training images: name one of {', '.join(sorted(self.designs))}")
        names = list(self.designs)
        start = sum(self.designs[name] for name in names[: names.index(design)])
        return slice(start, start + self.designs[design])

    def vectors(self, maps: list[Tensor]) -> Tensor:
        """Return the features of each cell, (h, w, C), from all of the backbone's maps of one image."""
        return cell_vectors([maps[level] for level in self.levels])

    def maps(self, image_1CHW: Tensor) -> list[Tensor]:
        """Return all of the backbone's maps of one RGB image in [0, 1], its batch norms folded into its convolutions."""
        return self._looks[0](image_1CHW.contiguous(memory_format=torch.channels_last))

    @torch.no_grad()
    def detect(self, image_BCHW: Tensor, maps: list[Tensor] | None = None, context: Context = NO_CONTEXT) -> Detection:
        """Inspect RGB images in [0, 1], one after the other; `maps`: the backbone's of a single image, where they are known.

        Of `context` the design counts, where the training images had designs. Raises ZeromissError for a design that is not
        among them, and for images of another size than those it was fitted on.
        """
        image_BCHW = image_BCHW.float()
        each = [self._inspect(image_CHW, maps or self.maps(image_CHW[None]), context.design) for image_CHW in image_BCHW]
        found = {name: torch.stack([one[name] for one in each]) for name in each[0]}
        residual_BK = found.pop("residual")
        scores = {name: map_Bhw.flatten(1).amax(1) if name == COLOUR else worst_mean(map_Bhw) for name, map_Bhw in found.items()}
        first = next(iter(found))
        return Detection(
            score_B=scores.pop(first),
            map_BHW=enlarged(found[first], image_BCHW.shape[-2:]),
            scores=scores,
            maps=found,
            residual_BK=residual_BK,
        )

    def _inspect(self, image_CHW: Tensor, maps: list[Tensor], design: str) -> dict[str, Tensor]:
        """Return the maps (h, w) of one image by name, and its residual vector (K,)."""
        white_hwK = self.whitening(self.vectors(maps))
        grid = (self.bank.rows, self.bank.columns)
        query_hwK, radius, kept = white_hwK[..., : self.bank.bank_dims], self.params.radius, self.kept_of(design)
        if radius is None:
            nearest_hw = nearest_anywhere(query_hwK.flatten(0, 1), self.kept_NK[kept]).view(white_hwK.shape[:2])
            return {NEAREST: nearest_hw, "residual": worst_vector(nearest_hw, white_hwK)}
        if tuple(white_hwK.shape[:2]) != grid:
            raise ZeromissError(
                f"patchknn learned images of {grid[0]} x {grid[1]} cells, this one has {white_hwK.shape[0]} x {white_hwK.shape[1]}: "
                "inspect it at the product's size"
            )
        nearest_hw = nearest_by_place(query_hwK, self.place_bank.part(kept), radius=radius)
        if self.places is None:
            return {NEAREST: nearest_hw, "residual": worst_vector(nearest_hw, white_hwK)}
        places = self.places[design]
        away_hwK = places.away(white_hwK)
        found = {NEAREST: nearest_hw, GAUSSIAN: places.distances(away_hwK), "residual": worst_vector(nearest_hw, away_hwK)}
        return self._with_colours(found, image_CHW, design) if self.bank.colour_dims else found

    def _with_colours(self, found: dict[str, Tensor], image_CHW: Tensor, design: str) -> dict[str, Tensor]:
        """Return what was found of one image with the map of its colours, whose worst cells lengthen the residual vector."""
        white, places = self.colour_whitening, self.colour_places[design]
        colour_hw, away_hwK = least_over_shifts(
            image_CHW, min(self.params.strides), lambda colours_hwN: places.away(white(colours_hwN)), places.distances
        )
        residual_K = torch.cat((found.pop("residual"), worst_vector(colour_hw, away_hwK)))
        return found | {COLOUR: colour_hw, "residual": residual_K}


def enlarged(map_Bhw: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps of cells enlarged bilinearly to all pixels, (B, H, W)."""
    return functional.interpolate(map_Bhw[:, None], size=tuple(size), mode="bilinear", align_corners=False)[:, 0]
