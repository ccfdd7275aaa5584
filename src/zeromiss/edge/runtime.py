"""Inspecting with an exported folder: images in, verdicts out, without torch.

This module and all that it imports lie in the folder too: what runs there is what runs here. The networks are ONNX graphs; every
number around them comes from the functions that `zeromiss.metrics` and `zeromiss.selection` use themselves.
Axes: C channels, H, W pixels, N candidate boxes, Q boxes kept.
"""

import argparse
import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zeromiss.edge.engines import Session, open_graph
from zeromiss.edge.layout import ALIGN, BOXES, CLASSIFIER, CONFIG, DISTANCES, DISTANCES_FILE, GRAPH, IMAGE, MASK, RESIDUAL, SCHEMA_VERSION, VARIED, map_output
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, sha256_file
from zeromiss.image_size import ImageSize
from zeromiss.images.reader import ImageReader
from zeromiss.images.reference import open_aligner
from zeromiss.inspection.calibration import CalibrationRecord
from zeromiss.inspection.verdict import ERROR, ModelName, Verdict, decide, plain_matrix, to_patches
from zeromiss.metrics.columns import named
from zeromiss.metrics.levels import candidates, image_values, localised_values, map_boxes, map_values, variation_values
from zeromiss.metrics.localise import keep_largest
from zeromiss.selection.probability import defect_probability
from zeromiss.selection.store import load_classifier
from zeromiss.stage_params import MetricsParams


@dataclass(frozen=True, kw_only=True)
class Part:
    """One detector of the folder: its graph, its normal-variation mask, and its columns."""

    config: dict[str, Any]
    session: Session
    mask_HW: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one detector found in an image."""

    features: dict[str, float]
    boxes_Q4: np.ndarray
    distances_Q: np.ndarray


class EdgeInspector:
    """Judges image files with an exported folder."""

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        """Verify and load a folder; `threads` an image, 0: as the engine thinks fit.

        Raises ZeromissError for a file that is missing or not as it was exported.
        """
        self.config = read_json(folder / CONFIG, schema_version=SCHEMA_VERSION)
        _verify(folder, self.config["files"])
        self._threads = threads
        self.params = MetricsParams.model_validate(self.config["metrics"])
        self._parts = [self._part(folder, part) for part in self.config["detectors"]]
        pooling = folder / DISTANCES_FILE
        self._pooling = self._session(pooling) if pooling.is_file() else None
        self._classifier = load_classifier(folder / CLASSIFIER)
        self._size = ImageSize.of(self.config["size"])
        aligner = open_aligner(folder / ALIGN, self._size) if self.config["align"] else None
        self._reader = ImageReader(self._size, reduced=self.params.decode == "reduced", aligner=aligner)
        curve = self.config["calibration"]
        self._calibration = None if curve is None else CalibrationRecord.model_validate(curve)

    def inspect(self, path: Path) -> Verdict:
        """Judge one image file; raises ZeromissError when it cannot be judged, which is never called normal."""
        laid = self._reader.lay(path)
        found = self.measure(laid.image_CHW)
        score = self.score({name: value for one in found for name, value in one.features.items()})
        threshold = float(self.config["threshold"]["value"])
        return Verdict(
            path=str(path),
            verdict=decide(score, threshold),
            score=score,
            threshold=threshold,
            probability=None if self._calibration is None else self._calibration.probability(score),
            patches=to_patches(found[0].boxes_Q4.tolist(), found[0].distances_Q.tolist()),
            model=ModelName(**self.config["model"]),
            sha256=sha256_file(path),
            width=self._size.width,
            height=self._size.height,
            to_file=plain_matrix(laid.to_file),
        )

    def read(self, path: Path) -> np.ndarray:
        """Return one image file as the detectors see it, float32 RGB (3, H, W) in [0, 1]; raises ZeromissError as `inspect` does."""
        return self._reader.read(path)

    def measure(self, image_CHW: np.ndarray) -> list[Measured]:
        """Measure one image, as `read` gives it, by every detector."""
        return [self._measure(part, image_CHW) for part in self._parts]

    def score(self, features: dict[str, float]) -> float:
        """Return the composite score of one row of features, in [0, 1] (higher = more abnormal)."""
        row_1F = np.array([[features[name] for name in self.config["features"]]], dtype=np.float64)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="X does not have valid feature names")  # their order is the folder's own
            return float(defect_probability(self._classifier, row_1F)[0])

    def _part(self, folder: Path, config: dict[str, Any]) -> Part:
        """Load one detector's graph and mask."""
        place = folder / config["name"]
        mask_HW = np.load(place / MASK, allow_pickle=False) if config["masked"] else None
        return Part(config=config, session=self._session(place / GRAPH), mask_HW=mask_HW)

    def _session(self, path: Path) -> Session:
        """Open a graph."""
        return open_graph(path, engine=self.config["engine"], threads=self._threads)

    def _measure(self, part: Part, image_CHW: np.ndarray) -> Measured:
        """Measure an image by one detector."""
        given = part.session(**{IMAGE: image_CHW[None]})
        if part.config["redraws"]:
            return self._redrawn(part, image_CHW, given)
        scores = [float(given[name][0]) for name in part.config["scores"]]
        numbers, boxes_Q4, distances_Q = map_values(given["map"], scores, self.params)
        values = np.concatenate((numbers, self._varied(part, given)))
        return Measured(features=named(part.config["columns"], values), boxes_Q4=boxes_Q4, distances_Q=distances_Q)

    def _varied(self, part: Part, given: dict[str, np.ndarray]) -> np.ndarray:
        """Return the statistics of the maps and the residual vector; empty without a variation of normal images."""
        levels = part.config["levels"]
        return variation_values({name: given[map_output(name)] for name in levels}, given.get(RESIDUAL, np.empty(0)), levels) if levels else np.empty(0)

    def _redrawn(self, part: Part, image_CHW: np.ndarray, given: dict[str, np.ndarray]) -> Measured:
        """Measure an image beside its reconstruction."""
        pair = image_CHW, given["image_hat"]
        values = [
            image_values(
                *pair,
                perceptual_mse=float(given["perceptual_mse"][0]),
                own=[float(given[name][0]) for name in part.config["own"]],
                whole=[given[name] for name in ("difference", "map", "context")],
            ),
            np.array([float(given[name][0]) for name in part.config["scores"]]),
        ]
        fine = {name: value for name, value in given.items() if name.startswith("fine_")}
        for weight_HW in (None,) if part.mask_HW is None else (None, part.mask_HW):
            weighted_HW = given["difference"] if weight_HW is None else given["difference"] * weight_HW
            pixels_1P, boxes_N4 = candidates(weighted_HW, self.params)
            distances_N = self._pooling(**{BOXES: boxes_N4, **fine})[DISTANCES]
            boxes_Q4, fid_Q = keep_largest(boxes_N4, distances_N, self.params.patches)
            values.append(localised_values(*pair, pixels_1P, boxes_Q4, fid_Q))
        values.append(self._varied(part, given))
        if VARIED in given:
            boxes_Q4, fid_Q = map_boxes(given[VARIED], self.params)
        return Measured(features=named(part.config["columns"], np.concatenate(values)), boxes_Q4=boxes_Q4, distances_Q=fid_Q)


def main(folder: Path, arguments: list[str] | None = None) -> int:
    """Print one JSON object an image; return 0 when all were judged, 1 when one was not, 2 for an unsound folder."""
    parser = argparse.ArgumentParser(prog="inspect_images.py", description="Judge images with the exported model in this folder.")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--threads", type=int, default=0, help="threads an image (default: all cores)")
    options = parser.parse_args(arguments)
    try:
        inspector = EdgeInspector(folder, threads=options.threads)
    except ZeromissError as error:
        print(f"zeromiss: {error}", file=sys.stderr)
        return 2
    failed = False
    for path in options.images:
        try:
            line = inspector.inspect(path).to_json()
        except ZeromissError as error:
            failed, line = True, {"path": str(path), "verdict": ERROR, "error": str(error)}
        print(json.dumps(line), flush=True)
    return int(failed)


def _verify(folder: Path, files: dict[str, str]) -> None:
    """Raise ZeromissError unless every listed file has its SHA-256."""
    for name, expected in sorted(files.items()):
        path = folder / name
        if not path.is_file():
            raise ZeromissError(f"{path} is missing: copy the whole exported folder again")
        if sha256_file(path) != expected:
            raise ZeromissError(f"{path} has changed since it was exported (SHA-256 differs): copy or export the folder anew")
