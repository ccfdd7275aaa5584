"""Train EfficientAD on images of normal parts: a teacher, a student and an autoencoder, and the scale of their maps."""

from typing import Unpack

import torch
from torch.utils.data import Subset

from zeromiss.backbones.base import load_strictly, read_weights
from zeromiss.detector_params import EfficientadParams
from zeromiss.detectors.batches import Batches, Images, generator_at
from zeromiss.detectors.efficientad.efficientad import Efficientad
from zeromiss.detectors.efficientad.learner import Learner, Shown, teacher_steps
from zeromiss.detectors.loop import How, Trained, learn
from zeromiss.detectors.peers.imports import clearly, seeded
from zeromiss.errors import ZeromissError
from zeromiss.image_size import Size

_SPLIT = 4  # purpose of the draw; 1 to 3 are the learner's


def train(params: EfficientadParams, images: Images, *, size: Size, seed: int, **how: Unpack[How]) -> Trained:
    """Train on uint8 images (3, H, W) of `size`; the same seed gives the same weights.

    A share of the images is held out, drawn with the seed: no weight learns from it, and its maps set the scale.
    With `params.teacher_path` the teacher is the one in that file, else it is distilled from the backbone first.
    Raises ZeromissError with fewer than two images, without a file that is named, when a loss is no longer finite, or
    where all held-out maps are alike.
    """
    taught, held = split(images, params.held_out, seed)
    detector = Efficientad(params, seed=seed)
    if params.teacher_path:
        load_strictly(detector.model.teacher, read_weights(params.teacher_path), origin=params.teacher_path)
    learner = Learner(detector, taught, seed=seed)
    steps = teacher_steps(params) + params.steps
    batches = Batches(taught, batch=params.batch, crop=None, seed=seed, steps=steps, name="efficientad")
    history, seconds = learn(
        learner, batches, name="efficientad", steps=steps, checkpoint_every=params.checkpoint_every,
        **how,
    )
    detector.eval()
    stop_after = how.get("stop_after")
    if stop_after is None or stop_after >= steps:
        scale(detector, held, seed)
    return Trained(detector=detector.cpu(), history=history, seconds=seconds)


def split(images: Images, share: float, seed: int) -> tuple[Subset, Subset]:
    """Return the images that teach and the share held out, one at least of each, drawn with the seed.

    Raises ZeromissError with fewer than two.
    """
    if len(images) < 2:
        raise ZeromissError(f"efficientad needs two normal images at least, one of them to scale its maps, and was given {len(images)}: ingest more")
    held = min(max(1, round(share * len(images))), len(images) - 1)
    order = torch.randperm(len(images), generator=generator_at(seed, 0, _SPLIT)).tolist()
    return Subset(images, sorted(order[held:])), Subset(images, sorted(order[:held]))


def scale(detector: Efficientad, held: Images, seed: int) -> None:
    """Let anomalib scale both maps by quantiles over the held-out images: 90 % of positions below 0, 99.5 % below 0.1.

    Raises ZeromissError where the two quantiles are one.
    """
    with clearly("scaling efficientad's maps", "lower efficientad.held_out"), seeded(seed):
        quantiles = detector.peer.map_norm_quantiles(Shown(held, detector.params.side))
    for kind in ("st", "ae"):
        if not bool(quantiles[f"qb_{kind}"] > quantiles[f"qa_{kind}"]):
            raise ZeromissError("efficientad's maps of the held-out images are alike everywhere: check what they show, or raise efficientad.steps")
    detector.model.quantiles.update(quantiles)
