"""What the stage of every detector but the VQGAN does: open what teaches, fit, write the folder, whole or not at all.

`taught.json` lists the SHA-256 of each image that taught, so that the metrics stage can refuse to judge one of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from torch import Tensor, nn

from zeromiss import schemas
from zeromiss.detectors.base import NO_CONTEXT, Context, Detector, reads_context, redraws
from zeromiss.detectors.batches import Images
from zeromiss.detectors.images import floats
from zeromiss.detectors.loop import Curves, Trained
from zeromiss.detectors.taught import write_taught
from zeromiss.files import write_json
from zeromiss.image_size import Size
from zeromiss.images.staging import Staging
from zeromiss.memory import peak_mib
from zeromiss.params import Product
from zeromiss.sections import Section
from zeromiss.stages.base import RunLog
from zeromiss.stages.samples import write_picture
from zeromiss.stages.teaching import Teaching, open_teaching
from zeromiss.tables import write_table
from zeromiss.workspace import Workspace

HISTORY_FILE, TRAINING_FILE, SAMPLES_FILE = "history.parquet", "training.json", "samples.png"
_SAMPLES = 6  # unseen normal images shown


class Train(Protocol):
    """A detector's own way to learn: `train` of its folder."""

    def __call__(
        self, params: Any, images: Images, *, size: Size, seed: int, log: Curves | None, checkpoint: Path | None, workers: int, **others: Any
    ) -> Trained:
        """Fit on uint8 images (3, H, W); `others` holds `abnormal`, images of defects, or `contexts` where the detector needs such."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How one detector is fitted: its parameters, and what its folder of the library offers."""

    name: str
    params: Section
    train: Train
    save: Callable[[Path, Any], None]  # writes what `train` gave into a folder
    load: Callable[[Path], Detector]
    needs_abnormal: bool = False
    needs_context: bool = False  # the reference or design of each image


def fit_detector(fit: Fit, product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Fit one detector and write its folder: network, curves, what taught it, what it took, samples of its maps.

    Killed and started again, it goes on from its last checkpoint. Raises ZeromissError without training images, without
    abnormal ones where they are needed, or when the training refuses.
    """
    teaching = open_teaching(fit.name, fit.params, product, workspace, needs_abnormal=fit.needs_abnormal)
    others: dict[str, Any] = {"abnormal": teaching.abnormal} if fit.needs_abnormal else {}
    if fit.needs_context:
        others["contexts"] = teaching.contexts
    how = {"log": log, "checkpoint": teaching.checkpoint, "workers": teaching.workers}
    trained = fit.train(fit.params, teaching.normal, size=product.size, seed=product.seed, **how, **others)
    folder = workspace.detector(product.name, fit.name)
    training = _write(fit, trained, teaching, folder)
    teaching.checkpoint.unlink(missing_ok=True)
    log.metrics({key: float(value) for key, value in training.items()})
    for file in (SAMPLES_FILE, TRAINING_FILE, HISTORY_FILE):
        log.artifact(folder / file)
    return training


def _write(fit: Fit, trained: Trained, teaching: Teaching, target: Path) -> dict[str, Any]:
    """Write the folder as a whole and return what the training took; what is shown is the detector as read back from it."""
    facts = {"seconds": trained.seconds, "images": len(teaching.normal), "peak_mib": peak_mib()}
    unseen = len(teaching.unseen) > 0
    images, contexts = (teaching.unseen, teaching.unseen_contexts) if unseen else (teaching.normal, teaching.contexts)
    shown = [(floats(images[index]), contexts[index] if fit.needs_context else NO_CONTEXT) for index in range(min(len(images), _SAMPLES if unseen else 1))]
    staging = Staging(target)
    staging.recover()
    with staging:
        fit.save(staging.folder, trained.detector)
        detector = fit.load(staging.folder)
        training = facts | {"parameters": _parameters(detector)}
        write_table(staging.folder / HISTORY_FILE, pd.DataFrame(trained.history), schema_version=schemas.TRAINING)
        write_json(staging.folder / TRAINING_FILE, training, schema_version=schemas.TRAINING)
        write_taught(staging.folder, **teaching.sources)
        write_samples(staging.folder / SAMPLES_FILE, detector, shown)
        staging.swap()
    return training


def write_samples(path: Path, detector: Detector, shown: list[tuple[Tensor, Context]]) -> None:
    """Write a PNG: one column an image (3, H, W), each with its context; rows are original, reconstruction (if the detector redraws) and anomaly map.

    Maps are scaled together, the largest value white.
    """
    columns, maps = [], []
    for image_CHW, context in shown:
        image_BCHW = image_CHW[None]
        rows = [image_CHW]
        if redraws(detector):
            reconstruction = detector.reconstruct(image_BCHW)
            rows.append(reconstruction.image_hat_BCHW[0])
            detection = detector.score(image_BCHW, reconstruction)
        else:
            detection = detector.detect(image_BCHW, **({"context": context} if reads_context(detector) else {}))
        maps.append(detection.map_BHW[0])
        columns.append(torch.cat(rows, dim=1))
    highest = max(max(float(map_HW.max()) for map_HW in maps), 1e-12)
    whole = [torch.cat([column, (map_HW / highest).expand(3, -1, -1)], dim=1) for column, map_HW in zip(columns, maps, strict=True)]
    write_picture(path, torch.cat(whole, dim=2))


def _parameters(detector: Detector) -> int:
    """Return how many numbers the detector's tensors hold, learned or kept."""
    return sum(tensor.numel() for tensor in detector.state_dict().values()) if isinstance(detector, nn.Module) else 0
