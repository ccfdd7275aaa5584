"""Train f-AnoGAN on tiles cut at random places of images of normal parts; seeded, resumable, with curves."""

from pathlib import Path

from zeromiss.detector_params import FAnoganParams
from zeromiss.detectors.batches import Batches, Images
from zeromiss.detectors.f_anogan.f_anogan import FAnogan
from zeromiss.detectors.ganodip.learner import WganLearner
from zeromiss.detectors.loop import Curves, Trained, device, learn
from zeromiss.errors import ZeromissError


def train(
    params: FAnoganParams,
    images: Images,
    *,
    size: int,
    seed: int,
    log: Curves | None = None,
    checkpoint: Path | None = None,
    workers: int = 0,
    stop_after: int | None = None,
) -> Trained:
    """Train on uint8 images (3, size, size); the same seed gives the same weights.

    With `checkpoint` the training goes on from there. Raises ZeromissError when the tile is larger than the images or does
    not fit the channels, there is no image, or a loss is no longer finite.
    """
    if params.tile > size:
        raise ZeromissError(f"{FAnogan.name}.tile is {params.tile} but the images have {size} pixels a side: lower it or raise size")
    detector = FAnogan(params, seed=seed)
    steps = params.gan_steps + params.encoder_steps
    batches = Batches(images, batch=params.batch, crop=params.tile, seed=seed, steps=steps, name=detector.name)
    learner = WganLearner(detector.networks, params, seed=seed, device=device())
    history, seconds = learn(
        learner,
        batches,
        name=detector.name,
        steps=steps,
        checkpoint_every=params.checkpoint_every,
        log=log,
        checkpoint=checkpoint,
        workers=workers,
        stop_after=stop_after,
    )
    return Trained(detector=detector.cpu().requires_grad_(False).eval(), history=history, seconds=seconds)
