"""What a teacher learns to say: the features of a deep backbone, at the places its own small windows look at.

Batzner et al., arXiv:2303.14535, section 3.1 and appendix A: features of two depths of a frozen ImageNet network that
sees the image at twice the teacher's resolution, each averaged over 3 x 3 positions, the coarser enlarged, side by side,
brought to the teacher's number of channels by averaging over neighbouring channels, and standardised channel by channel.
The teacher, four or six convolutions, minimises its mean squared distance from them.
Axes: B images, C channels of the teacher, h and w its cells.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from zeromiss.detector_params import EfficientadParams
from zeromiss.detectors.peers.features import load_features, normalisation
from zeromiss.detectors.peers.imports import anomalib, clearly, seeded

_BORDER = 4  # cells of 4 pixels that a patch description network without padding loses at each edge (anomalib's pad_maps)
_LEAST = 1e-4  # spread of a channel below which it is left as it is


class Aim(nn.Module):
    """The backbone's features, laid over the teacher's output."""

    def __init__(self, params: EfficientadParams) -> None:
        """Build the frozen backbone with its weights; the channels' mean and spread are set by `standardise`.

        Raises ZeromissError for a backbone or layers that cannot be had, or weights that are missing.
        """
        super().__init__()
        extractors = anomalib("models.components")
        with clearly("building efficientad's backbone", "check efficientad.backbone and efficientad.layers"), seeded(0):
            self.features = extractors.TimmFeatureExtractor(params.backbone, layers=list(params.layers), pre_trained=False)
        load_features(self.features.feature_extractor, params.backbone, params.backbone_path)
        mean_C11, std_C11 = normalisation(params.backbone)
        self.register_buffer("mean_C11", mean_C11)
        self.register_buffer("std_C11", std_C11)
        self.side, self.channels = params.side, params.channels
        self.register_buffer("centre_C11", torch.zeros(params.channels, 1, 1))
        self.register_buffer("spread_C11", torch.ones(params.channels, 1, 1))

    @torch.no_grad()
    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Return the aims (B, C, side / 4 - 8, side / 4 - 8) for RGB images in [0, 1] of twice `side` pixels."""
        levels = [functional.avg_pool2d(level, 3, 1, 1) for level in self.features((image_BCHW - self.mean_C11) / self.std_C11).values()]
        cells = self.side // 4
        laid = [functional.interpolate(level, size=(cells, cells), mode="bilinear", align_corners=False) for level in levels]
        joined_BChw = fewer_channels(torch.cat(laid, dim=1), self.channels)
        inner = slice(_BORDER, cells - _BORDER)
        return (joined_BChw[..., inner, inner] - self.centre_C11) / self.spread_C11

    @torch.no_grad()
    def standardise(self, images: list[Tensor]) -> None:
        """Set each channel's mean and spread to those over images (1, 3, 2 side, 2 side), so that aims there are standardised."""
        raw_BChw = torch.cat([self(image_BCHW) for image_BCHW in images]) * self.spread_C11 + self.centre_C11
        spread_C, centre_C = torch.std_mean(raw_BChw, dim=(0, 2, 3))
        self.centre_C11.copy_(centre_C.view(-1, 1, 1))
        self.spread_C11.copy_(torch.where(spread_C > _LEAST, spread_C, 1.0).view(-1, 1, 1))


def fewer_channels(features_BChw: Tensor, channels: int) -> Tensor:
    """Return features with `channels` channels, each the mean of neighbouring ones: adaptive average pooling over channels."""
    count, _, rows, columns = features_BChw.shape
    flat_BnC = features_BChw.flatten(2).movedim(1, 2)
    return functional.adaptive_avg_pool1d(flat_BnC, channels).movedim(2, 1).reshape(count, channels, rows, columns)
