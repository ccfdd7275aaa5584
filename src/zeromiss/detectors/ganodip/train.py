"""Train GanoDIP on images of normal parts: the WGAN, then the encoder; seeded, resumable, with curves."""

from typing import Unpack

import torch

from zeromiss.detector_params import GanodipParams
from zeromiss.detectors.batches import Batches, Images, mean_image
from zeromiss.detectors.ganodip.ganodip import Ganodip
from zeromiss.detectors.ganodip.learner import teach
from zeromiss.detectors.ganodip.loss import atanh_of
from zeromiss.detectors.ganodip.resize import signed
from zeromiss.detectors.loop import How, Trained
from zeromiss.image_size import Size


def train(params: GanodipParams, images: Images, *, size: Size, seed: int, **how: Unpack[How]) -> Trained:
    """Train on uint8 images (3, H, W) of `size`; the same seed gives the same weights.

    The networks keep to `params.side` whatever `size` is. The generator starts from the mean training image.
    Raises ZeromissError when the side does not fit the channels, there is no image, or a loss is no longer finite.
    """
    detector = Ganodip(params, seed=seed)
    batches = Batches(images, batch=params.batch, crop=None, seed=seed, steps=params.gan_steps + params.encoder_steps, name=detector.name)
    with torch.no_grad():
        mean_BCHW = signed(mean_image(images)[None].float() / 255, params.side)
        detector.networks.generator.base_CHW.copy_(atanh_of(mean_BCHW[0]))
    return teach(detector, batches, seed=seed, **how)
