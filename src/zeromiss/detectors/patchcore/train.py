"""Fit PatchCore: one look at each normal image, positions drawn on the way, then anomalib's greedy choice among these.

Axes: N positions, D channels.
"""

from time import monotonic
from typing import Unpack

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from zeromiss.detector_params import PatchcoreParams
from zeromiss.detectors.batches import Images, generator_at
from zeromiss.detectors.images import floats
from zeromiss.detectors.loop import How, Trained, device
from zeromiss.detectors.patchcore.patchcore import Patchcore
from zeromiss.detectors.peers.features import load_features
from zeromiss.detectors.peers.imports import anomalib, clearly, seeded
from zeromiss.errors import ZeromissError
from zeromiss.image_size import Size

_DISTORTION = 0.9  # of the random projection in which distances are compared (Roth et al., section 3.2); anomalib's own value


def train(params: PatchcoreParams, images: Images, *, size: Size, seed: int, **_how: Unpack[How]) -> Trained:
    """Fit on uint8 images (3, H, W) of `size`; the same seed gives the same coreset.

    A fit of minutes without steps: of `_how` it uses nothing and keeps no checkpoint (see `How`).
    Raises ZeromissError without images, without the backbone's weights, or where anomalib refuses.
    """
    started = monotonic()
    if len(images) == 0:
        raise ZeromissError("no normal image to train on: ingest some, or raise manifest.train")
    detector = Patchcore(params, size=size)
    load_features(detector.model.feature_extractor.feature_extractor, params.backbone, params.backbone_path)
    detector.to(device())
    with torch.no_grad(), clearly("fitting patchcore", "lower patchcore.patches"):
        positions_ND = _positions(detector, images, params.patches, seed)
        detector.model.memory_bank = coreset(positions_ND, params.share, seed)
    return Trained(detector=detector.cpu(), history=[], seconds=monotonic() - started)


def _positions(detector: Patchcore, images: Images, most: int | None, seed: int) -> Tensor:
    """Return the features of at most `most` positions over all images, drawn evenly with the seed; all where None."""
    positions_ND, chosen_N, each = torch.empty(0), torch.empty(0), 0
    detector.model.training = True  # the flag alone: in this mode `forward` gives the features
    for index in tqdm(range(len(images)), desc="patchcore", unit="image", dynamic_ncols=True):
        found_ND = detector.model(detector.normalised(floats(images[index])[None].to(device())))
        detector.model.embedding_store.clear()
        if index == 0:
            each = len(found_ND)
            chosen_N = torch.randperm(each * len(images), generator=generator_at(seed, 0, 0))[:most].sort().values
            positions_ND = found_ND.new_empty(len(chosen_N), found_ND.shape[1])  # at once: small pieces kept would tear the memory
        first, last = (int(torch.searchsorted(chosen_N, (index + side) * each)) for side in (0, 1))
        positions_ND[first:last] = found_ND[(chosen_N[first:last] - index * each).to(found_ND.device)]
    detector.model.training = False
    return positions_ND


def coreset(positions_ND: Tensor, share: float, seed: int) -> Tensor:
    """Return the share of the positions that anomalib's k-center greedy keeps, at least one, the same for the same seed."""
    sampling = anomalib("models.components")
    with seeded(seed):
        greedy = sampling.KCenterGreedy(embedding=positions_ND, sampling_ratio=max(share, 1.5 / len(positions_ND)))
        draws = np.random.RandomState(seed)  # anomalib's own would come from numpy's global generator
        greedy.model = sampling.SparseRandomProjection(eps=_DISTORTION, random_state=draws)
        return greedy.sample_coreset().contiguous()
