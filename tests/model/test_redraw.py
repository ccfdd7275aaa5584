"""The two reconstructors that were tried and not taken up: their formulas, and that the page says what was measured."""

import json
import math

import pytest
import torch
from benchmarks import reconstructors
from benchmarks.measure import FOLDER, RESULTS
from benchmarks.redraw.diffusion import Denoiser, DiffusingVqgan, parts
from benchmarks.redraw.vit import VitVqgan, places
from torch import nn

from zeromiss.detector_params import VqganParams
from zeromiss.detectors.vqgan.vqgan import Vqgan

PARAMS = VqganParams(channels=(8, 8), codes=8, code_dim=4, critic_channels=4, critic_layers=1)


class _Knows(nn.Module):
    """A denoiser that knows the clean latent: its velocity is exact, (cos z_t - z) / sin."""

    def __init__(self, z_BDhw):
        super().__init__()
        self.z_BDhw = z_BDhw

    def forward(self, noised_BDhw, t_B):
        cos, sin = parts(t_B)
        return (cos * noised_BDhw - self.z_BDhw) / sin


@pytest.mark.parametrize("steps", [1, 4])
def test_an_exact_denoiser_leads_back_to_the_latent_it_knows(steps):
    known, given = torch.randn(2, 1, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    redrawn = DiffusingVqgan(Vqgan(PARAMS), _Knows(known), torch.tensor(3.0), torch.tensor(2.0), level=0.999, steps=steps)
    # the start still holds cos(0.999 pi / 2) = 0.0016 of the image, which an exact denoiser takes for noise and removes
    assert torch.allclose(redrawn.denoise(given * 2 + 3), known * 2 + 3, atol=1e-4)


def test_latent_and_noise_share_the_variance():
    cos, sin = parts(torch.tensor([0.0, 1 / 3, 1.0]))
    assert cos.flatten().tolist() == pytest.approx([1.0, math.sqrt(3) / 2, 0.0], abs=1e-6)
    assert torch.allclose(cos**2 + sin**2, torch.ones(3, 1, 1, 1))


def test_each_cell_is_told_its_row_and_column():
    place_NC = places(2, 3, 8)
    assert place_NC.shape == (6, 8)
    assert place_NC[5].tolist() == pytest.approx([math.sin(1), math.sin(1e-4), math.cos(1), math.cos(1e-4), math.sin(2), math.sin(2e-4), math.cos(2), math.cos(2e-4)])


@pytest.mark.parametrize("kind", ["transformer", "diffusion"])
def test_each_image_is_redrawn_for_itself_and_repeatably(kind):
    vit = VitVqgan(PARAMS, seed=0, width=16, depth=1, heads=2).eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        denoiser = Denoiser(4, width=8).eval()
    diffusing = DiffusingVqgan(Vqgan(PARAMS), denoiser, torch.zeros(1, 4, 1, 1), torch.ones(1, 4, 1, 1), level=0.5, steps=2).eval()
    redraw = {"transformer": vit, "diffusion": diffusing}[kind].reconstruct
    image_BCHW = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    together = redraw(image_BCHW).image_hat_BCHW
    assert together.shape == image_BCHW.shape
    assert torch.equal(together, redraw(image_BCHW).image_hat_BCHW)
    alone = torch.cat([redraw(one_CHW[None]).image_hat_BCHW for one_CHW in image_BCHW])
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_page_shows_the_committed_figures():
    figures = json.loads((RESULTS / "reconstructors.json").read_text(encoding="utf-8"))["figures"]
    assert reconstructors.table(figures) in (FOLDER.parent / "docs" / "reconstructors.md").read_text(encoding="utf-8")
