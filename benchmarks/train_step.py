"""One training step of the paper's VQGAN at 256 pixels against the blocks of `taming-transformers`, and what bf16 costs.

Both sides: width 128, f = 16, batch 1, two residual blocks a resolution, attention in the middle, 2048 codes of 512
values, a patch discriminator of 64 channels and 3 layers at work, VGG-16's last features for the perceptual term,
Adam for both. Theirs is fp32, as its users run it on a CPU.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from benchmarks.measure import Figure, paired, speedup
from zeromiss.backbones.base import Backbone
from zeromiss.backbones.load import load_backbone
from zeromiss.detectors.batches import Batches
from zeromiss.detectors.vqgan.trainer import Trainer
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.detector_params import VqganParams
from zeromiss.params import read_params
from zeromiss.planning.tally import Tally

SIDE, LEAST = 256, 5.0
ROUNDS = {2: 3, 1: 2}  # by how often theirs redraws the image in a step
MATRIX = 4096  # rows and columns of the matrices that measure the machine's peak
SEEDS = {"fp32": (0, 1, 2), "bf16": (0, 1)}  # a seed draws weights and batches
STEPS, WINDOW = 200, 25
_THEIRS = "blocks of taming-transformers, fp32"


def run() -> list[Figure]:
    """Return the ratios of a step, the share of the machine's peak, and how far bf16's loss strays from fp32's."""
    image_BCHW = torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    backbone = load_backbone("vgg16")
    ours = our_step(paper_params(), backbone, image_BCHW)
    same = load_backbone("vgg16")  # of its own: ours has turned its weights into another memory layout
    theirs = {forwards: their_step(same, image_BCHW, forwards=forwards) for forwards in ROUNDS}
    work, work_twice, work_once = (operations(step) for step in (ours, theirs[2], theirs[1]))
    peaks = [peak(dtype) for dtype in (torch.bfloat16, torch.float32)]
    times = {forwards: paired(ours, theirs[forwards], rounds=rounds, warmup=0) for forwards, rounds in ROUNDS.items()}  # warm by now
    as_users, tuned = times[2], times[1]
    peaks = [max(before, peak(dtype)) for before, dtype in zip(peaks, (torch.bfloat16, torch.float32), strict=True)]
    reached = sorted(work / seconds / peaks[0] for seconds in (*as_users.ours, *tuned.ours))
    limit = peaks[0] / peaks[1]
    return [
        speedup(
            as_users,
            what="VQGAN training step, 256 px, width 128, batch 1",
            against=f"{_THEIRS}; its VQModel redraws the image for each optimiser",
            least=LEAST,
            note=bound(work, work_twice, limit),
        ),
        Figure(
            what="the same step",
            against=f"{_THEIRS}, one redrawn image for both optimisers",
            value=statistics.median(tuned.ratios),
            unit="x",
            spread=(min(tuned.ratios), max(tuned.ratios)),
            note=bound(work, work_once, limit),
        ),
        Figure(
            what="share of this machine's bf16 peak that the step reaches",
            against=f"the faster of two measurements of a {MATRIX} x {MATRIX} bf16 matmul, {peaks[0] / 1e9:.0f} GFLOP/s",
            value=100 * statistics.median(reached),
            unit="%",
            spread=(100 * reached[0], 100 * reached[-1]),
            note="operations of a step by the formulas of torch.utils.flop_counter, divided by its seconds",
        ),
        Figure(
            what="most that bf16 alone can give: its matmul peak over that of fp32",
            value=limit,
            unit="x",
            note=f"{peaks[0] / 1e9:.0f} against {peaks[1] / 1e9:.0f} GFLOP/s, all cores",
        ),
        *loss_figures(backbone),
    ]


def bound(ours: int, theirs: int, limit: float) -> str:
    """Return what both do in a step, and the ratio if each did it at its precision's peak."""
    return (
        f"{ours / 1e12:.2f} against {theirs / 1e12:.2f} TFLOP and bf16 {limit:.2f} x as fast as fp32 here, "
        f"so {limit * theirs / ours:.1f} x where both run at their peak"
    )


def paper_params() -> VqganParams:
    """Return the profile `paper`, its discriminator at work from the first step, all maps kept in memory."""
    profile = read_params(Path(__file__).parents[1] / "params.yaml")["profiles"]["paper"]["vqgan"]
    return VqganParams.model_validate(profile | {"critic_start": 0, "critic_warmup": 0, "gradient_checkpointing": False})


def our_step(params: VqganParams, backbone: Backbone, image_BCHW: Tensor) -> Callable[[], object]:
    """Return a training step of this product, as `train` takes it."""
    trainer = Trainer(Vqgan(params, seed=0).train(), backbone, seed=0)
    steps = iter(range(params.steps))
    return lambda: trainer.step(image_BCHW, next(steps))


@dataclass(kw_only=True)
class Theirs:
    """Encoder, codebook, decoder and discriminator of taming-transformers, same shapes."""

    encoder: nn.Module
    quantiser: nn.Module
    decoder: nn.Module
    critic: nn.Module

    def redraw(self, signed_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the redrawn image in [-1, 1] and the codebook's loss."""
        latent_BDhw, loss, _ = self.quantiser(self.encoder(signed_BCHW))
        return self.decoder(latent_BDhw), loss

    def makers(self) -> list[nn.Parameter]:
        """Return what the first optimiser trains."""
        return [weight for part in (self.encoder, self.quantiser, self.decoder) for weight in part.parameters()]


def their_networks() -> Theirs:
    """Build them; only modules that need no trainer are imported."""
    from taming.modules.diffusionmodules.model import Decoder, Encoder
    from taming.modules.discriminator.model import NLayerDiscriminator, weights_init
    from taming.modules.vqvae.quantize import VectorQuantizer

    plan = {"ch": 128, "out_ch": 3, "ch_mult": (1, 1, 2, 2, 4), "num_res_blocks": 2, "attn_resolutions": [], "in_channels": 3}
    plan |= {"resolution": SIDE, "z_channels": 512, "double_z": False}
    torch.manual_seed(0)
    return Theirs(
        encoder=Encoder(**plan),
        quantiser=VectorQuantizer(2048, 512, 0.25),
        decoder=Decoder(**plan),
        critic=NLayerDiscriminator(input_nc=3, ndf=64, n_layers=3).apply(weights_init),
    )


def their_step(backbone: Backbone, image_BCHW: Tensor, *, forwards: int) -> Callable[[], object]:
    """Return a step in the order of its VQModel: each optimiser in turn, the other's weights frozen meanwhile.

    With two `forwards`, as there, the discriminator's turn redraws the image; with one it uses the first.
    """
    networks = their_networks()
    makers, judges = networks.makers(), list(networks.critic.parameters())
    first, second = (torch.optim.Adam(weights, lr=4.5e-6, betas=(0.5, 0.9)) for weights in (makers, judges))
    signed_BCHW = image_BCHW.float() / 127.5 - 1

    def step() -> None:
        """Take one step of both optimisers."""
        freeze(judges, frozen=True)
        signed_hat_BCHW, codebook = networks.redraw(signed_BCHW)
        loss = their_loss(networks, backbone, signed_BCHW, signed_hat_BCHW) + codebook
        first.zero_grad()
        loss.backward()
        first.step()
        freeze(judges, frozen=False)
        if forwards == 2:
            freeze(makers, frozen=True)
            signed_hat_BCHW, _ = networks.redraw(signed_BCHW)
            freeze(makers, frozen=False)
        real, fake = networks.critic(signed_BCHW), networks.critic(signed_hat_BCHW.detach())
        second.zero_grad()
        (functional.softplus(-real).mean() + functional.softplus(fake).mean()).backward()
        second.step()

    return step


def freeze(weights: list[nn.Parameter], *, frozen: bool) -> None:
    """Stop or allow gradients to weights."""
    for weight in weights:
        weight.requires_grad_(not frozen)


def their_loss(networks: Theirs, backbone: Backbone, signed_BCHW: Tensor, signed_hat_BCHW: Tensor) -> Tensor:
    """Return the generator's loss; its adaptive weight takes two gradients at the last layer on the way."""
    features, features_hat = (backbone((each + 1) / 2)[-1] for each in (signed_BCHW, signed_hat_BCHW))
    rec = functional.mse_loss(signed_hat_BCHW, signed_BCHW) + functional.mse_loss(features_hat, features)
    gan = functional.softplus(-networks.critic(signed_hat_BCHW)).mean()
    last = networks.decoder.conv_out.weight
    rec_L, gan_L = (torch.autograd.grad(term, last, retain_graph=True)[0] for term in (rec, gan))
    weight = (rec_L.norm() / (gan_L.norm() + 1e-4)).clamp(0.0, 1e4).detach()
    return rec + 0.5 * weight * gan


def operations(step: Callable[[], object]) -> int:
    """Return the floating-point operations of a step."""
    with Tally() as tally:
        step()
    return tally.flops


def peak(dtype: torch.dtype) -> float:
    """Return the operations a second of a large matrix product, the best of five."""
    matrix = torch.randn(MATRIX, MATRIX).to(dtype)
    taken = []
    for _ in range(6):
        start = time.perf_counter()
        matrix @ matrix
        taken.append(time.perf_counter() - start)
    return 2 * MATRIX**3 / min(taken[1:])


def loss_figures(backbone: Backbone) -> list[Figure]:
    """Train a small model on drawn stripes in both precisions with several seeds; compare the curves."""
    curves = {name: torch.tensor([curve(name, seed, backbone) for seed in seeds]) for name, seeds in SEEDS.items()}  # (seeds, windows)
    gap_W = (curves["bf16"].mean(0) - curves["fp32"][: len(SEEDS["bf16"])].mean(0)).abs()
    noise_W = curves["fp32"].amax(0) - curves["fp32"].amin(0)
    strayed = (gap_W.mean() / noise_W.mean()).item()
    ends = [f"{curves[name][:2, -1].mean():.4g}" for name in ("bf16", "fp32")]
    return [
        Figure(
            what=f"loss over {STEPS} steps of a small model in bf16, distance from fp32",
            against="fp32's own spread over three seeds",
            target="<= 1",
            value=strayed,
            unit="x",
            met=strayed <= 1,
            note=(
                f"64 px, width 32, f 16; both distances between means of {WINDOW} steps, averaged over the curve, bf16 and fp32 "
                f"with the same two seeds; at the end {ends[0]} against {ends[1]}, and seeds differ by {noise_W[-1]:.4g}"
            ),
        )
    ]


def curve(precision: str, seed: int, backbone: Backbone) -> list[float]:
    """Return the mean loss of each window of a training: pixels, perception and codebook together."""
    params = paper_params().model_copy(
        update={
            "channels": (32, 32, 64, 64, 128),
            "codes": 128,
            "code_dim": 32,
            "critic_channels": 16,
            "critic_start": STEPS // 2,
            "critic_warmup": WINDOW,
            "learning_rate": 5e-4,
            "precision": precision,
            "steps": STEPS,
        }
    )
    trainer = Trainer(Vqgan(params, seed=seed).train(), backbone, seed=seed)
    batches = Batches(striped_images(), batch=1, crop=None, seed=seed, steps=STEPS)
    losses = []
    for step in tqdm(range(STEPS), desc=f"{precision}, seed {seed}", unit="step", leave=False):
        values = trainer.step(batches[step], step)
        losses.append(float(values["pixel"] + params.perceptual * values["perceptual"] + values["codebook"]))
    return [statistics.mean(losses[start : start + WINDOW]) for start in range(0, STEPS, WINDOW)]


def striped_images() -> Tensor:
    """Return 16 images of slanted stripes, each with its own pitch and tint, uint8 (16, 3, 64, 64)."""
    row_HW, column_HW = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    images = []
    for number in range(16):
        wave_HW = torch.sin((row_HW + (number % 4) * column_HW) / (2 + number / 4))
        images.append(torch.stack([127 + (40 + 5 * number) * wave_HW * tint for tint in (1.0, 0.8, 0.6)]))
    return torch.stack(images).clamp(0, 255).to(torch.uint8)


if __name__ == "__main__":
    for figure in run():
        print(figure)
