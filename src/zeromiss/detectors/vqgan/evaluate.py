"""How well a trained VQGAN repaints normal images it has not seen, and how it uses its codes."""

from collections.abc import Iterable

import torch
from torch import Tensor

from zeromiss.detectors.vqgan.codebook import usage
from zeromiss.detectors.vqgan.loss import psnr
from zeromiss.detectors.vqgan.vqgan import Vqgan


def mean_psnr(vqgan: Vqgan, images_CHW: Iterable[Tensor]) -> float | None:
    """Return the mean PSNR in dB of reconstructions of images in [0, 1]; None without images."""
    values = [psnr(image, vqgan.reconstruct(image[None]).image_hat_BCHW[0]) for image in images_CHW]
    return sum(values) / len(values) if values else None


def code_usage(vqgan: Vqgan, images_CHW: Iterable[Tensor]) -> tuple[float, float]:
    """Return the share of codes that these images in [0, 1] use, and the codes' perplexity."""
    return usage(code_counts(vqgan, images_CHW))


@torch.no_grad()
def code_counts(vqgan: Vqgan, images_CHW: Iterable[Tensor]) -> Tensor:
    """Return how many latent cells of these images in [0, 1] each code stands for, (codes,) int64."""
    counts_K = torch.zeros(vqgan.params.codes, dtype=torch.int64)
    for image_CHW in images_CHW:
        fitted_BCHW = vqgan.fit(image_CHW[None])
        codes_Bhw = vqgan.quantise(vqgan.encode(fitted_BCHW, vqgan.template(fitted_BCHW))).codes_Bhw
        counts_K += torch.bincount(codes_Bhw.flatten(), minlength=len(counts_K))
    return counts_K
