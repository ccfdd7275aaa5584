"""The trained detector: frozen features, adapted, and how normal each cell's are (paper 5, section 3.1).

Axes: B images, C channels, H and W pixels, h and w cells, D channels of a cell's features, N cells.
"""

import torch
from torch import Tensor, nn

from zeromiss.backbones.base import Backbone
from zeromiss.backbones.faster import faster
from zeromiss.detector_params import SimplenetParams
from zeromiss.detectors.base import Detection
from zeromiss.backbones.local_features import local_features
from zeromiss.detectors.simplenet.network import Head
from zeromiss.detectors.simplenet.score import image_score, pixel_map
from zeromiss.errors import ZeromissError


class Simplenet(nn.Module):
    """Backbone F, adapter G and discriminator D."""

    name = "simplenet"
    score_names: tuple[str, ...] = ()

    def __init__(self, params: SimplenetParams, backbone: Backbone, *, seed: int = 0) -> None:
        """Build the head with weights drawn from `seed`; the global generator is left alone.

        `backbone` brings its weights: a faster copy of it, its norms folded, is what looks at images.
        Raises ZeromissError when the backbone has no map at one of `params.strides`.
        """
        super().__init__()
        absent = [stride for stride in params.strides if stride not in backbone.strides]
        if absent:
            found = ", ".join(map(str, backbone.strides))
            raise ZeromissError(f"simplenet.strides: {params.backbone} has no map at stride {absent[0]}: choose two of {found}")
        self.params, self.backbone = params, backbone
        self.levels = tuple(backbone.strides.index(stride) for stride in sorted(params.strides))
        self._looks = (faster(backbone, fold_norms=True).to(memory_format=torch.channels_last),)  # no module of this one: not stored
        for index, level in enumerate(self.levels):
            self.register_buffer(f"mean_{index}_C11", torch.zeros(backbone.channels[level], 1, 1))
            self.register_buffer(f"std_{index}_C11", torch.ones(backbone.channels[level], 1, 1))
        depth = params.depth or sum(backbone.channels[level] for level in self.levels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = Head(depth, params.hidden)

    @property
    def looks(self) -> Backbone:
        """Return what looks at images."""
        return self._looks[0]

    @property
    def shared_backbone(self) -> Backbone:
        """The backbone whose maps it may share."""
        return self.backbone

    def maps(self, image_BCHW: Tensor) -> list[Tensor]:
        """Return the backbone's maps of both levels of RGB images in [0, 1], the finer first."""
        with torch.no_grad():
            return self._both(self.looks(image_BCHW.contiguous(memory_format=torch.channels_last)))

    def _both(self, maps: list[Tensor]) -> list[Tensor]:
        """Return the maps of both levels among all of the backbone's."""
        return [maps[level].contiguous() for level in self.levels]

    def features(self, maps: list[Tensor]) -> Tensor:
        """Return the local features of all cells, (N, D), image by image and row by row."""
        scaled = [(map_BCHW - getattr(self, f"mean_{i}_C11")) / getattr(self, f"std_{i}_C11") for i, map_BCHW in enumerate(maps)]
        return local_features(scaled, self.params.depth).movedim(1, -1).flatten(0, 2)

    @torch.no_grad()
    def detect(self, image_BCHW: Tensor, maps: list[Tensor] | None = None) -> Detection:
        """Inspect RGB images in [0, 1], one after the other: the same bits alone and among others.

        `maps`: all maps of a single image by the same backbone, where they are known.
        """
        each = [self._both(maps) if maps else self.maps(image_CHW[None]) for image_CHW in image_BCHW.float()]
        abnormality_Bhw = torch.cat([self._abnormality(both) for both in each])
        height, width = image_BCHW.shape[-2:]
        return Detection(score_B=image_score(abnormality_Bhw), map_BHW=pixel_map(abnormality_Bhw, (height, width), self.params.smoothing))

    def _abnormality(self, maps: list[Tensor]) -> Tensor:
        """Return -D of each cell of one image, (1, h, w), from its maps of both levels."""
        normality_N = self.head.normality(self.head.adapt(self.features(maps)))
        return -normality_N.view(1, *maps[0].shape[-2:])
