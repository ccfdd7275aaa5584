"""The trained detector: x_hat is the image redrawn as a normal one, its scores how far that is from the image.

The generator works at `side` pixels (poster: 256 and 64). What it changes is enlarged and added to the image, so that
details finer than it can draw are not taken for errors; at the image's own size that is x_hat itself.

Axes: B images, C channels, H and W pixels, F features.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from zeromiss.backbones.base import Backbone
from zeromiss.backbones.load import build_backbone
from zeromiss.detector_params import CycleganParams
from zeromiss.detectors.base import Detection, Precision, Reconstruction
from zeromiss.detectors.cyclegan.loss import signed
from zeromiss.detectors.cyclegan.network import Direction
from zeromiss.detectors.cyclegan.score import error_map, pair_distance, sum_of_squares

FEATURE_SIDE = 256  # pixels a side of the images whose features FID compares, near the 299 of Inception's own training


def resized(image_BCHW: Tensor, side: int) -> Tensor:
    """Return images of `side` pixels a side, by triangles that blur first where they shrink."""
    if tuple(image_BCHW.shape[-2:]) == (side, side):
        return image_BCHW
    return functional.interpolate(image_BCHW, size=(side, side), mode="bilinear", antialias=True)


class Cyclegan(nn.Module):
    """The way into the normal domain, its discriminator, and the backbone of the FID score (paper 3, figure 3)."""

    name = "cyclegan"
    score_names: tuple[str, ...] | None = ("fid",)
    image_metrics = ("critic", "critic_hat")

    def __init__(self, params: CycleganParams, *, seed: int = 0, backbone: Backbone | None = None) -> None:
        """Draw both networks from `seed`; without `backbone`, its weights are still to be loaded. The global generator is left alone."""
        super().__init__()
        self.params = params
        self.normal = Direction(params, seed=seed, purpose=1)
        with torch.random.fork_rng(devices=[]):
            self.backbone = backbone or build_backbone(params.backbone)

    @torch.no_grad()
    def reconstruct(self, image_BCHW: Tensor, precision: Precision = "fp32") -> Reconstruction:
        """Redraw square images in [0, 1] as normal ones, each for itself, repeatable bit for bit; in bf16 compute the networks."""
        found = [self._redraw(image_CHW[None], precision) for image_CHW in image_BCHW.float()]
        image_hat_BCHW, critic_B, critic_hat_B = (torch.cat(parts) for parts in zip(*found, strict=True))
        return Reconstruction(image_hat_BCHW=image_hat_BCHW, critic_B=critic_B, critic_hat_B=critic_hat_B)

    @torch.no_grad()
    def score(self, image_BCHW: Tensor, reconstruction: Reconstruction) -> Detection:
        """Return SSE as the score, the squared error as the map, and FID beside it."""
        image_BCHW, image_hat_BCHW = image_BCHW.float(), reconstruction.image_hat_BCHW.float()
        features_BF, features_hat_BF = self._features(image_BCHW), self._features(image_hat_BCHW)
        return Detection(
            score_B=sum_of_squares(image_BCHW, image_hat_BCHW),
            map_BHW=error_map(image_BCHW, image_hat_BCHW),
            scores={"fid": pair_distance(features_BF, features_hat_BF)},
        )

    def _redraw(self, image_BCHW: Tensor, precision: Precision) -> tuple[Tensor, Tensor, Tensor]:
        """Return x_hat of one image and what the discriminator says of x and x_hat, both at the generator's side."""
        small_BCHW = resized(image_BCHW, self.params.side)
        with torch.autocast(image_BCHW.device.type, dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            drawn_BCHW = self.normal.generator(signed(small_BCHW)).float().clamp(-1, 1)
            said = [self.normal.critic(shown).float().mean(dim=(1, 2, 3)) for shown in (signed(small_BCHW), drawn_BCHW)]
        change_BCHW = functional.interpolate((drawn_BCHW + 1) / 2 - small_BCHW, size=image_BCHW.shape[-2:], mode="bilinear")
        return (image_BCHW + change_BCHW).clamp(0, 1).contiguous(), said[0], said[1]

    def _features(self, image_BCHW: Tensor) -> Tensor:
        """Return the mean over the cells of the backbone's last map, (B, F), image by image."""
        return torch.cat([self.backbone(resized(one_CHW[None], FEATURE_SIDE))[-1].mean(dim=(2, 3)) for one_CHW in image_BCHW])
