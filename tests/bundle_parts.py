"""Real bundles without training: drawn parts, an untrained network, measured by the project's own code."""

import numpy as np
from PIL import Image

from zeromiss.image_size import ImageSize

SIZE = ImageSize(96, 64)  # no square, so that rows and columns are never taken for each other

THRESHOLD = {
    "value": 0.4, "rule": "zfn", "n_defects": 63, "n_candidates": 12,
    "miss_rate_bound_95": 0.046, "next_defect_miss_bound": 0.0156, "bound_is": "descriptive",
}  # fmt: skip


def draw(path, seed, bar=False):
    """Write a grey image with grain, and a bright bar where wanted."""
    pixels = np.linspace(80, 120, SIZE.width)[None].repeat(SIZE.height, 0) + np.random.default_rng(seed).normal(0, 2, SIZE.shape)
    if bar:
        pixels[20:30, 30:34] = 230
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, format="PNG")
    return path


def write_real_bundle(folder, images, *, threshold=THRESHOLD, family="nb", masked=False, reads="."):
    """Write a bundle of the product tiny as the pipeline packs it and return it; the second half of the images are its defects.

    Its classifier is of one family, with default parameters, and reads the columns that the pattern `reads` is found in;
    `masked`: with a drawn mask of normal variation.
    """
    import pandas as pd
    import torch

    from zeromiss.backbones.load import load_backbone
    from zeromiss.detectors.vqgan.store import save_vqgan
    from zeromiss.detectors.taught import write_taught
    from zeromiss.detectors.vqgan.vqgan import Vqgan
    from zeromiss.files import write_json
    from zeromiss.images.load import load_image
    from zeromiss.inspection.bundle import Contents, ThresholdRecord, fingerprint, pack
    from zeromiss.metrics.mask import save_mask
    from zeromiss.metrics.measure import Measurer
    from zeromiss.detector_params import VqganParams
    from zeromiss.selection.fit import Recipe, fit_pipeline
    from zeromiss.selection.store import save_classifier
    from zeromiss.stage_params import MetricsParams

    network = Vqgan(VqganParams(channels=(8, 16), codes=8, code_dim=4, blocks=1)).eval()
    save_vqgan(folder / "vqgan", network)
    write_taught(folder / "vqgan", normal=["ab" * 32], abnormal=[])
    params, backbone = MetricsParams(pixels=10, patches=20, fixed_position=masked), load_backbone("efficientnet_lite0")
    mask_HW = torch.rand(SIZE.shape, generator=torch.Generator().manual_seed(1)) if masked else None
    if masked:
        save_mask(folder / "mask.safetensors", mask_HW)
    measurer = Measurer(detector=network, backbone=backbone, params=params, mask_HW=mask_HW)
    rows = pd.DataFrame([measurer.measure(torch.from_numpy(load_image(path, SIZE))).features for path in images]).filter(regex=reads)
    labels = np.repeat([0, 1], len(images) // 2)
    recipe = Recipe(correlation=0.95, smote_neighbours=None, seed=0)
    save_classifier(folder / "classifier.skops", fit_pipeline(family, {}, rows, labels, recipe))
    contents = Contents(
        product="tiny", size=SIZE, seed=7, metrics=params, features=tuple(rows.columns), fingerprint=fingerprint(backbone),
        threshold=ThresholdRecord(value=threshold["value"], rule="zfn", statement="what it guarantees"),
        detectors={"vqgan": folder / "vqgan"}, classifier=folder / "classifier.skops", masks={"vqgan": folder / "mask.safetensors"} if masked else {},
    )  # fmt: skip
    target = folder / "bundle"
    pack(target, contents, finish=lambda draft: write_json(draft / "summary.json", {"threshold": threshold}, schema_version=3))
    return target
