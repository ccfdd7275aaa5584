"""Detectors on images that are no square: maps and reconstructions have the image's own rows and columns."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.model.cyclegan_parts import tiny
from tests.model.vqgan_parts import load_tiny
from zeromiss.detector_params import CpcaeParams, FAnoganParams, GanodipParams, GanomalyParams, PadimParams, PatchcoreParams, SimplenetParams, VqganParams
from zeromiss.detectors.base import redraws
from zeromiss.detectors.cpcae import store
from zeromiss.detectors.cpcae.cpcae import Cpcae
from zeromiss.detectors.cpcae.store import load_cpcae, save_cpcae
from zeromiss.detectors.cyclegan.cyclegan import Cyclegan
from zeromiss.detectors.f_anogan.f_anogan import FAnogan
from zeromiss.detectors.ganodip.ganodip import Ganodip
from zeromiss.detectors.ganodip.resize import resized
from zeromiss.detectors.ganomaly.ganomaly import Ganomaly
from zeromiss.detectors.padim.padim import Padim
from zeromiss.detectors.padim.store import load_padim, save_padim
from zeromiss.detectors.patchcore.patchcore import Patchcore
from zeromiss.detectors.simplenet.simplenet import Simplenet
from zeromiss.detectors.vqgan.store import load_vqgan, save_vqgan
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize

WIDE = ImageSize(96, 64)
GAN = {"channels": (8, 8), "latent": 4}
CPCAE = CpcaeParams(downsize=2.0, patch=16, patch_step=8, channels=(8,), code=4, neighbors=1)
TEMPLATE = VqganParams(channels=(8, 16), blocks=1, codes=8, code_dim=4, critic_channels=4, template=True)
BUILT: dict[str, Callable[[], nn.Module]] = {
    "vqgan": lambda: Vqgan(TEMPLATE, size=WIDE),
    "ganodip": lambda: Ganodip(GanodipParams(side=16, **GAN)),
    "f_anogan": lambda: FAnogan(FAnoganParams(tile=16, **GAN)),
    "cyclegan": lambda: Cyclegan(tiny()),
    "cpcae": lambda: Cpcae(CPCAE, load_tiny(), size=WIDE, images=2),
    "ganomaly": lambda: Ganomaly(GanomalyParams(side=32, channels=4, latent=8)),
    "simplenet": lambda: Simplenet(SimplenetParams(strides=(2, 4)), load_tiny()),
    "padim": lambda: Padim(PadimParams(features=12), size=WIDE),
    "patchcore": lambda: Patchcore(PatchcoreParams(neighbours=1), size=WIDE, kept=4),
}


@pytest.fixture
def image_BCHW() -> Tensor:
    """An image of 96 x 64 pixels."""
    return torch.rand(1, 3, *WIDE.shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", BUILT)
def test_rows_stay_rows_and_columns_columns(name: str, image_BCHW: Tensor) -> None:
    torch.manual_seed(0)
    detector = BUILT[name]().eval()
    if not redraws(detector):
        assert detector.detect(image_BCHW).map_BHW.shape == (1, *WIDE.shape)
        return
    redrawn = detector.reconstruct(image_BCHW)
    assert redrawn.image_hat_BCHW.shape == image_BCHW.shape
    if detector.score_names is not None:
        assert detector.score(image_BCHW, redrawn).map_BHW.shape == (1, *WIDE.shape)


def test_what_is_made_for_one_size_refuses_its_turned_one_and_comes_back_from_disk(
    tmp_path: Path, image_BCHW: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "build_backbone", lambda _name: load_tiny())
    made = [
        (BUILT["vqgan"](), save_vqgan, load_vqgan, r"template has 96 x 64 pixels, the image 64 x 96"),
        (BUILT["cpcae"](), save_cpcae, load_cpcae, r"learned images of 96 x 64 pixels and is given 64 x 96"),
        (BUILT["padim"](), save_padim, load_padim, r"padim learned images of 96 x 64 pixels, this one has 64 x 96"),
    ]
    for detector, save, load, sentence in made:
        save(tmp_path / detector.name, detector)
        loaded = load(tmp_path / detector.name)
        judge = loaded.reconstruct if redraws(loaded) else loaded.detect
        judge(image_BCHW)
        with pytest.raises(ZeromissError, match=sentence):
            judge(image_BCHW.mT.contiguous())


def test_resizing_between_two_shapes_by_hand() -> None:
    image_BCHW = torch.arange(8.0).view(1, 1, 2, 4)
    assert torch.equal(resized(image_BCHW, (1, 2)), torch.tensor([[[[2.5, 4.5]]]]))
    assert resized(image_BCHW, (2, 4)) is image_BCHW
    assert resized(image_BCHW, (4, 4)).shape == (1, 1, 4, 4)
