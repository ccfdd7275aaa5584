"""Fit the detector: two looks at the normal images and their references; nothing is learned by steps."""

from collections import Counter
from collections.abc import Iterator
from time import monotonic
from typing import Unpack

import torch
from torch import Tensor
from tqdm import tqdm

from zeromiss.backbones.differences import fit_differences
from zeromiss.backbones.load import load_backbone
from zeromiss.backbones.normal_variation import gaussians_kept
from zeromiss.detector_params import ReferenceParams
from zeromiss.detectors.batches import Contexts, Images
from zeromiss.detectors.images import floats
from zeromiss.detectors.loop import How, Trained
from zeromiss.detectors.reference.reference import Reference, Sizes
from zeromiss.errors import ZeromissError
from zeromiss.image_size import Size


def train(
    params: ReferenceParams, images: Images, *, size: Size, seed: int, contexts: Contexts, fixed: bool = True, **_how: Unpack[How]
) -> Trained:
    """Fit on uint8 images (3, H, W) of `size` and what comes with them; `params.strides` must be set. No number is drawn.

    With `fixed`, parts lie alike: one Gaussian a place, see `fit_differences`. Of `_how` it uses nothing (see `How`).
    Raises ZeromissError for fewer than two images, an image without a reference or one that cannot be laid over it.
    """
    started = monotonic()
    if len(images) < 2:
        raise ZeromissError(f"reference needs two normal images at least and was given {len(images)}: ingest more")
    backbone = load_backbone(params.backbone, params.backbone_path)
    sketch = Reference(params, backbone, Sizes(rows=1, columns=1, dims=1, place_dims=0))

    def cells(every: int) -> Iterator[Tensor]:
        """Yield the differences of every n-th image from its reference."""
        for index in tqdm(range(0, len(images), every), desc="reference", unit="image", dynamic_ncols=True):
            with torch.inference_mode():
                yield sketch.difference(floats(images[index]), contexts[index])[0]

    designs = contexts.designs
    differences, told = fit_differences(cells, strides=params.strides, designs=designs, fixed=fixed)
    print(f"differences from references: {told}, from {len(images)} images")
    placed = gaussians_kept(Counter(designs)) if differences.places is not None else [""]
    rows, columns = next(cells(len(images))).shape[:2]
    dims = differences.places[placed[0]].factor_hwJJ.shape[-1] if differences.places is not None else 0
    detector = Reference(params, backbone, Sizes(rows=rows, columns=columns, dims=differences.whitening.dims, place_dims=dims), placed=placed)
    detector.take(differences)
    return Trained(detector=detector, history=[], seconds=monotonic() - started)
