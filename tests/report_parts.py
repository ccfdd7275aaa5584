"""Made-up results of a run, with figures that are easy to check by hand."""

import numpy as np
import pandas as pd

from zeromiss.reports.examples import Choice, strip
from zeromiss.reports.families import family_rows
from zeromiss.reports.figures import influence_bars, save_figure, score_distributions, training_curves
from zeromiss.reports.page import Example, ReportData

SUMMARY = {
    "schema_version": 1,
    "product": "toy",
    "n_train_normal": 40,
    "n_normal": 8,
    "n_defects": 4,
    "detectors": {
        "vqgan": {
            "image_auroc": 0.9,
            "average_precision": 0.8,
            "fpr_at_zero_missed": 0.75,
            "pixel_auroc": None,
            "pro": None,
        }
    },
    "composite": {
        "family": "et",
        "image_auroc": 0.9688,
        "paper": {
            "std": {"accuracy": 11 / 12, "precision": 1.0, "fpr": 0.0, "fnr": 0.25},
            "zfn": {"accuracy": 10 / 12, "precision": 4 / 6, "fpr": 0.25, "fnr": 0.0},
        },
    },
    "threshold": {
        "value": 0.1711,
        "rule": "zfn",
        "n_defects": 4,
        "n_candidates": 120,
        "miss_rate_bound_95": 0.5271,
        "next_defect_miss_bound": 0.2,
        "bound_is": "descriptive",
    },
    "seconds": {"train": 300.0, "extract": 60.0, "select": 90.0, "inspect_per_image": 0.2},
}
STATEMENT = "None of the 4 known defects scores below 0.1711; this describes these 4 and promises nothing of others."
FAMILIES = {
    "winner": "et",
    "families": {
        "qda": {"error": "the covariance is not full rank", "std": None, "zfn": None, "image_auroc": None},
        "lr": {
            "std": {"accuracy": 0.6, "precision": 0.6, "fpr": 0.25, "fnr": 0.25},
            "zfn": {"accuracy": 4 / 12, "precision": 4 / 12, "fpr": 1.0, "fnr": 0.0},
            "image_auroc": 0.8,
        },
        "et": {**SUMMARY["composite"]["paper"], "image_auroc": 0.9688},
        "nb": {
            "std": {"accuracy": 8 / 12, "precision": 0.0, "fpr": 0.0, "fnr": 1.0},
            "zfn": {"accuracy": 4 / 12, "precision": 4 / 12, "fpr": 1.0, "fnr": 0.0},
            "image_auroc": 0.5,
        },
    },
}


def example(folder, name, label, score):
    """An example whose strip is four flat panels."""
    from PIL import Image

    shades = tuple(np.full((96, 96, 3), value, dtype=np.uint8) for value in (90, 120, 10, 90))
    path = folder / f"{name}.jpg"
    Image.fromarray(strip(shades)).save(path)
    choice = Choice(path=f"images/{name}.png", label=label, score=score, why="drawn for a test")
    return Example(choice=choice, strip=path, abnormal=score >= 0.1711)


def report_data(folder):
    """A whole page's data, its figures drawn into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    save_figure(folder / "distributions.svg", score_distributions(rng.beta(1.2, 8, 160), rng.beta(6, 2, 120) * 0.83 + 0.1711, 0.1711))
    names = [f"vqgan.patch.{metric}.sum{tail}" for metric in ("ssim", "fid", "cosine", "euclidean", "hamming") for tail in (".masked", "")]
    save_figure(folder / "influence.svg", influence_bars(pd.Series(np.linspace(0.3, 0.01, 10), index=names)))
    steps = np.arange(25, 1501, 25)
    history = pd.DataFrame({"step": steps, "loss": 1 / steps, "pixel": 0.2 / steps, "codes_alive": np.minimum(1.0, steps / 400)})
    save_figure(folder / "curves.svg", training_curves(history, ["loss", "pixel", "codes_alive"]))
    return ReportData(
        summary=SUMMARY,
        statement=STATEMENT,
        families=family_rows(FAMILIES),
        composition=[
            {"split": "train", "normal": 40, "defect": 0, "parts": 40},
            {"split": "table", "normal": 8, "defect": 4, "parts": 12},
        ],
        defect_types=[
            {"defect_type": "bridge", "n_defects": 1, "n_defect_parts": 1, "lowest_probability": 0.9, "miss_rate_bound_95": 0.95},
            {"defect_type": "scratch", "n_defects": 3, "n_defect_parts": 3, "lowest_probability": 0.1711, "miss_rate_bound_95": 0.6316},
        ],
        figures={name: folder / f"{name}.svg" for name in ("distributions", "influence", "curves")},
        samples=[],
        training=[("steps", "1500"), ("seconds", "300")],
        normals=[example(folder, "n1", "normal", 0.05), example(folder, "n2", "normal", 0.31)],
        defects=[example(folder, "d1", "defect", 0.97)],
        hardest=example(folder, "d0", "defect", 0.1711),
        provenance=[("seed", "0"), ("bundle.json SHA-256", "ab" * 32)],
    )
