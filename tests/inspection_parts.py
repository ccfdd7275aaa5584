"""Parts with known answers for the tests of inspection and reports: no network, no training."""

from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.verdict import ModelName
from zeromiss.stage_params import MetricsParams

SIZE = 32
MODEL = ModelName(name="zeromiss-toy", version="7")


class MeanMeasurer:
    """Measures the mean of the image; its boxes are one inside and one that the border has clipped."""

    params = MetricsParams()

    def on_lanes(self, count):
        return self

    def measure(self, image_CHW, features=None, context=None):
        return SimpleNamespace(
            features={"unused": 5.0, "mean": float(image_CHW.double().mean())},
            boxes_Q4=torch.tensor([[8, 12, 16, 20], [0, 4, 3, 12]]),
            distances_Q=torch.tensor([2.5, 0.25]),
            native_score=1.375,
            map_HW=torch.zeros(SIZE, SIZE),
            image_hat_CHW=torch.zeros_like(image_CHW),
            difference_HW=image_CHW.mean(dim=0),
        )


class MeanClassifier:
    """The probability of a defect is the feature `mean`."""

    def predict_proba(self, features):
        defect = features["mean"].to_numpy()
        return np.stack((1.0 - defect, defect), axis=1)


def mean_inspector(threshold=0.4, measurer=None, classifier=None):
    """An inspector whose score is the mean brightness in [0, 1]."""
    return Inspector(
        measurer=measurer or MeanMeasurer(),
        classifier=classifier or MeanClassifier(),
        features=("mean",),
        threshold=threshold,
        size=SIZE,
        model=MODEL,
    )


def grey_file(path, value, size=SIZE):
    """Write a grey square of one 8-bit value and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (size, size), value).save(path)
    return path
