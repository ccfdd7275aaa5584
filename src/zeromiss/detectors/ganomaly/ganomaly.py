"""The trained detector: anomalib's GANomaly, which redraws an image and compares what it thinks of both.

Akçay et al., arXiv:1805.06725, section 3. Score: the mean squared difference between the code of the image and the code of
its redrawing (anomalib's; the paper's is the L1 distance of its equation 5, scaled over a data set). The paper has no
map: here it is the mean absolute difference of image and redrawing over the channels, what the paper's contextual loss
is made of.

The networks see the image at `params.side` pixels in [-1, 1], the range of the generator's last layer, where anomalib's
pipeline gives them ImageNet's normalisation, which that layer cannot reach. The redrawing is brought back to the image's size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from zeromiss.detector_params import GanomalyParams
from zeromiss.detectors.base import Detection, Precision, Reconstruction
from zeromiss.detectors.peers.imports import anomalib, clearly, seeded

_CHANNELS = 3


class Ganomaly(nn.Module):
    """anomalib's `GanomalyModel`: encoder, decoder, second encoder, discriminator."""

    name = "ganomaly"
    score_names: tuple[str, ...] = ()
    image_metrics: tuple[str, ...] = ()

    def __init__(self, params: GanomalyParams, *, seed: int = 0) -> None:
        """Build the networks with weights drawn from `seed`; raises ZeromissError without anomalib."""
        super().__init__()
        torch_model = anomalib("models.image.ganomaly.torch_model")
        whole = 1 << (params.side - 1).bit_length()  # anomalib's model pads to the next power of two
        with clearly("building ganomaly", "check ganomaly.side, ganomaly.channels and ganomaly.latent"), seeded(seed):
            self.model = torch_model.GanomalyModel((whole, whole), _CHANNELS, params.channels, params.latent)
        self.params, self._pad = params, anomalib("data.utils.image").pad_nextpow2

    def seen(self, image_BCHW: Tensor) -> Tensor:
        """Return RGB images in [0, 1] as the networks see them: at `side` pixels, in [-1, 1]."""
        return 2 * resized(image_BCHW.float(), (self.params.side, self.params.side)) - 1

    @torch.no_grad()
    def reconstruct(self, image_BCHW: Tensor, precision: Precision = "fp32") -> Reconstruction:
        """Redraw RGB images in [0, 1] at their own size; in bf16 compute the networks."""
        if self.training:
            self.eval()
        low = torch.autocast(image_BCHW.device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
        with low, clearly("redrawing with ganomaly", "train the product anew"):
            drawn = [self._redrawn(one_CHW[None]) for one_CHW in self.seen(image_BCHW)]
        whole_BCHW = torch.cat(drawn).float()
        return Reconstruction(image_hat_BCHW=resized((whole_BCHW + 1) / 2, image_BCHW.shape[-2:]).clamp(0, 1))

    def _redrawn(self, seen_BCHW: Tensor) -> Tensor:
        """Return the generator's image in [-1, 1] without the padding that anomalib's model puts around it."""
        whole_BCHW = self.model.generator.decoder(self.model.generator.encoder1(self._pad(seen_BCHW)))
        side = self.params.side
        before = -(-(whole_BCHW.shape[-1] - side) // 2)  # of an odd number of lines the larger half lies before
        return whole_BCHW[..., before : before + side, before : before + side]

    @torch.no_grad()
    def score(self, image_BCHW: Tensor, reconstruction: Reconstruction) -> Detection:
        """Return anomalib's score of RGB images in [0, 1], always in fp32, and the mean absolute difference from the redrawing."""
        if self.training:
            self.eval()
        with torch.autocast(image_BCHW.device.type, enabled=False), clearly("judging with ganomaly", "train the product anew"):
            scores = [self.model(one_CHW[None]).pred_score.reshape(1) for one_CHW in self.seen(image_BCHW)]
        map_BHW = (image_BCHW.float() - reconstruction.image_hat_BCHW.float()).abs().mean(dim=1)
        return Detection(score_B=torch.cat(scores), map_BHW=map_BHW)


def resized(image_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Return images at another size, smoothed first where that is smaller."""
    if tuple(image_BCHW.shape[-2:]) == tuple(size):
        return image_BCHW
    return functional.interpolate(image_BCHW, size=tuple(size), mode="bilinear", antialias=True, align_corners=False)
