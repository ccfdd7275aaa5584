"""What the tests of the detectors on anomalib share: drawn parts that lie alike, and how two detectors are compared."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from zeromiss.detectors.base import Detection, Detector

SIDE = 64


def parts(count: int, *, seed: int = 0, spoiled: bool = False, side: int = SIDE) -> Tensor:
    """Drawn parts with a frame and a disc, each with its own light and grain, uint8 (count, 3, side, side); spoiled: with a blot."""
    draws = torch.Generator().manual_seed(seed)
    row_HW, column_HW = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    disc_HW = (row_HW.square() + column_HW.square() < 0.35).float()
    frame_HW = (torch.maximum(row_HW.abs(), column_HW.abs()) > 0.8).float()
    images = []
    for _ in range(count):
        light = 10 * float(torch.rand((), generator=draws))
        image_CHW = torch.stack([90 + light + 60 * disc_HW, 100 + light + 50 * frame_HW, 80 + light + 30 * disc_HW + 20 * frame_HW])
        image_CHW = image_CHW + 4 * torch.randn(image_CHW.shape, generator=draws)
        if spoiled:
            length = side // 4
            top, left = torch.randint(side // 8, side // 2, (2,), generator=draws).tolist()
            image_CHW[:, top : top + length, left : left + length] = torch.tensor([250.0, 10.0, 240.0])[:, None, None]
        images.append(image_CHW.clamp(0, 255).byte())
    return torch.stack(images)


def unseen(*, spoiled: bool = False, count: int = 4, side: int = SIDE) -> Tensor:
    """Parts that taught nothing, (count, 3, side, side) in [0, 1]."""
    return parts(count, seed=99, spoiled=spoiled, side=side).float() / 255


def judged(detector: Detector, image_BCHW: Tensor) -> Detection:
    """Judge images by whichever way the detector has."""
    if hasattr(detector, "reconstruct"):
        return detector.score(image_BCHW, detector.reconstruct(image_BCHW))
    return detector.detect(image_BCHW)


def assert_same(first: nn.Module, second: nn.Module) -> None:
    """Assert that two detectors hold the same tensors bit for bit."""
    assert list(first.state_dict()) == list(second.state_dict())
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


def assert_found_alike(first: Detection, second: Detection) -> None:
    """Assert that two detections are the same bit for bit."""
    assert torch.equal(first.score_B, second.score_B) and torch.equal(first.map_BHW, second.map_BHW)


def assert_keeps_its_promises(detector: Detector, image_BCHW: Tensor) -> None:
    """Assert what is demanded of every detection: type, size, range, and each image for itself, in any thread."""
    found = judged(detector, image_BCHW)
    count, _, rows, columns = image_BCHW.shape
    assert found.score_B.shape == (count,) and found.map_BHW.shape == (count, rows, columns)
    assert found.score_B.dtype == found.map_BHW.dtype == torch.float32
    assert found.score_B.isfinite().all() and found.map_BHW.isfinite().all() and (found.map_BHW >= 0).all()
    singles = [image_BCHW[index : index + 1] for index in range(count)]
    with ThreadPoolExecutor(3) as pool:
        for alone in (map(lambda one: judged(detector, one), singles), pool.map(lambda one: judged(detector, one), singles)):
            assert_found_alike(joined(alone), found)


def joined(found: Iterable[Detection]) -> Detection:
    """Put detections of one image each together."""
    each = list(found)
    return Detection(score_B=torch.cat([one.score_B for one in each]), map_BHW=torch.cat([one.map_BHW for one in each]))


def drawn_weights(path: Path, backbone: str, layers: tuple[int, ...]) -> str:
    """Write weights drawn at random for a backbone of timm's up to its last layer asked for; return the file's path."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model(backbone, pretrained=False, features_only=True, out_indices=layers)
    save_file({key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}, path)
    return str(path)
