"""The trained detector: encode, generate, compare in intermediate patches (paper 2, section 5.2).

The networks work at `params.side` pixels; the reconstruction is brought to the image's size and compared there, patch
by patch, as the paper does.
Axes: B images, C channels, H and W pixels.
"""

import torch
from torch import Tensor, nn

from zeromiss.detector_params import GanodipParams
from zeromiss.detectors.base import Detection, Precision, Reconstruction
from zeromiss.detectors.ganodip.loss import feature_residual
from zeromiss.detectors.ganodip.network import Networks
from zeromiss.detectors.ganodip.resize import resized, signed
from zeromiss.detectors.ganodip.score import laid_back, patch_errors, worst_mean


class Ganodip(nn.Module):
    """Generator, critic and encoder, frozen."""

    name = "ganodip"
    score_names: tuple[str, ...] = ("feature",)  # what equation 2 weighs by kappa: distance in the critic's features
    image_metrics = ("critic", "critic_hat")

    def __init__(self, params: GanodipParams, *, seed: int = 0) -> None:
        """Build the networks with weights drawn from `seed`; raises ZeromissError when the side does not fit the channels."""
        super().__init__()
        self.params = params
        self.networks = Networks(params, params.side, name=self.name, seed=seed)

    @torch.no_grad()
    def reconstruct(self, image_BCHW: Tensor, precision: Precision = "fp32") -> Reconstruction:
        """Return G(E(x)) of images in [0, 1], one at a time, so that none depends on its batch; in bf16 the generator is rounded."""
        image_hat_BCHW = torch.cat([self._redrawn(image_CHW[None].float(), precision) for image_CHW in image_BCHW])
        return Reconstruction(image_hat_BCHW=image_hat_BCHW, critic_B=self._critic(image_BCHW), critic_hat_B=self._critic(image_hat_BCHW))

    @torch.no_grad()
    def score(self, image_BCHW: Tensor, reconstruction: Reconstruction) -> Detection:
        """Return the mean error of the worst patches (equation 3) and every patch's error on its pixels."""
        patch, (rows, columns) = self.params.patch, image_BCHW.shape[-2:]
        errors_Bhw = patch_errors(image_BCHW.float(), reconstruction.image_hat_BCHW.float(), patch)
        features = [self._features(images_BCHW) for images_BCHW in (image_BCHW, reconstruction.image_hat_BCHW)]
        return Detection(
            score_B=worst_mean(errors_Bhw, self.params.alpha),
            map_BHW=laid_back(errors_Bhw, patch, rows, columns),
            scores={"feature": feature_residual(*features)},
        )

    def _redrawn(self, image_1CHW: Tensor, precision: Precision) -> Tensor:
        """Return the reconstruction of one image, in [0, 1] at the image's size."""
        networks = self.networks
        latent_1Z = networks.encoder(signed(image_1CHW, networks.side))
        with torch.autocast(image_1CHW.device.type, dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            signed_hat_1CHW = networks.generator(latent_1Z)
        image_hat_1CHW = resized((signed_hat_1CHW.float() + 1) / 2, image_1CHW.shape[-2:])
        return image_hat_1CHW.clamp(0, 1).contiguous()

    def _features(self, image_BCHW: Tensor) -> Tensor:
        """Return f (B, F) of images in [0, 1], one at a time."""
        critic, side = self.networks.critic, self.networks.side
        return torch.cat([critic.features(signed(image_CHW[None].float(), side)) for image_CHW in image_BCHW])

    def _critic(self, image_BCHW: Tensor) -> Tensor:
        """Return D (B,) of images in [0, 1], one at a time; higher = more real."""
        return torch.cat([self.networks.critic.out(features_F[None])[0] for features_F in self._features(image_BCHW)])
