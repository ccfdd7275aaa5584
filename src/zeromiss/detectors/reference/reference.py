"""The fitted detector: how far an image's features differ from those of its reference, beyond how normal parts do.

The image is laid over its reference by a shift and a turn (by correlation of local contrast, so that another lamp does not
matter). delta = phi(image) - phi(reference), with phi two maps of a frozen backbone, each averaged over 3 x 3 cells, the
coarser enlarged to the finer. delta is whitened by the covariance that it has on normal images; where parts lie alike its
distance is the one from a Gaussian a place, see `backbones/differences.py`.

Axes: B images, C channels, D sets of Gaussians, H, W pixels, h, w cells, K whitened dimensions, J leading ones of them.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from zeromiss.backbones.base import Backbone
from zeromiss.backbones.differences import WHITENED, Differences
from zeromiss.backbones.faster import faster
from zeromiss.backbones.local_features import cell_vectors
from zeromiss.backbones.normal_variation import DesignGaussians, PlaceGaussians, Whitening, worst_mean
from zeromiss.detector_params import ReferenceParams
from zeromiss.detectors.base import NO_CONTEXT, Context, Detection
from zeromiss.errors import ZeromissError
from zeromiss.images.registration import degrees_of, find_motion, local_contrast, move, shift_of

STILL = 0.25  # pixels: an image whose corners all lie nearer to their places is not moved
REFERENCES = 16  # of the last references that were seen, whose features are kept


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of what is kept of the normal images; `place_dims` 0: no Gaussian a place."""

    rows: int
    columns: int
    dims: int
    place_dims: int


@dataclass(frozen=True)
class _Known:
    """What is kept of a reference."""

    contrast_HW: np.ndarray
    vectors_hwC: Tensor


class Reference(nn.Module):
    """Backbone, whitening and Gaussians of differences from references."""

    name = "reference"
    reads_context = True

    def __init__(self, params: ReferenceParams, backbone: Backbone, sizes: Sizes, *, placed: Sequence[str] = ("",)) -> None:
        """Make room for what `sizes` describes; `params.strides` must be set.

        `placed`: the designs with Gaussians of their own, '' standing for those of all images. Raises ZeromissError when the
        backbone has no map at one of the strides.
        """
        super().__init__()
        absent = [stride for stride in params.strides or () if stride not in backbone.strides]
        if absent or not params.strides:
            found = ", ".join(map(str, backbone.strides))
            raise ZeromissError(f"reference.strides: {params.backbone} has no map at stride {(*absent, None)[0]}: choose among {found}")
        self.params, self.backbone, self.sizes, self.placed = params, backbone, sizes, tuple(placed)
        self.levels = tuple(backbone.strides.index(stride) for stride in sorted(params.strides))
        self._looks = (faster(backbone, fold_norms=True).to(memory_format=torch.channels_last),)  # not stored: made of the backbone
        channels, grid, places = sum(backbone.channels[level] for level in self.levels), (sizes.rows, sizes.columns), sizes.place_dims
        self.register_buffer("mean_C", torch.zeros(channels))
        self.register_buffer("matrix_CK", torch.zeros(channels, sizes.dims))
        self.register_buffer("place_mean_DhwK", torch.zeros(len(placed), *grid, sizes.dims) if places else None)
        self.register_buffer("place_factor_DhwJJ", torch.zeros(len(placed), *grid, places, places, dtype=torch.float16) if places else None)
        self.score_names = (WHITENED,) if places else ()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._lock = Lock()
        self.requires_grad_(False).eval()

    @property
    def shared_backbone(self) -> Backbone:
        """The backbone whose maps it may share."""
        return self.backbone

    @property
    def differences(self) -> Differences:
        """How differences from references vary on normal images."""
        places = None
        if self.place_mean_DhwK is not None:
            sets = zip(self.placed, self.place_mean_DhwK, self.place_factor_DhwJJ, strict=True)
            places = DesignGaussians({design: PlaceGaussians(mean_hwK=mean_hwK, factor_hwJJ=factor_hwJJ) for design, mean_hwK, factor_hwJJ in sets})
        return Differences(strides=tuple(self.params.strides), whitening=Whitening(mean_C=self.mean_C, matrix_CK=self.matrix_CK), places=places)

    def take(self, differences: Differences) -> None:
        """Take over what was fitted."""
        self.mean_C.copy_(differences.whitening.mean_C)
        self.matrix_CK.copy_(differences.whitening.matrix_CK)
        for rank, design in enumerate(self.placed if differences.places is not None else ()):
            self.place_mean_DhwK[rank] = differences.places[design].mean_hwK
            self.place_factor_DhwJJ[rank] = differences.places[design].factor_hwJJ

    @torch.no_grad()
    def difference(self, image_CHW: Tensor, context: Context, maps: list[Tensor] | None = None) -> tuple[Tensor, np.ndarray | None]:
        """Return phi(image) - phi(reference), (h, w, C), in the reference's places, and the motion that laid the image over it.

        The motion, (2, 3), takes places of the reference to those of the image, in pixels; None: the image was not moved.
        `maps`: the backbone's of the image, where they are known. Raises ZeromissError without a reference, for one of another
        size, and for an image that cannot be laid over it.
        """
        if context.reference_CHW is None:
            raise ZeromissError("this image has no reference to be compared with: name one (--reference, --references, or the field reference)")
        if context.reference_CHW.shape != image_CHW.shape:
            raise ZeromissError(f"the reference is {tuple(context.reference_CHW.shape)} and the image {tuple(image_CHW.shape)}: read both at the product's size")
        known = self._of(context)
        motion = self._motion(image_CHW, known.contrast_HW)
        if motion is not None:
            moved_HWC = np.clip(move(np.ascontiguousarray(image_CHW.permute(1, 2, 0).numpy()), motion), 0.0, 1.0)
            image_CHW, maps = torch.from_numpy(moved_HWC).permute(2, 0, 1), None
        return self._vectors(maps or self._maps(image_CHW)) - known.vectors_hwC, motion

    @torch.no_grad()
    def detect(self, image_BCHW: Tensor, maps: list[Tensor] | None = None, context: Context = NO_CONTEXT) -> Detection:
        """Compare RGB images in [0, 1] with the reference of `context`; `maps`: the backbone's of a single image, where they are known.

        Maps of cells lie in the reference's places, the map of pixels in the image's. Raises ZeromissError as `difference`.
        """
        image_BCHW, differences = image_BCHW.float(), self.differences
        size, found, residuals, maps_HW = tuple(image_BCHW.shape[-2:]), [], [], []
        for image_CHW in image_BCHW:
            difference_hwC, motion = self.difference(image_CHW, context, maps)
            cells, residual_K = differences.look(difference_hwC, context.design)
            decides_hw = next(iter(cells.values()))
            map_HW = functional.interpolate(decides_hw[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
            maps_HW.append(map_HW if motion is None else _moved_back(map_HW, motion))
            found.append(cells)
            residuals.append(residual_K)
        whole = {name: torch.stack([cells[name] for cells in found]) for name in found[0]}
        scores = {name: worst_mean(map_Bhw) for name, map_Bhw in whole.items()}
        return Detection(
            score_B=scores.pop(next(iter(whole))), map_BHW=torch.stack(maps_HW), scores=scores, maps=whole, residual_BK=torch.stack(residuals)
        )

    def _of(self, context: Context) -> _Known:
        """Return what is known of a reference: computed once, and kept for the last few."""
        key = context.reference_sha256
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        known = _Known(_contrast(context.reference_CHW), self._vectors(self._maps(context.reference_CHW.float())))
        with self._lock:
            self._known[key] = known
            while len(self._known) > REFERENCES:
                self._known.popitem(last=False)
        return known

    def _motion(self, image_CHW: Tensor, contrast_HW: np.ndarray) -> np.ndarray | None:
        """Return how the image lies against its reference, None where it lies as it; raises ZeromissError where it cannot be laid over it."""
        params = self.params
        if params.motion == "none":
            return None
        found = find_motion(contrast_HW, _contrast(image_CHW), kind=params.motion, shift=params.max_shift, degrees=params.max_rotation)
        if found is None or found[1] < params.min_correlation:
            agrees = "has too little in common with it"
            if found is not None:
                agrees = f"agrees with it to {found[1]:.2f} and reference.min_correlation asks for {params.min_correlation:g}"
            raise ZeromissError(f"the image cannot be laid over its reference: it {agrees}; check that the reference is the one of this part")
        motion = found[0]
        off, turn = shift_of(motion, contrast_HW.shape), degrees_of(motion)
        if off > params.max_shift or abs(turn) > params.max_rotation:
            raise ZeromissError(
                f"the image lies {off:.1%} of its side and {turn:.1f} degrees off its reference, and reference.max_shift allows {params.max_shift:.1%}, "
                f"reference.max_rotation {params.max_rotation:g}: place the part as usual, or raise the limit"
            )
        height, width = contrast_HW.shape
        corners_N2 = np.array([[x, y] for x in (0, width - 1) for y in (0, height - 1)], dtype=np.float64)
        return motion if np.abs(corners_N2 @ motion[:, :2].T + motion[:, 2] - corners_N2).max() > STILL else None

    def _maps(self, image_CHW: Tensor) -> list[Tensor]:
        """Return all of the backbone's maps of one image, its batch norms folded into its convolutions."""
        return self._looks[0](image_CHW[None].contiguous(memory_format=torch.channels_last))

    def _vectors(self, maps: list[Tensor]) -> Tensor:
        """Return the features of each cell, (h, w, C)."""
        return cell_vectors([maps[level] for level in self.levels])


def _contrast(image_CHW: Tensor) -> np.ndarray:
    """Return the local contrast of an image's grey values, (H, W)."""
    return local_contrast(np.ascontiguousarray(image_CHW.numpy().mean(axis=0, dtype=np.float32)))


def _moved_back(map_HW: Tensor, motion: np.ndarray) -> Tensor:
    """Return a map of the reference's places in the image's, >= 0; what the reference does not show has the value of its edge."""
    height, width = map_HW.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    back = cv2.warpAffine(map_HW.numpy(), cv2.invertAffineTransform(motion), (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(back)
