"""What the stage of every detector but the VQGAN does: read the split `train`, fit, write the folder, whole or not at all.

Only normal images of the split `train` teach, and for a detector that needs them the abnormal ones of the split
`abnormal`; `taught.json` lists the SHA-256 of each, so that the metrics stage can refuse to judge one of them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from torch import Tensor, nn

from zeromiss.detectors.base import Detector, redraws
from zeromiss.detectors.batches import Images
from zeromiss.detectors.checkpoint import checkpoint_key
from zeromiss.detectors.images import LOADERS, MEMORY, ImageFiles, floats
from zeromiss.detectors.loop import Curves, Trained
from zeromiss.detectors.taught import write_taught
from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file, write_json
from zeromiss.images import manifest as manifests
from zeromiss.images.reader import open_reader
from zeromiss.images.reference import alignment_digest
from zeromiss.images.staging import Staging
from zeromiss.memory import peak_mib
from zeromiss.sections import Section
from zeromiss.stages.base import RunLog
from zeromiss.stages.samples import write_picture
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace

HISTORY_FILE, TRAINING_FILE, SAMPLES_FILE = "history.parquet", "training.json", "samples.png"
SCHEMA_VERSION = 1
_SAMPLES = 6  # unseen normal images shown


class Train(Protocol):
    """A detector's own way to learn: `train` of its folder, its parameters and size already given."""

    def __call__(
        self, images: Images, *, seed: int, log: Curves | None, checkpoint: Path | None, workers: int, **others: Images
    ) -> Trained:
        """Fit on uint8 images; `others` holds `abnormal`, images of defects, where the detector needs such."""


def fit_detector(
    name: str,
    params: Section,
    train: Train,
    save: Callable[[Path, Any], None],
    load: Callable[[Path], Detector],
    *,
    product: str,
    size: int,
    seed: int,
    workspace: Workspace,
    log: RunLog,
    needs_abnormal: bool = False,
) -> dict[str, Any]:
    """Fit one detector and write its folder: network, curves, what taught it, what it took, samples of its maps.

    Killed and started again, it goes on from its last checkpoint. Raises ZeromissError without training images, without
    abnormal ones where they are needed, or when the training refuses.
    """
    manifest_file = workspace.manifest(product) / manifests.FILE
    manifest = read_table(manifest_file, schema_version=manifests.SCHEMA_VERSION)
    taught = manifest[(manifest["split"] == "train") & (manifest["label"] == "normal")]
    abnormal = manifest[(manifest["split"] == "abnormal") & (manifest["label"] == "defect")]
    if taught.empty:
        raise ZeromissError(f"product {product!r} has no image in the split train: ingest normal images")
    if needs_abnormal and abnormal.empty:
        raise ZeromissError(f"{name} learns from abnormal images too and product {product!r} has put none aside: set manifest.abnormal above 0")
    raw, reader = workspace.raw(product), open_reader(workspace.alignment(product), size)
    fits = (len(taught) + len(abnormal)) * 3 * size**2 <= MEMORY
    images = ImageFiles([raw / path for path in taught["path"]], reader, keep=fits)
    others = {"abnormal": ImageFiles([raw / path for path in abnormal["path"]], reader, keep=fits)} if needs_abnormal else {}
    digests = sha256_file(manifest_file) + alignment_digest(workspace.alignment(product))
    key = checkpoint_key(params, size=size, seed=seed, manifest_sha256=digests)
    checkpoint = workspace.checkpoints / product / f"{name}-{key}.safetensors"
    trained = train(images, seed=seed, log=log, checkpoint=checkpoint, workers=0 if fits else LOADERS, **others)
    unseen = manifest[(manifest["split"] == "mask") & (manifest["label"] == "normal")]["path"].iloc[:_SAMPLES]
    shown = [floats(image) for image in ImageFiles([raw / path for path in unseen], reader)] or [floats(images[0])]
    facts = {"seconds": trained.seconds, "images": len(taught), "peak_mib": peak_mib()}
    sources = {"normal": taught["sha256"].tolist(), "abnormal": abnormal["sha256"].tolist() if needs_abnormal else []}
    target = workspace.detector(product, name)
    staging = Staging(target)
    staging.recover()
    with staging:
        save(staging.folder, trained.detector)
        detector = load(staging.folder)
        training = facts | {"parameters": _parameters(detector)}
        write_table(staging.folder / HISTORY_FILE, pd.DataFrame(trained.history), schema_version=SCHEMA_VERSION)
        write_json(staging.folder / TRAINING_FILE, training, schema_version=SCHEMA_VERSION)
        write_taught(staging.folder, **sources)
        write_samples(staging.folder / SAMPLES_FILE, detector, shown)
        staging.swap()
    checkpoint.unlink(missing_ok=True)
    log.metrics({key: float(value) for key, value in training.items()})
    for file in (SAMPLES_FILE, TRAINING_FILE, HISTORY_FILE):
        log.artifact(target / file)
    return training


def write_samples(path: Path, detector: Detector, images_CHW: list[Tensor]) -> None:
    """Write a PNG: one column an image; rows are original, reconstruction (if the detector redraws) and anomaly map.

    Maps are scaled together, the largest value white.
    """
    columns, maps = [], []
    for image_CHW in images_CHW:
        image_BCHW = image_CHW[None]
        rows = [image_CHW]
        if redraws(detector):
            reconstruction = detector.reconstruct(image_BCHW)
            rows.append(reconstruction.image_hat_BCHW[0])
            detection = detector.score(image_BCHW, reconstruction)
        else:
            detection = detector.detect(image_BCHW)
        maps.append(detection.map_BHW[0])
        columns.append(torch.cat(rows, dim=1))
    highest = max(max(float(map_HW.max()) for map_HW in maps), 1e-12)
    whole = [torch.cat([column, (map_HW / highest).expand(3, -1, -1)], dim=1) for column, map_HW in zip(columns, maps, strict=True)]
    write_picture(path, torch.cat(whole, dim=2))


def _parameters(detector: Detector) -> int:
    """Return how many numbers the detector's tensors hold, learned or kept."""
    return sum(tensor.numel() for tensor in detector.state_dict().values()) if isinstance(detector, nn.Module) else 0
