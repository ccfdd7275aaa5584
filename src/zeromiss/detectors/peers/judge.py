"""How an image is judged by a model of anomalib that compares features: one image at a time, so each for itself, bit for bit."""

import torch
from torch import Tensor, nn

from zeromiss.detectors.base import Detection
from zeromiss.detectors.peers.features import normalisation
from zeromiss.detectors.peers.imports import clearly
from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize, Size


class FeatureDetector(nn.Module):
    """A model of anomalib behind an image's normalisation; frozen, always in evaluation mode, without state that judging changes."""

    name: str
    score_names: tuple[str, ...] = ()

    def __init__(self, model: nn.Module, *, backbone: str, size: Size) -> None:
        """Hold a model built for images of one size and the normalisation that its backbone was taught with."""
        super().__init__()
        mean_C11, std_C11 = normalisation(backbone)
        self.register_buffer("mean_C11", mean_C11, persistent=False)
        self.register_buffer("std_C11", std_C11, persistent=False)
        self.model, self.size = model, ImageSize.of(size)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "FeatureDetector":
        """Stay in evaluation mode: in training mode anomalib's models collect what they see."""
        return super().train(False)

    def normalised(self, image_BCHW: Tensor) -> Tensor:
        """Return RGB images in [0, 1] as the backbone sees them; raises ZeromissError for another size than was taught."""
        if tuple(image_BCHW.shape[-2:]) != self.size.shape:
            rows, columns = image_BCHW.shape[-2:]
            raise ZeromissError(f"{self.name} learned images of {self.size} pixels, this one has {columns} x {rows}: judge it at that size")
        return (image_BCHW.float() - self.mean_C11) / self.std_C11

    @torch.no_grad()
    def detect(self, image_BCHW: Tensor) -> Detection:
        """Return anomalib's own score and map of RGB images in [0, 1]; higher = more abnormal, the map >= 0 at the images' size."""
        with torch.autocast(image_BCHW.device.type, enabled=False), clearly(f"judging with {self.name}", "train the product anew"):
            found = [self.model(one_CHW[None]) for one_CHW in self.normalised(image_BCHW)]
        return Detection(
            score_B=torch.cat([one.pred_score.reshape(1) for one in found]),
            map_BHW=torch.cat([one.anomaly_map.reshape(1, *self.size.shape) for one in found]).clamp(min=0),
        )
