"""Stage `vqgan`: train the network on normal images and write it with its curves and samples.

Only the split `train` teaches it. The split `mask`, unseen normals, says how well it repaints what
it does not know; no defect and no other split is read.
"""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from zeromiss import schemas
from zeromiss.backbones.load import load_backbone
from zeromiss.detectors.images import ImageFiles, floats
from zeromiss.detectors.loop import Trained
from zeromiss.detectors.taught import write_taught
from zeromiss.detectors.vqgan.evaluate import code_usage, mean_psnr
from zeromiss.detectors.vqgan.launch import train_on_devices
from zeromiss.detectors.vqgan.store import load_vqgan, save_vqgan
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.files import write_json
from zeromiss.images.staging import Staging
from zeromiss.memory import peak_mib
from zeromiss.params import Product
from zeromiss.stages.base import RunLog
from zeromiss.stages.samples import write_picture
from zeromiss.stages.teaching import Teaching, open_teaching
from zeromiss.tables import write_table
from zeromiss.workspace import Workspace

HISTORY_FILE, TRAINING_FILE, SAMPLES_FILE = "history.parquet", "training.json", "samples.png"
_USAGE_IMAGES = 100  # training images over which codes are counted
_SAMPLES = 6  # reconstructions shown


def run(product: Product, workspace: Workspace, log: RunLog) -> dict[str, Any]:
    """Train on the split `train` and write `config.json`, `model.safetensors`, curves and samples.

    Killed and started again, it goes on from its last checkpoint. Raises ZeromissError without training images,
    with weights of the backbone missing, with devices that cannot share a batch, or when the loss is no longer finite.
    """
    teaching = open_teaching("vqgan", product.vqgan, product, workspace, processes=product.vqgan.devices)
    trained = train_on_devices(
        product.vqgan,
        teaching.normal,
        partial(load_backbone, product.vqgan.backbone, product.vqgan.backbone_path),
        seed=product.seed,
        log=log,
        checkpoint=teaching.checkpoint,
        workers=teaching.workers,
    )
    folder = workspace.detector(product.name, "vqgan")
    training = _write(trained, teaching, folder)
    teaching.checkpoint.unlink(missing_ok=True)
    _report(training, folder, log)
    return training


def _write(trained: Trained, teaching: Teaching, target: Path) -> dict[str, Any]:
    """Write the folder as a whole; what is measured is the network as read back from it."""
    staging = Staging(target)
    staging.recover()
    with staging:
        save_vqgan(staging.folder, trained.detector)
        vqgan = load_vqgan(staging.folder)
        write_table(staging.folder / HISTORY_FILE, pd.DataFrame(trained.history), schema_version=schemas.TRAINING)
        pictures = [floats(image) for image in teaching.unseen]
        training = _measured(vqgan, trained.seconds, teaching.normal, pictures)
        write_taught(staging.folder, **teaching.sources)
        write_json(staging.folder / TRAINING_FILE, training, schema_version=schemas.TRAINING)
        shown = pictures or [floats(image) for image in islice(teaching.normal, _SAMPLES)]
        write_samples(staging.folder / SAMPLES_FILE, vqgan, shown[:_SAMPLES])
        staging.swap()
    return training


def _measured(vqgan: Vqgan, seconds: float, taught: ImageFiles, unseen_CHW: list[Tensor]) -> dict[str, Any]:
    """Return what the training took and how well the network repaints; without unseen images its PSNR is missing."""
    used, perplexity = code_usage(vqgan, (floats(image) for image in islice(taught, _USAGE_IMAGES)))
    return {
        "psnr_unseen_normal": mean_psnr(vqgan, unseen_CHW),
        "codes_used": used,
        "perplexity": perplexity,
        "seconds": seconds,
        "images": len(taught),
        "peak_mib": peak_mib(),
        "steps": vqgan.params.steps,
        "parameters": sum(weight.numel() for weight in vqgan.parameters()),
    }


def write_samples(path: Path, vqgan: Vqgan, images_CHW: list[Tensor]) -> None:
    """Write a PNG: one column an image; rows are original, reconstruction and |difference| times 4."""
    columns = []
    for image_CHW in images_CHW:
        image_hat_CHW = vqgan.reconstruct(image_CHW[None]).image_hat_BCHW[0]
        difference_CHW = (4 * (image_CHW - image_hat_CHW).abs()).clamp(max=1)
        columns.append(torch.cat([image_CHW, image_hat_CHW, difference_CHW], dim=1))
    write_picture(path, torch.cat(columns, dim=2))


def _report(training: dict[str, Any], folder: Path, log: RunLog) -> None:
    log.metrics({key: float(value) for key, value in training.items() if value is not None})
    for name in (SAMPLES_FILE, TRAINING_FILE, HISTORY_FILE):
        log.artifact(folder / name)
