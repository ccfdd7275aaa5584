"""Diffusion in the latent of a trained VQGAN: noise is laid over E(x) and taken off again by what knows normals alone.

With t in [0, 1], z_t = cos(pi t / 2) z + sin(pi t / 2) noise; the network predicts the velocity, from which both parts
follow, and DDIM's deterministic steps lead back to t = 0.
Axes: B images, D code dimension, h and w latent cells.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import trange

from zeromiss.detectors.batches import generator_at
from zeromiss.detectors.vqgan.codebook import Quantised
from zeromiss.detectors.vqgan.loss import learning_rate_factor
from zeromiss.detectors.vqgan.network import ResidualBlock, Upsample
from zeromiss.detectors.vqgan.vqgan import Vqgan

WAVES = 16  # frequencies by which the network is told t
WARMUP, END = 50, 0.01  # of the learning rate, the same for all that is compared


class Denoiser(nn.Module):
    """A U-Net of two resolutions: noised latent and t in, velocity out."""

    def __init__(self, code_dim: int, *, width: int) -> None:
        """Work with `width` channels, twice as many at the lower resolution."""
        super().__init__()
        self.time = nn.Sequential(nn.Linear(2 * WAVES, width), nn.SiLU(), nn.Linear(width, width))
        self.enter, self.fine = nn.Conv2d(code_dim, width, 3, padding=1), ResidualBlock(width, width)
        self.down, self.know = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.Linear(width, 2 * width)
        self.coarse = nn.Sequential(*(ResidualBlock(2 * width, 2 * width) for _ in range(3)), Upsample(2 * width))
        self.last = nn.Sequential(ResidualBlock(3 * width, width), nn.SiLU(), nn.Conv2d(width, code_dim, 3, padding=1))

    def forward(self, noised_BDhw: Tensor, t_B: Tensor) -> Tensor:
        """Return cos noise - sin z, (B, D, h, w); h and w are even."""
        angle_BW = t_B[:, None] * torch.exp(torch.linspace(0, math.log(100.0), WAVES, device=t_B.device))
        time_BC = self.time(torch.cat([angle_BW.sin(), angle_BW.cos()], dim=1))
        fine_BChw = self.fine(self.enter(noised_BDhw) + time_BC[:, :, None, None])
        coarse_BChw = self.coarse(self.down(fine_BChw) + self.know(time_BC)[:, :, None, None])
        return self.last(torch.cat([fine_BChw, coarse_BChw], dim=1))


def parts(t_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights of latent and noise at t, (B, 1, 1, 1) each."""
    angle_B111 = t_B[:, None, None, None] * (math.pi / 2)
    return angle_B111.cos(), angle_B111.sin()


class DiffusingVqgan(Vqgan):
    """A trained Vqgan that decodes its latent noised to `level` and denoised again, instead of the codes."""

    def __init__(self, vqgan: Vqgan, denoiser: Denoiser, mean_1D11: Tensor, scale_1D11: Tensor, *, level: float, steps: int) -> None:
        """Copy the trained networks; mean and scale are those of normal latents."""
        super().__init__(vqgan.params)
        self.load_state_dict(vqgan.state_dict())
        self.denoiser, self.mean_1D11, self.scale_1D11, self.level, self.steps = denoiser, mean_1D11, scale_1D11, level, steps

    def quantise(self, latent_BDhw: Tensor) -> Quantised:
        """Return the codes and their distance as always, and the denoised latent to decode."""
        return replace(super().quantise(latent_BDhw), latent_BDhw=self.denoise(latent_BDhw))

    def denoise(self, latent_BDhw: Tensor) -> Tensor:
        """Return the latent as of a normal image; every image gets the same noise."""
        z_BDhw = (latent_BDhw - self.mean_1D11) / self.scale_1D11
        noise_BDhw = torch.randn(1, *z_BDhw.shape[1:], generator=generator_at(0, 0, 2)).to(z_BDhw).expand_as(z_BDhw)
        times = torch.linspace(self.level, 0.0, self.steps + 1, device=z_BDhw.device)
        for step in range(self.steps):
            t_B = times[step].expand(len(z_BDhw))
            cos, sin = parts(t_B)
            noised_BDhw = cos * z_BDhw + sin * noise_BDhw
            velocity_BDhw = self.denoiser(noised_BDhw, t_B)
            z_BDhw, noise_BDhw = cos * noised_BDhw - sin * velocity_BDhw, sin * noised_BDhw + cos * velocity_BDhw
        return z_BDhw * self.scale_1D11 + self.mean_1D11


def train_diffusion(
    vqgan: Vqgan, images_BCHW: Sequence[Tensor], *, seed: int, steps: int, batch: int, width: int, rate: float, redraws: int
) -> DiffusingVqgan:
    """Learn the latents of normal images in [0, 1], (1, 3, H, W) each; `redraws` DDIM steps lead back."""
    with torch.no_grad():
        latent_NDhw = torch.cat([vqgan.encode(vqgan.fit(image_BCHW)) for image_BCHW in images_BCHW]).contiguous()
    scale_1D11, mean_1D11 = torch.std_mean(latent_NDhw, dim=(0, 2, 3), keepdim=True)
    z_NDhw = (latent_NDhw - mean_1D11) / scale_1D11
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser = Denoiser(z_NDhw.shape[1], width=width).train()
    optimiser = torch.optim.AdamW(denoiser.parameters(), lr=rate)
    for step in trange(steps, desc="denoiser", unit="step"):
        draws = generator_at(seed, step, 3)
        z_BDhw = z_NDhw[torch.randint(len(z_NDhw), (batch,), generator=draws)]
        t_B, noise_BDhw = torch.rand(batch, generator=draws), torch.randn(z_BDhw.shape, generator=draws)
        cos, sin = parts(t_B)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            velocity_BDhw = denoiser(cos * z_BDhw + sin * noise_BDhw, t_B)
        loss = functional.mse_loss(velocity_BDhw.float(), cos * noise_BDhw - sin * z_BDhw)
        optimiser.param_groups[0]["lr"] = rate * learning_rate_factor(step, steps, warmup=WARMUP, end=END)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return DiffusingVqgan(vqgan, denoiser.eval(), mean_1D11, scale_1D11, level=0.5, steps=redraws).eval()
