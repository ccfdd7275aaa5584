"""The trained detector: anomalib's PaDiM, judged with the score and the map of its own.

Defard et al., arXiv:2011.08785, sections III-A to III-C: features of several depths of a frozen backbone, put side by
side at each position, a random choice of their channels, and the Mahalanobis distance from the normal distribution of
that position. Parts must lie alike in all images. Score: the largest value of the smoothed map.
"""

import torch

from zeromiss.detector_params import PadimParams
from zeromiss.detectors.peers.imports import anomalib, clearly, seeded
from zeromiss.detectors.peers.judge import FeatureDetector
from zeromiss.image_size import ImageSize, Size


class Padim(FeatureDetector):
    """anomalib's `PadimModel` for images of one size."""

    name = "padim"

    def __init__(self, params: PadimParams, *, size: Size, seed: int = 0) -> None:
        """Build the model without weights or statistics; `seed` chooses the channels.

        Raises ZeromissError without anomalib, or for a backbone, layers or a number of channels that it cannot have.
        """
        torch_model, extractors = anomalib("models.image.padim.torch_model"), anomalib("models.components.feature_extractors")
        layers = list(params.layers)
        with clearly("building padim", "check padim.backbone, padim.layers and padim.features"), seeded(seed):
            model = torch_model.PadimModel(backbone=params.backbone, layers=layers, pre_trained=False, n_features=params.features)
            grid = extractors.dryrun_find_featuremap_dims(model.feature_extractor, ImageSize.of(size).shape, layers)[layers[0]]["resolution"]
        positions = grid[0] * grid[1]
        model.gaussian.mean = torch.zeros(params.features, positions)  # as large as what `fit` will put there
        model.gaussian.inv_covariance = torch.zeros(positions, params.features, params.features)
        super().__init__(model, backbone=params.backbone, size=size)
        self.params = params
