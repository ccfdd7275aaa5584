"""Made-up results of a run, with figures that are easy to check by hand."""

import numpy as np
import pandas as pd
from scipy.special import expit

from zeromiss.registry.attach import Standing
from zeromiss.inspection.overlay import REDRAWN
from zeromiss.reports.curves_figures import detection_by_size, roc_with_passed
from zeromiss.reports.examples import GAP, save_jpeg
from zeromiss.reports.facts import Codebook, Gallery, InUse, Metric, ReportFacts, Shown
from zeromiss.reports.figures import (
    code_use, influence_bars, reliability_curve, roc_curve, save_figure, score_distributions, training_curves,
)  # fmt: skip
from zeromiss.threshold.detection_by_size import curve_facts
from zeromiss.threshold.roc import roc_points

HARDEST = {
    "protocol": "nested cross-validation",
    "repeats": 2,
    "n_defects": 4,
    "n_normals": 8,
    "prices": {"0": {"fpr": 0.5, "std": 0.1768}, "1": {"fpr": 0.25, "std": 0.0}, "2": {"fpr": 0.125, "std": 0.0}, "3": {"fpr": 0.0, "std": 0.0}},
    "defects": [
        {
            "rank": rank, "path": f"images/d{rank}.png", "part_id": f"d{rank}", "defect_type": "scratch", "score": 0.2 * rank, "score_std": 0.01,
            "fpr": fpr, "fpr_std": 0.0, "fpr_without": without,
        }
        for rank, fpr, without in ((1, 0.5, 0.25), (2, 0.25, 0.125), (3, 0.125, 0.0), (4, 0.0, None))
    ],
}  # fmt: skip
LABELS = {
    "changed": [
        {
            "path": "images/n7.png", "before": "defect", "label": "normal", "at": "2026-11-20T08:24:41.000001+00:00", "sha256": "ab" * 32,
            "by": "Ann Lee", "why": "a shadow, no crack",
        }
    ],
    "unsure": [
        {
            "path": "images/d9.png", "before": "defect", "label": "unsure", "at": "2026-11-21T09:00:00.000001+00:00", "sha256": "cd" * 32,
            "by": "Bo", "why": "nobody can see it",
        }
    ],
    "confirmed": [],
    "sentence": "1 label changed (1 to normal), 1 unsure image set aside, in no split; by Ann Lee, Bo",
}  # fmt: skip
PASSED = {
    "PG0": {"missed": 0.0, "mean": 0.5, "low": 0.0, "high": 0.625, "std": 0.1768},
    "PG2": {"missed": 0.02, "mean": 0.5, "low": 0.0, "high": 0.625, "std": 0.1768},
    "PG5": {"missed": 0.05, "mean": 0.75, "low": 0.25, "high": 0.875, "std": 0.0},
}
MATCHED = {
    "auroc": {"mean": 0.9375, "low": 0.8, "high": 1.0}, "matched": {"mean": 0.875, "low": 0.625, "high": 1.0},
    "n_defects": 4, "n_normals": 8, "n_pairs": 8, "pair_share": 0.25,
}  # fmt: skip
UNSEEN = {
    "types": [{"defect_type": "scratch", "n_defects": 5, "n_parts": 5, "found": 4, "share": 0.8, "low": 0.2836, "high": 0.9949, "family": "lr", "fpr": 0.375}],
    "skipped": [{"defect_type": "bridge", "why": "1 part, at least 5 are needed"}],
    "sentence": "",
}
SIZES = {
    "zero missed": {"missed": 0.0, "a50": None, "a90": None, "a90_95": None, "sentence": "all 4 marked defects are found, however small"},
    "5 % false alarms": {"missed": 1.5, "a50": 6.25, "a90": 9.5, "a90_95": 14.75, "sentence": ""},
}
SUMMARY = {
    "schema_version": 3,
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
            "matched": MATCHED | {"auroc": {"mean": 0.9, "low": 0.7, "high": 1.0}, "matched": None, "n_pairs": 0, "pair_share": 0.0},
        }
    },
    "composite": {
        "family": "et",
        "image_auroc": 0.9688,
        "paper": {
            "std": {"accuracy": 11 / 12, "precision": 1.0, "fpr": 0.0, "fnr": 0.25},
            "zfn": {"accuracy": 10 / 12, "precision": 4 / 6, "fpr": 0.25, "fnr": 0.0},
        },
        "hardest": HARDEST,
        "passed": PASSED,
        "matched": MATCHED,
        "unseen_types": UNSEEN,
        "by_size": {"n_defects": 4, "curves": SIZES},
    },
    "properties": MATCHED | {"auroc": {"mean": 0.9063, "low": 0.75, "high": 1.0}, "matched": {"mean": 0.5625, "low": 0.25, "high": 0.75}},
    "threshold": {
        "value": 0.1711,
        "rule": "zfn",
        "n_defects": 4,
        "n_candidates": 120,
        "miss_rate_bound_95": 0.5271,
        "next_defect_miss_bound": 0.2,
        "bound_is": "descriptive",
        "defects_behind": 4,
        "escapes": {
            "defect_share": None, "per_million_defective": 527_100.0, "per_million": None, "next_parts": 10_000, "next_misses": None, "next_misses_mean": None,
        },
    },
    "seconds": {"train": 300.0, "extract": 60.0, "select": 90.0, "inspect_per_image": 0.2},
}
STATEMENT = "None of the 4 known defects scores below 0.1711; this describes these 4 and promises nothing of others."
THRESHOLD = SUMMARY["threshold"] | {
    "statement": STATEMENT,
    "n_defect_parts": 4,
    "types": [
        {"defect_type": "bridge", "n_defects": 1, "n_defect_parts": 1, "lowest_probability": 0.9, "miss_rate_bound_95": 0.95},
        {"defect_type": "scratch", "n_defects": 3, "n_defect_parts": 3, "lowest_probability": 0.1711, "miss_rate_bound_95": 0.6316},
    ],
}
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
HONEST = {
    "repeats": 2,
    "folds": 5,
    "missed": 1,
    "defects": 8,
    "fnr": {"mean": 0.125, "low": 0.0, "high": 0.5},
    "fpr": {"mean": 0.375, "low": 0.1, "high": 0.7},
    "accuracy": {"mean": 0.7083, "low": 0.5, "high": 0.9},
    "precision": {"mean": 0.5, "low": 0.3, "high": 0.7},
}
CHECKED = {"property": "brightness", "question": "label", "auc": 0.9375, "low": 0.85, "high": 0.99, "n_a": 4, "n_b": 8, "found": True}
SHORTCUT = "brightness alone tells defects from normal images with AUC 0.94: a detector may learn the lamp, not the defect"
SHORTCUTS = {
    "limit": 0.8,
    "split_limit": 0.65,
    "together_auc": 0.9063,
    "checked": [CHECKED, CHECKED | {"property": "file_size", "question": "split", "auc": 0.5, "low": 0.5, "high": 0.61, "found": False}],
    "findings": [CHECKED | {"sentence": SHORTCUT, "pairs": [{"a": "images/d.png", "b": "images/n.png", "value_a": 0.25, "value_b": 0.5}]}],
    "sentence": SHORTCUT,
}
DUPLICATES = {
    "mode": "group", "images": 60, "candidates": 9, "shared_structure": True, "threshold": 0.72, "across_splits": 0,
    "pairs": [
        {
            "a": "images/n1.png", "b": "images/n2.png", "part_a": "n1", "part_b": "n2", "label_a": "normal", "label_b": "normal", "inliers": 214,
            "shift": 0.031, "degrees": -2.04, "zoom": 1.0, "correlation": 0.913, "lower_quarter": 0.88, "bits": 12,
        }
    ],
    "groups": [{"part_id": "n1", "parts": ["n1", "n2"], "images": [], "contradicts": False}],
    "sentence": "1 pair of images shows the same part again (images/n1.png and images/n2.png); 2 parts of the index are 1, each stays on one side of every split",
}  # fmt: skip
CALIBRATION = {
    "method": "sigmoid",
    "helps": True,
    "brier_raw": 0.1432,
    "brier_calibrated": 0.1318,
    "difference": {"mean": -0.0114, "low": -0.019, "high": -0.003},
    "reliability": [
        {"low": 0.0, "high": 0.1, "n": 8, "mean_score": 0.05, "share_defects": 0.0, "share_low": 0.0, "share_high": 0.32},
        {"low": 0.9, "high": 1.0, "n": 4, "mean_score": 0.95, "share_defects": 0.75, "share_low": 0.3, "share_high": 0.95},
    ],
    "x": [0.0, 1.0],
    "y": [0.02, 0.9],
    "sentence": "The calibrated probability has a Brier score of 0.1318, the raw score one of 0.1432.",
}
GATE = {
    "promoted": True,
    "criteria": [
        {"name": "no_missed_defect", "value": 0.0, "limit": 0.0, "passed": True, "sentence": "0 of 63 audit defects missed"},
        {"name": "false_alarms", "value": 0.25, "limit": 0.2, "passed": False, "sentence": "3 of 12 normal audit images raise a false alarm"},
    ],
    "n_defects": 63,
    "n_normals": 12,
    "missed": 0,
    "false_positive_rate": 0.25,
    "miss_rate_bound": 0.046437,
    "confidence": 0.95,
    "images": [],
    "advice": [],
    "notes": ["a note to weigh it"],
    "statement": "promoted: 0 of 63 audit defects missed",
    "at": "2026-11-22T08:24:41+00:00",
    "model": "zeromiss-toy version 3",
    "looks": 1,
    "openings": 2,
    "worn_out": False,
    "audit_types": [{"defect_type": "scratch", "n_defects": 40, "missed": 0, "miss_rate_bound": 0.0722}],
    "audit_sentence": "None of the 63 defects in the locked audit set is missed: with 95 % confidence the true miss rate is below 4.7 %.",
}
STANDING = Standing(
    model="zeromiss-toy",
    version="3",
    aliases={"champion": "3"},
    tags={"git.commit": "c0ffee", "git.dirty": "false", "data.md5": "1234.dir", "dvc.lock": "ab12"},
    gate=GATE,
)


def shown(folder, name, label, score):
    """An image shown by four flat panels."""
    panels = {}
    for title, shade in zip(REDRAWN, (90, 120, 10, 90), strict=True):
        panels[title] = f"figures/{name}-{title}.jpg"
        save_jpeg(folder / panels[title], np.full((2 * 96 + GAP, 96, 3), shade, dtype=np.uint8))
    return Shown(
        path=f"images/{name}.png", label=label, score=score, abnormal=score >= 0.1711, why="drawn for a test", panels=panels
    )


def draw_figures(folder):
    """Every figure of the page, drawn into `figures/`."""
    rng = np.random.default_rng(0)
    normal, defect = rng.beta(1.2, 8, 160), rng.beta(6, 2, 120) * 0.83 + 0.1711
    names = [f"vqgan.patch.{metric}.sum{tail}" for metric in ("ssim", "fid", "cosine", "euclidean", "hamming") for tail in (".masked", "")]
    steps = np.arange(25, 1501, 25)
    history = pd.DataFrame({"step": steps, "loss": 1 / steps, "pixel": 0.2 / steps, "codes_alive": np.minimum(1.0, steps / 400)})
    labels, scores = np.repeat([0, 1], [160, 120]), np.concatenate((normal, defect))
    side = rng.uniform(3, 60, 40)
    found = {name: (rng.uniform(0, 1, 40) < expit(-6 + slope * np.log(side))).astype(float) for name, slope in (("zero missed", 6), ("5 % false alarms", 2.5))}
    sizes = {"side": side, "found": found, "curves": {name: curve_facts(side, found_D) for name, found_D in found.items()}}
    drawn = {
        "distributions": score_distributions(normal, defect, 0.1711),
        "roc": roc_curve(labels, scores, float(defect.min())),
        "roc-passed": roc_with_passed({"repeats": [roc_points(labels, scores), roc_points(labels, scores**2)], "plain": None}, PASSED),
        "by-size": detection_by_size(sizes),
        "influence": influence_bars(pd.DataFrame({"mean": np.linspace(0.3, 0.01, 10), "std": 0.01}, index=names)),
        "codebook": code_use(np.arange(64)),
        "curves-vqgan": training_curves(history, ["loss", "pixel", "codes_alive"]),
        "calibration": reliability_curve(CALIBRATION["reliability"], (CALIBRATION["x"], CALIBRATION["y"])),
    }
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for name, figure in drawn.items():
        save_figure(folder / f"figures/{name}.svg", figure)
    return {name: f"figures/{name}.svg" for name in drawn}


def report_facts(folder):
    """The facts of a whole page, its pictures drawn into `folder`; nothing is missing."""
    figures = draw_figures(folder)
    pair = SHORTCUTS["findings"][0]["pairs"][0] | {"pictures": ["figures/pair-a.jpg", "figures/pair-b.jpg"]}
    for number, picture in enumerate(pair["pictures"]):
        save_jpeg(folder / picture, np.full((64, 64, 3), 60 + 80 * number, dtype=np.uint8))
    twins = DUPLICATES["pairs"][0] | {"pictures": pair["pictures"]}
    hardest = [one | {"picture": f"figures/price-{one['rank']}.jpg"} for one in HARDEST["defects"]]
    for one in hardest:
        save_jpeg(folder / one["picture"], np.full((48, 64, 3), 40 * one["rank"], dtype=np.uint8))
    return ReportFacts(
        product="toy",
        bundle="ab" * 32,
        summary=SUMMARY,
        threshold=THRESHOLD,
        families=FAMILIES,
        in_use=InUse(missed=0, **SUMMARY["composite"]["paper"]["zfn"]),
        composition=(
            {"split": "train", "normal": 40, "defect": 0, "parts": 40},
            {"split": "table", "normal": 8, "defect": 4, "parts": 12},
        ),
        honest=HONEST,
        hardest=HARDEST | {"defects": hardest},
        labels=LABELS,
        calibration=CALIBRATION,
        duplicates=DUPLICATES | {"pairs": [twins]},
        shortcuts=SHORTCUTS | {"findings": [SHORTCUTS["findings"][0] | {"pairs": [pair]}]},
        trainings={"vqgan": {"steps": 1500, "seconds": 300.0, "parameters": 1234567, "psnr_unseen_normal": 31.25}},
        codebook=Codebook(codes=64, used=48, perplexity=32.5, images=8),
        influence=(Metric(name="vqgan.patch.ssim.sum.masked", mean=0.3, std=0.01),),
        influence_repeats=5,
        gallery=Gallery(
            hardest=(shown(folder, "d0", "defect", 0.1711), shown(folder, "d1", "defect", 0.97)),
            alarms=(shown(folder, "n2", "normal", 0.31),),
            normals=(shown(folder, "n1", "normal", 0.05),),
        ),
        figures=figures,
        params={"size": 64, "metrics": {"pixels": 10, "tiles": None}},
        files={"manifest": "cd" * 32},
        versions={"python": "3.11.9"},
    )


def old_facts(folder):
    """The facts of a run made before there was an honest protocol, a calibration or a shortcut check, without pictures."""
    whole = report_facts(folder)
    nothing = {"honest": None, "calibration": None, "duplicates": None, "shortcuts": None, "codebook": None, "influence": (), "figures": {}}
    return whole.model_copy(update=nothing | {"gallery": Gallery(), "files": {}, "versions": {}, "params": {}})
