"""The backbone inside an anomalib model: built without weights, which come from a package or a file, never a download."""

from collections.abc import Mapping

import timm
import torch
from torch import Tensor, nn

from zeromiss.backbones.base import load_strictly, read_weights
from zeromiss.backbones.efficientnet_lite0 import load_classifier, package_file
from zeromiss.detectors.peers.imports import seeded
from zeromiss.errors import ZeromissError

EMBEDDED = "tf_efficientnet_lite0"  # timm's name of the one backbone whose weights a package brings
_COUNTER = "num_batches_tracked"  # of batch norms; older weight files lack it, and no frozen network reads it


def load_features(network: nn.Module, backbone: str, path: str | None) -> None:
    """Put the weights of `backbone` (timm's name) into `network`, timm's feature extractor of that name.

    `path` is a file of weights under timm's or torchvision's names; None is for the embedded backbone alone. What the
    file holds beyond the extractor, the classifier, is left out. Raises ZeromissError when a tensor is missing or has
    another shape, the file cannot be read, or there is none to read.
    """
    weights, origin = _weights(backbone, path)
    wanted = network.state_dict()
    counters = {key: tensor for key, tensor in wanted.items() if key.endswith(_COUNTER) and key not in weights}
    load_strictly(network, counters | {key: weights[key] for key in wanted if key in weights}, origin=origin)
    network.requires_grad_(False).eval()


def _weights(backbone: str, path: str | None) -> tuple[Mapping[str, Tensor], str]:
    if backbone == EMBEDDED:
        origin = path or package_file()
        with seeded(0):  # a network is built there, its weights drawn and thrown away
            return load_classifier(read_weights(origin), origin=origin).state_dict(), origin
    if path is None:
        raise ZeromissError(f"the weights of {backbone} come with no package: give their file as backbone_path, or choose {EMBEDDED}")
    return read_weights(path), path


def normalisation(backbone: str) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation, (3, 1, 1) each, of images in [0, 1] as `backbone` was taught them.

    Raises ZeromissError for a name timm does not know.
    """
    known = timm.get_pretrained_cfg(backbone, allow_unregistered=False) if timm.is_model(backbone) else None
    if known is None:
        raise ZeromissError(f"timm knows no backbone {backbone!r}: choose one of timm's names, {EMBEDDED} for example")
    return torch.tensor(known.mean).view(3, 1, 1), torch.tensor(known.std).view(3, 1, 1)
