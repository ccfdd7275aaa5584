"""Train GANomaly on images of normal parts: seeded, resumable, with curves."""

from typing import Unpack

from zeromiss.detector_params import GanomalyParams
from zeromiss.detectors.batches import Batches, Images
from zeromiss.detectors.ganomaly.ganomaly import Ganomaly
from zeromiss.detectors.ganomaly.learner import Learner
from zeromiss.detectors.loop import How, Trained, learn
from zeromiss.image_size import Size


def train(params: GanomalyParams, images: Images, *, size: Size, seed: int, **how: Unpack[How]) -> Trained:
    """Train on uint8 images (3, H, W) of `size`; the same seed gives the same weights.

    Raises ZeromissError without images or when a loss is no longer finite.
    """
    detector = Ganomaly(params, seed=seed)
    batches = Batches(images, batch=params.batch, crop=None, seed=seed, steps=params.steps, name="ganomaly")
    history, seconds = learn(
        Learner(detector), batches, name="ganomaly", steps=params.steps, checkpoint_every=params.checkpoint_every,
        **how,
    )
    return Trained(detector=detector.eval().cpu(), history=history, seconds=seconds)
