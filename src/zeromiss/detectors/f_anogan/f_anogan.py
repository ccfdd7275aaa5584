"""The trained detector: cut an image into tiles, encode and generate each, judge each by f-AnoGAN's score.

Axes: B images, C channels, H and W pixels, T tiles of one image, t pixels a side of a tile.
"""

import torch
from torch import Tensor, nn

from zeromiss.detector_params import FAnoganParams
from zeromiss.detectors.base import Detection, Precision, Reconstruction
from zeromiss.detectors.f_anogan.score import image_score, tile_scores
from zeromiss.detectors.f_anogan.tiles import cut, put_together
from zeromiss.detectors.ganodip.loss import feature_residual, residual
from zeromiss.detectors.ganodip.network import Networks
from zeromiss.detectors.ganodip.resize import signed


class FAnogan(nn.Module):
    """Generator, critic and encoder of tiles, frozen; an image's tiles go through them together, other images' never."""

    name = "f_anogan"
    score_names: tuple[str, ...] = ("mean_tile", "feature")  # mean of the tiles' scores; the worst tile's distance in the critic's features
    image_metrics = ("critic", "critic_hat")  # mean over tiles

    def __init__(self, params: FAnoganParams, *, seed: int = 0) -> None:
        """Build the networks with weights drawn from `seed`; raises ZeromissError when the tile does not fit the channels."""
        super().__init__()
        self.params = params
        self.networks = Networks(params, params.tile, name=self.name, seed=seed)

    @torch.no_grad()
    def reconstruct(self, image_BCHW: Tensor, precision: Precision = "fp32") -> Reconstruction:
        """Return images in [0, 1], no smaller than a tile, put together from G(E(tile)); in bf16 the generator is rounded."""
        image_hat_BCHW = torch.stack([self._redrawn(image_CHW.float(), precision) for image_CHW in image_BCHW])
        critic_B, critic_hat_B = (torch.stack([self._critic(one_CHW) for one_CHW in images]) for images in (image_BCHW, image_hat_BCHW))
        return Reconstruction(image_hat_BCHW=image_hat_BCHW, critic_B=critic_B, critic_hat_B=critic_hat_B)

    @torch.no_grad()
    def score(self, image_BCHW: Tensor, reconstruction: Reconstruction) -> Detection:
        """Return the worst tile's residual + kappa * feature residual, and each pixel's squared error, its mean over channels."""
        image_hat_BCHW = reconstruction.image_hat_BCHW.float()
        scores = [self._scores(*pair) for pair in zip(image_BCHW.float(), image_hat_BCHW, strict=True)]
        score_B, mean_B, feature_B = (torch.stack(column) for column in zip(*scores, strict=True))
        map_BHW = (image_BCHW.float() - image_hat_BCHW).square().mean(dim=1)
        return Detection(score_B=score_B, map_BHW=map_BHW, scores={"mean_tile": mean_B, "feature": feature_B})

    def _tiles(self, image_CHW: Tensor) -> Tensor:
        """Return an image's tiles (T, C, t, t) as the networks see them."""
        return signed(cut(image_CHW.float(), self.params.tile), self.params.tile)

    def _redrawn(self, image_CHW: Tensor, precision: Precision) -> Tensor:
        """Return the reconstruction of one image, in [0, 1]."""
        latent_TZ = self.networks.encoder(self._tiles(image_CHW))
        with torch.autocast(image_CHW.device.type, dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            signed_hat_TCtt = self.networks.generator(latent_TZ)
        return put_together((signed_hat_TCtt.float() + 1) / 2, *image_CHW.shape[1:]).clamp(0, 1)

    def _scores(self, image_CHW: Tensor, image_hat_CHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the score of one image, the mean of its tiles' scores and the largest feature residual, scalars."""
        tiles = [self._tiles(one_CHW) for one_CHW in (image_CHW, image_hat_CHW)]
        feature_T = feature_residual(*(self.networks.critic.features(tile_TCtt) for tile_TCtt in tiles))
        score_T = tile_scores(residual(*tiles), feature_T, self.params.kappa)
        return image_score(score_T), score_T.mean(), feature_T.max()

    def _critic(self, image_CHW: Tensor) -> Tensor:
        """Return the mean of D over an image's tiles, a scalar; higher = more real."""
        return self.networks.critic(self._tiles(image_CHW)).mean()
