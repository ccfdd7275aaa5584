"""The trained detector: anomalib's PatchCore, judged with the score and the map of its own.

Roth et al., arXiv:2106.08265, sections 3.1 to 3.3: features of the middle depths of a frozen backbone, averaged over
3 x 3 positions, compared with a coreset of normal ones. Map: the distance of each position from its nearest neighbour
there, smoothed. Score: the largest distance, weighed by how usual that neighbour is. The search goes through 1,024
positions at a time (anomalib's own), so its memory is 1,024 times the coreset whatever the image's size.

The published form chooses the coreset, 1 to 25 % of it, from every position of every training image: for 300 images of
256 pixels 300,000 vectors, one pass over all of them for each one kept, hours without a GPU. Here the choice is made
among at most `patches` positions, drawn evenly with the seed. What that gives up: the coreset then covers the drawn
positions as tightly as it can, not all, so a rare normal look that was not drawn stands further off: false alarms. What
it keeps is still real normal positions and nothing else, so nothing abnormal comes nearer by it.
"""

import torch

from zeromiss.detector_params import PatchcoreParams
from zeromiss.detectors.peers.imports import anomalib, clearly, seeded
from zeromiss.detectors.peers.judge import FeatureDetector
from zeromiss.image_size import Size


class Patchcore(FeatureDetector):
    """anomalib's `PatchcoreModel` for images of one size."""

    name = "patchcore"

    def __init__(self, params: PatchcoreParams, *, size: Size, kept: int = 1) -> None:
        """Build the model without weights, with room for a coreset of `kept` positions.

        Raises ZeromissError without anomalib, or for a backbone or layers that it cannot have.
        """
        torch_model = anomalib("models.image.patchcore.torch_model")
        with clearly("building patchcore", "check patchcore.backbone and patchcore.layers"), seeded(0):
            model = torch_model.PatchcoreModel(
                layers=list(params.layers), backbone=params.backbone, pre_trained=False, num_neighbors=params.neighbours
            )
            model.memory_bank = torch.zeros(kept, sum(model.feature_extractor.out_dims))
        super().__init__(model, backbone=params.backbone, size=size)
        self.params = params

    @property
    def kept(self) -> int:
        """The positions of the coreset."""
        return len(self.model.memory_bank)
