"""The trained detector: anomalib's EfficientAD, judged with the score and the map of its own.

Batzner et al., arXiv:2303.14535, sections 3.2 to 3.4 (in the project's papers: the report on SimpleNet, its comparison with
EfficientAD). A student imitates a teacher's features on normal images, and an autoencoder learns to say what the whole
image leads one to expect of them. Both distances, each scaled so that 90 % of normal positions lie below 0 and 99.5 % below
0.1, are averaged into the map; the score is its largest value.

The networks see the image at `params.side` pixels. anomalib's autoencoder needs 256, and gets the same image enlarged.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from zeromiss.detector_params import EfficientadParams
from zeromiss.detectors.base import Detection
from zeromiss.detectors.peers.imports import anomalib, clearly, seeded

_AUTOENCODER_SIDE = 256  # pixels a side that anomalib's encoder brings down to one cell


class Enlarging(nn.Module):
    """An autoencoder of anomalib that also takes images too small for it."""

    def __init__(self, inner: nn.Module) -> None:
        """Wrap anomalib's autoencoder."""
        super().__init__()
        self.inner = inner

    def forward(self, image_BCHW: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Return what `inner` says of the image at 256 pixels a side at least, as many cells as `image_size` asks for."""
        enough_BCHW = image_BCHW.view(-1, *image_BCHW.shape[-3:])  # anomalib passes single images without a first axis too
        if enough_BCHW.shape[-1] < _AUTOENCODER_SIDE:
            enough_BCHW = to_side(enough_BCHW, _AUTOENCODER_SIDE)
        return self.inner(enough_BCHW, image_size)


class Efficientad(nn.Module):
    """anomalib's `EfficientAd` with its torch model: teacher, student, autoencoder, channel statistics and quantiles."""

    name = "efficientad"
    score_names: tuple[str, ...] = ()

    def __init__(self, params: EfficientadParams, *, seed: int = 0) -> None:
        """Build the networks with weights drawn from `seed`; raises ZeromissError without anomalib."""
        super().__init__()
        lightning_model = anomalib("models.image.efficient_ad.lightning_model")
        bare = dict.fromkeys(("pre_processor", "post_processor", "evaluator", "visualizer"), False)
        with clearly("building efficientad", "check efficientad.network and efficientad.channels"), seeded(seed):
            self.peer = lightning_model.EfficientAd(teacher_out_channels=params.channels, model_size=params.network, **bare)
            self.peer.model.ae = Enlarging(self.peer.model.ae)
        self.params = params

    @property
    def model(self) -> nn.Module:
        """anomalib's torch model."""
        return self.peer.model

    @torch.no_grad()
    def detect(self, image_BCHW: Tensor) -> Detection:
        """Return anomalib's score and map of RGB images in [0, 1]: higher = more abnormal.

        The map is at the images' size and raised by a constant, the least that anomalib's can be, so that it is >= 0.
        """
        if self.training:
            self.eval()
        size = image_BCHW.shape[-2:]
        with torch.autocast(image_BCHW.device.type, enabled=False), clearly("judging with efficientad", "train the product anew"):
            found = [self.model(to_side(one_CHW[None].float(), self.params.side)) for one_CHW in image_BCHW]
        map_BCHW = torch.cat([one.anomaly_map for one in found]) - self.lowest()
        laid_BCHW = functional.interpolate(map_BCHW, size=size, mode="bilinear", align_corners=False)
        return Detection(score_B=torch.cat([one.pred_score.reshape(1) for one in found]), map_BHW=laid_BCHW[:, 0].clamp(min=0))

    def lowest(self) -> Tensor:
        """Return the least value that anomalib's scaled map can take: where both distances are 0."""
        q = self.model.quantiles
        return -0.05 * (q["qa_st"] / (q["qb_st"] - q["qa_st"]) + q["qa_ae"] / (q["qb_ae"] - q["qa_ae"]))


def to_side(image_BCHW: Tensor, side: int) -> Tensor:
    """Return images at `side` pixels a side, smoothed first where that is fewer."""
    if tuple(image_BCHW.shape[-2:]) == (side, side):
        return image_BCHW
    return functional.interpolate(image_BCHW, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
