"""The parameters of every detector: one section each, read by the stage that bears its name.

A product's `detectors` says which of them learn its good parts; only their sections need be there.
"""

from typing import Literal

from pydantic import Field

from zeromiss.sections import Section


class VqganParams(Section):
    """The VQGAN (paper 1, section 3.1.1): network, loss and training."""

    stem: Literal["conv", "unshuffle"] = "unshuffle"
    channels: tuple[int, ...] = (48, 96)  # width of each resolution, from the finest
    blocks: int = Field(default=1, ge=1)  # residual blocks a resolution
    template: bool = False  # fixed positions only: the network redraws deviations from the mean good part
    attention: bool = False  # at the lowest resolution; learned on crops, it misleads on whole images
    codes: int = Field(default=256, ge=2)
    code_dim: int = Field(default=32, ge=1)
    codebook: Literal["ema", "gradient"] = "ema"
    beta: float = Field(default=0.05, ge=0.0)  # weight of the commitment term
    codebook_start: int = Field(default=300, ge=0)  # step at which quantising begins; before, a plain autoencoder
    dead_after: int = Field(default=50, ge=1)  # steps without use after which a code is revived
    backbone: str = "efficientnet_lite0"  # of the perceptual loss
    backbone_path: str | None = None
    perceptual: float = Field(default=0.001, ge=0.0)
    critic_channels: int = Field(default=16, ge=1)
    critic_layers: int = Field(default=2, ge=1)
    critic_warmup: int = Field(default=100, ge=0)  # steps the discriminator trains before it counts
    critic_start: int = Field(default=1100, ge=0)  # step at which its own training begins
    adversarial: float = Field(default=0.5, ge=0.0)  # factor on the adaptive weight lambda
    crop: int | None = 96  # training crops; None = whole images
    batch: int = Field(default=4, ge=1)
    steps: int = Field(default=1600, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0.0)
    precision: Literal["bf16", "fp32"] = "bf16"  # of the training step; judging is always fp32
    checkpoint_every: int = Field(default=250, ge=1)
    devices: int = Field(default=1, ge=1)  # GPUs, or processes without one, that share each batch; the result stays, up to rounding
    gradient_checkpointing: bool = False  # less memory for more time: 1024 pixels at full width on one GPU
    compile: bool = False  # torch.compile of the networks' bodies: minutes at the start, pays on a GPU in long trainings


class GanodipParams(Section):
    """GanoDIP: a WGAN whose frozen generator an encoder learns to steer (paper 2, section 5)."""


class FAnoganParams(Section):
    """f-AnoGAN: the same, learned and judged on small patches (paper 2, section 5.1)."""


class CycleganParams(Section):
    """CycleGAN-AD: abnormal images redrawn as normal ones, learned from both (paper 3)."""


class CpcaeParams(Section):
    """Conditional patch autoencoder and neighbours among its error maps (paper 4, section 3)."""


class SimplenetParams(Section):
    """SimpleNet: adapted features told from noisy ones (paper 5, section 3.1)."""


class PadimParams(Section):
    """PaDiM through anomalib: one normal distribution of features a position."""


class PatchcoreParams(Section):
    """PatchCore through anomalib: distance to a coreset of normal features."""


class EfficientadParams(Section):
    """EfficientAD through anomalib: a student that imitates a teacher on normal parts alone (paper 5)."""


class GanomalyParams(Section):
    """GANomaly through anomalib: encode, decode, encode again, compare codes (paper 3's table)."""


DETECTOR_SECTIONS: dict[str, type[Section]] = {
    "vqgan": VqganParams,
    "ganodip": GanodipParams,
    "f_anogan": FAnoganParams,
    "cyclegan": CycleganParams,
    "cpcae": CpcaeParams,
    "simplenet": SimplenetParams,
    "padim": PadimParams,
    "patchcore": PatchcoreParams,
    "efficientad": EfficientadParams,
    "ganomaly": GanomalyParams,
}
DETECTORS = tuple(DETECTOR_SECTIONS)
DetectorName = Literal["vqgan", "ganodip", "f_anogan", "cyclegan", "cpcae", "simplenet", "padim", "patchcore", "efficientad", "ganomaly"]
