"""Train f-AnoGAN on tiles cut at random places of images of normal parts; seeded, resumable, with curves."""

from typing import Unpack

from zeromiss.detector_params import FAnoganParams
from zeromiss.detectors.batches import Batches, Images
from zeromiss.detectors.f_anogan.f_anogan import FAnogan
from zeromiss.detectors.ganodip.learner import teach
from zeromiss.detectors.loop import How, Trained
from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize, Size


def train(params: FAnoganParams, images: Images, *, size: Size, seed: int, **how: Unpack[How]) -> Trained:
    """Train on uint8 images (3, H, W) of `size`; the same seed gives the same weights.

    Raises ZeromissError when the tile is larger than the images or does not fit the channels, there is no image, or a
    loss is no longer finite.
    """
    if params.tile > ImageSize.of(size).shorter:
        raise ZeromissError(f"{FAnogan.name}.tile is {params.tile} but the images have {size} pixels: lower it or raise size")
    detector = FAnogan(params, seed=seed)
    batches = Batches(images, batch=params.batch, crop=params.tile, seed=seed, steps=params.gan_steps + params.encoder_steps, name=detector.name)
    return teach(detector, batches, seed=seed, **how)
