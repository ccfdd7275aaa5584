"""The normal-variation mask: where normal parts vary, differences count less (paper 1, section 3.2)."""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zeromiss.errors import ZeromissError
from zeromiss.files import atomic_path

KEY = "mask"


def normal_variation_mask(differences: Iterable[Tensor]) -> Tensor:
    """Return the mask (H, W), float32 in [0, 1], from the differences |x - x_hat| (H, W) of unseen normals.

    Their mean is scaled to [0, 1] by its smallest and largest pixel and flipped: 1 where the
    reconstruction is best, 0 where it is worst. A mean that is the same everywhere gives all ones: no
    place deserves less weight. One difference is held at a time.

    Raises ZeromissError when there is no difference at all.
    """
    total, count = None, 0
    for difference_HW in differences:
        total = difference_HW.double() if total is None else total + difference_HW
        count += 1
    if total is None:
        raise ZeromissError("the mask needs at least one normal image outside training: set manifest.mask above 0")
    mean_HW = total / count
    low, high = mean_HW.min(), mean_HW.max()
    if high == low:
        return torch.ones_like(mean_HW, dtype=torch.float32)
    return (1.0 - (mean_HW - low) / (high - low)).float()


def save_mask(path: Path, mask_HW: Tensor) -> None:
    """Write a mask as safetensors, atomically."""
    with atomic_path(path) as temporary:
        save_file({KEY: mask_HW.cpu().contiguous()}, temporary)


def load_mask_file(path: Path) -> Tensor:
    """Read what `save_mask` wrote.

    Raises ZeromissError when the file is missing, damaged or holds no mask.
    """
    try:
        return load_file(path)[KEY]
    except FileNotFoundError:
        raise ZeromissError(f"{path} is missing: run the metrics stage") from None
    except (SafetensorError, KeyError) as error:
        raise ZeromissError(f"{path} holds no mask ({error}): run the metrics stage again") from None
