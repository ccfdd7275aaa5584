"""The trained detector: redraw patch by patch, look at the error with a pretrained network, compare with the training images.

Axes: B images, N training images, F features, C channels, H and W pixels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from zeromiss.backbones.base import Backbone
from zeromiss.detector_params import CpcaeParams
from zeromiss.detectors.base import Detection, Precision, Reconstruction
from zeromiss.detectors.cpcae.loss import squared_error
from zeromiss.detectors.cpcae.network import Autoencoder
from zeromiss.detectors.cpcae.patches import conditions, extract, reproject
from zeromiss.detectors.cpcae.score import Standard, error_image, error_map, fit_standard, neighbour_distance, parallel_cascade_pool
from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize, Size

AE_L2 = "ae_l2"
_POOLED = 3  # features a channel of the backbone's last map


def shrunken(size: Size, params: CpcaeParams) -> ImageSize:
    """Return the size of the images that the autoencoder sees; raises ZeromissError when no patch fits."""
    small = ImageSize(*(round(side / params.downsize) for side in (ImageSize.of(size).width, ImageSize.of(size).height)))
    if small.shorter < params.patch:
        raise ZeromissError(
            f"cpcae.patch is {params.patch} but images of {size} pixels, downsized {params.downsize:g} times, have {small}: lower one of the two"
        )
    return small


def downsized(image_BCHW: Tensor, size: Size) -> Tensor:
    """Return images brought to another size, each pixel the mean of what it stands for."""
    return functional.interpolate(image_BCHW, size=ImageSize.of(size).shape, mode="bilinear", antialias=True)


class Cpcae(nn.Module):
    """Autoencoder, frozen backbone and the embeddings of the training images (paper 4, section 3)."""

    name = "cpcae"
    score_names: tuple[str, ...] = (AE_L2,)
    image_metrics: tuple[str, ...] = ()

    def __init__(self, params: CpcaeParams, backbone: Backbone, *, size: Size, images: int = 0, seed: int = 0) -> None:
        """Build the autoencoder with weights drawn from `seed`; the global generator is left alone.

        Judges images of `size`; keeps the embeddings of `images` training images, which are zero until they
        are learned. Raises ZeromissError when patches and image do not go together.
        """
        super().__init__()
        self.params, self.size = params, ImageSize.of(size)
        self.small = shrunken(size, params)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.autoencoder = Autoencoder(params.patch, params.channels, params.code)
        self.backbone = backbone
        features = _POOLED * backbone.channels[-1]
        self.register_buffer("mean_F", torch.zeros(features))
        self.register_buffer("scale_F", torch.ones(features))
        self.register_buffer("memory_NF", torch.zeros(images, features))

    def redraw(self, image_CHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return one image redrawn, (C, H, W) in [0, 1], and the codes of its patches, (patches, code)."""
        if tuple(image_CHW.shape[-2:]) != self.size.shape:
            raise ZeromissError(
                f"the patch autoencoder learned images of {self.size} pixels and is given {image_CHW.shape[-1]} x {image_CHW.shape[-2]}: "
                "judge images at the product's size, or train it anew"
            )
        patch_NCPP = extract(downsized(image_CHW[None], self.small)[0], self.params.patch, self.params.patch_step)
        drawn_NCPP, code_ND = self.autoencoder(patch_NCPP, conditions(len(patch_NCPP)).to(patch_NCPP.device))
        small_CHW = reproject(drawn_NCPP, *self.small.shape, self.params.patch_step)
        whole_BCHW = functional.interpolate(small_CHW[None], size=self.size.shape, mode="bilinear")
        return whole_BCHW[0].clamp(0, 1), code_ND

    @torch.no_grad()
    def reconstruct(self, image_BCHW: Tensor, precision: Precision = "fp32") -> Reconstruction:
        """Redraw RGB images in [0, 1] of the product's size, each by itself: repeatable bit for bit.

        In fp32 whatever `precision` says: the remembered error maps are, and rounding would look like an error.
        """
        with _exact(image_BCHW):
            redrawn = [self.redraw(image_CHW.float())[0] for image_CHW in image_BCHW]
        return Reconstruction(image_hat_BCHW=torch.stack(redrawn))

    @torch.no_grad()
    def score(self, image_BCHW: Tensor, reconstruction: Reconstruction) -> Detection:
        """Judge images beside their reconstruction.

        Score: mean squared distance of the error map's embedding to the k nearest of the training images (equation 4).
        Map: |x - x_hat| averaged over channels. `ae_l2`: the summed squared error (equation 2), a baseline of the paper.
        """
        image_BCHW, image_hat_BCHW = image_BCHW.float(), reconstruction.image_hat_BCHW
        standard = Standard(mean_F=self.mean_F, scale_F=self.scale_F)
        embedding_BF = standard(self.embed(error_image(image_BCHW, image_hat_BCHW)))
        return Detection(
            score_B=neighbour_distance(embedding_BF, self.memory_NF, self.params.neighbors),
            map_BHW=error_map(image_BCHW, image_hat_BCHW),
            scores={AE_L2: squared_error(image_BCHW, image_hat_BCHW)},
        )

    @torch.no_grad()
    def embed(self, error_BCHW: Tensor) -> Tensor:
        """Return the pooled features of error images, (B, F), each by itself, not yet standardised."""
        with _exact(error_BCHW):
            return torch.cat([parallel_cascade_pool(self.backbone(error_CHW[None])[-1]) for error_CHW in error_BCHW])

    def remember(self, embedding_NF: Tensor) -> None:
        """Keep the embeddings of the training images' error maps: what later ones are standardised by and compared with."""
        standard = fit_standard(embedding_NF)
        self.mean_F, self.scale_F = standard.mean_F, standard.scale_F
        self.memory_NF = standard(embedding_NF)


def _exact(image_BCHW: Tensor) -> torch.autocast:
    """Return a context in which nothing is computed in less than fp32."""
    return torch.autocast(image_BCHW.device.type, enabled=False)
