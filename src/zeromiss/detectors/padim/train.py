"""Fit PaDiM: one look at each normal image, then mean and covariance of every position; nothing is learned by steps."""

from time import monotonic
from typing import Unpack

import torch
from tqdm import tqdm

from zeromiss.detector_params import PadimParams
from zeromiss.detectors.batches import Images, generator_at
from zeromiss.detectors.images import floats
from zeromiss.detectors.loop import How, Trained, device
from zeromiss.detectors.padim.padim import Padim
from zeromiss.detectors.peers.features import load_features
from zeromiss.detectors.peers.imports import clearly
from zeromiss.errors import ZeromissError
from zeromiss.image_size import Size


def train(params: PadimParams, images: Images, *, size: Size, seed: int, **_how: Unpack[How]) -> Trained:
    """Fit on uint8 images (3, H, W) of `size`; the same seed gives the same statistics.

    A fit of minutes without steps: of `_how` it uses nothing and keeps no checkpoint (see `How`).
    Raises ZeromissError with fewer than two images, without the backbone's weights, or where anomalib refuses.
    """
    started = monotonic()
    chosen = drawn(len(images), params.images, seed)
    if len(chosen) < 2:
        raise ZeromissError(f"padim needs two normal images at least, for a covariance, and was given {len(chosen)}: ingest more")
    detector = Padim(params, size=size, seed=seed)
    load_features(detector.model.feature_extractor.feature_extractor, params.backbone, params.backbone_path)
    model = detector.to(device()).model
    with torch.no_grad(), clearly("fitting padim", "lower padim.images or padim.features"):
        model.training = True  # the flag alone: in this mode `forward` keeps the features of what it is shown
        for index in tqdm(chosen, desc="padim", unit="image", dynamic_ncols=True):
            model(detector.normalised(floats(images[index])[None].to(device())))
        model.fit()
        model.training = False
    return Trained(detector=detector.cpu(), history=[], seconds=monotonic() - started)


def drawn(images: int, most: int | None, seed: int) -> list[int]:
    """Return at most `most` different indices of so many images, drawn with the seed, in order; all where None."""
    order = torch.randperm(images, generator=generator_at(seed, 0, 0))
    return sorted(order[:most].tolist())
