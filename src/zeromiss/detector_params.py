"""The parameters of every detector: one section each, read by the stage that bears its name.

A product's `detectors` says which of them learn its good parts; only their sections need be there.
"""

from typing import Literal

from pydantic import Field, NonNegativeInt, field_validator, model_validator

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
    codebook_start: int = Field(default=200, ge=0)  # step at which quantising begins; before, a plain autoencoder
    dead_after: int = Field(default=50, ge=1)  # steps without use after which a code is revived
    backbone: str = "efficientnet_lite0"  # of the perceptual loss
    backbone_path: str | None = None
    perceptual: float = Field(default=0.001, ge=0.0)
    critic_channels: int = Field(default=16, ge=1)
    critic_layers: int = Field(default=2, ge=1)
    critic_warmup: int = Field(default=50, ge=0)  # steps the discriminator trains before it counts
    critic_start: int = Field(default=500, ge=0)  # step at which its own training begins
    adversarial: float = Field(default=0.5, ge=0.0)  # factor on the adaptive weight lambda
    crop: int | None = 96  # training crops; None = whole images
    batch: int = Field(default=4, ge=1)
    steps: int = Field(default=700, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0.0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"  # of the training step; auto: bf16 where the processor or GPU has instructions for it; inspecting has its own
    lr_warmup: int = Field(default=50, ge=0)  # steps in which the learning rate rises; 0: none
    lr_end: float = Field(default=0.01, gt=0.0, le=1.0)  # share of the learning rate at the last step, along a half cosine; 1: it stays
    # most of the moving average of the weights, which is what is judged, that stays at each step; early on less stays, so
    # that short trainings have the mean of about their last ninth. 0: the last weights are judged
    ema_decay: float = Field(default=0.999, ge=0.0, lt=1.0)
    checkpoint_every: int = Field(default=250, ge=1)
    devices: int = Field(default=1, ge=1)  # GPUs, or processes without one, that share each batch; the result stays, up to rounding
    gradient_checkpointing: bool = False  # less memory for more time: 1024 pixels at full width on one GPU
    compile: bool = False  # torch.compile of the networks' bodies: minutes at the start, pays on a GPU in long trainings


class WganParams(Section):
    """What GanoDIP and f-AnoGAN share: a WGAN with gradient penalty, then an encoder into its latent space (paper 2, section 5.1)."""

    latent: int = Field(default=90, ge=1)  # numbers of z ~ N(0, I)
    channels: tuple[int, ...] = Field(default=(16, 32, 64, 64), min_length=1)  # width of each level, from the finest; each halves the side
    penalty: float = Field(default=10.0, ge=0.0)  # lambda of equation 1
    kappa: float = Field(default=1.0, ge=0.0)  # of equation 2: weight of D's features beside the pixels
    critic_steps: int = Field(default=4, ge=1)  # of the critic for each of the generator
    average: float = Field(default=0.98, ge=0.0, lt=1.0)  # share of the kept generator that stays at each of its steps; 0 = the last one is kept
    batch: int = Field(default=16, ge=1)
    gan_steps: int = Field(default=800, ge=1)  # batches of the first phase: the critic learns from each
    encoder_steps: int = Field(default=300, ge=1)  # batches of the second
    learning_rate: float = Field(default=5e-4, gt=0.0)  # of generator and critic
    encoder_learning_rate: float = Field(default=1e-3, gt=0.0)
    checkpoint_every: int = Field(default=250, ge=1)


class GanodipParams(WganParams):
    """GanoDIP: a WGAN whose frozen generator an encoder learns to steer (paper 2, section 5)."""

    side: int = Field(default=64, ge=8)  # pixels a side inside the networks; reconstructions are enlarged to the image's size
    patch: int = Field(default=4, ge=1)  # pixels a side of an intermediate patch
    alpha: float = Field(default=0.0015, gt=0.0, le=1.0)  # share of patches, the worst, that the score averages


class FAnoganParams(WganParams):
    """f-AnoGAN: the same, learned and judged on small patches (paper 2, section 5.1)."""

    tile: int = Field(default=64, ge=8)  # pixels a side of a patch, learned at random places and judged on a fixed grid
    # Tiles show less than whole images do: their generator learns faster without losing its critic.
    critic_steps: int = Field(default=2, ge=1)
    gan_steps: int = Field(default=900, ge=1)
    encoder_steps: int = Field(default=500, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0.0)


class CycleganParams(Section):
    """CycleGAN-AD: abnormal images redrawn as normal ones, learned from both (paper 3)."""

    side: int = Field(default=64, ge=32, multiple_of=4)  # pixels a side at which it redraws; what it changes is enlarged
    channels: int = Field(default=16, ge=1)  # width of the generators at full resolution
    blocks: int = Field(default=3, ge=0)  # their residual blocks, at a quarter of the resolution
    correction: bool = True  # what they draw is added to the image: learned in minutes; false: it is the image
    critic_channels: int = Field(default=16, ge=1)
    critic_layers: int = Field(default=2, ge=1)
    cycle: float = Field(default=10.0, ge=0.0)  # lambda, weight of the cycle loss beside the adversarial one
    identity: float = Field(default=0.5, ge=0.0)  # weight of the identity loss, as a share of lambda
    backbone: str = "efficientnet_lite0"  # of the FID score
    backbone_path: str | None = None
    batch: int = Field(default=2, ge=1)  # images of each kind a step
    steps: int = Field(default=1000, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0.0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"  # of the training step; auto: bf16 where the processor or GPU has instructions for it; inspecting has its own
    checkpoint_every: int = Field(default=250, ge=1)


class CpcaeParams(Section):
    """Conditional patch autoencoder and neighbours among its error maps (paper 4, section 3)."""

    downsize: float = Field(default=2.0, ge=1.0)  # the autoencoder sees images this many times smaller
    patch: int = Field(default=32, ge=4)  # pixels of a patch's side, after downsizing
    patch_step: int = Field(default=16, ge=1)  # pixels from one patch to the next; below `patch`, they overlap
    channels: tuple[int, ...] = Field(default=(16, 32, 64), min_length=1)  # width of each strided convolution
    code: int = Field(default=32, ge=1)  # width of the dense bottleneck
    sparsity: float = Field(default=5.0, ge=0.0)  # lambda: weight of the code's L1 norm against the summed squared error
    batch: int = Field(default=64, ge=1)  # patches
    steps: int = Field(default=600, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0.0)
    checkpoint_every: int = Field(default=200, ge=1)
    neighbors: int = Field(default=15, ge=1)  # k: training images whose error maps an image's is compared with
    backbone: str = "efficientnet_lite0"  # that looks at the error map
    backbone_path: str | None = None

    @model_validator(mode="after")
    def _patches_leave_no_gap(self) -> "CpcaeParams":
        """Every pixel is redrawn by some patch."""
        if self.patch_step > self.patch:
            raise ValueError(f"patch_step is {self.patch_step} and patch {self.patch}: pixels between patches would not be redrawn; lower patch_step")
        return self


class SimplenetParams(Section):
    """SimpleNet: adapted features told from noisy ones (paper 5, section 3.1)."""

    backbone: str = "efficientnet_lite0"
    backbone_path: str | None = None
    strides: tuple[int, int] = (8, 16)  # pixels a cell of the two levels of the backbone that are taken
    standardise: bool = True  # bring each channel to mean 0 and deviation 1 over the training images; the paper takes features as they are
    depth: int | None = Field(default=None, ge=2, multiple_of=2)  # channels of a cell's features, half from each level; null: one for each of the maps'
    hidden: int = Field(default=256, ge=1)  # width of the discriminator's first layer
    noise: float = Field(default=0.3, gt=0.0)  # standard deviation of what is added to adapted features
    th: float = Field(default=0.5, gt=0.0)  # beyond it on the right side of zero, a cell's normality costs nothing
    epochs: int = Field(default=6, ge=1)
    least_steps: int = Field(default=400, ge=1)  # where the epochs of few images have fewer
    batch: int = Field(default=4, ge=1)  # images; all their cells teach
    adapter_rate: float = Field(default=1e-4, gt=0.0)
    learning_rate: float = Field(default=2e-4, gt=0.0)  # of the discriminator
    weight_decay: float = Field(default=1e-5, ge=0.0)
    keep_mib: int = Field(default=2048, ge=0)  # most memory for the backbone's maps of the training images, computed once; 0: anew at every step
    smoothing: float = Field(default=4.0, ge=0.0)  # of the map, a Gaussian's standard deviation in pixels
    checkpoint_every: int = Field(default=100, ge=1)


class PatchknnParams(Section):
    """Whitened nearest neighbours of patches, and one Gaussian a place: fitted without training."""

    backbone: str = "efficientnet_lite0"
    backbone_path: str | None = None
    strides: tuple[int, int] | None = None  # pixels a cell of the two maps of the backbone that are taken; null: by the size of the smallest defects
    radius: int | None = Field(default=1, ge=0, le=8)  # cells around the same place in which a neighbour is sought; null, and where metrics.fixed_position is false: anywhere
    bank_dims: int = Field(default=36, ge=1)  # leading whitened dimensions that neighbours are compared in
    bank_mib: float = Field(default=24.0, gt=0.0)  # most memory for kept cells, in half precision: decides of how many images they are kept
    coreset: int = Field(default=8000, ge=1)  # cells kept where neighbours are sought anywhere, chosen far apart
    place_dims: int = Field(default=64, ge=1)  # leading whitened dimensions of the Gaussian of a place
    places_mib: float = Field(default=12.0, gt=0.0)  # most memory for all of them, in half precision; lowers place_dims
    shrinkage: float | None = Field(default=0.01, gt=0.0, le=1.0)  # of a place's covariance towards a multiple of the identity; null: by oracle approximating shrinkage
    colours: bool = True  # also one Gaussian a place of the colours of small blocks: sees a few pixels of another colour


class ReferenceParams(Section):
    """An image against its own reference (a golden sample, a CAD rendering): fitted without training."""

    backbone: str = "efficientnet_lite0"
    backbone_path: str | None = None
    strides: tuple[int, int] | None = None  # pixels a cell of the two maps of the backbone that are compared; null: by the size of the smallest defects
    motion: Literal["none", "translation", "euclidean"] = "euclidean"  # how an image is laid over its reference: as it lies, by a shift, by a shift and a turn
    max_shift: float = Field(default=0.05, gt=0.0, le=0.25)  # of the picture's middle, share of its longer side; beyond it an image is refused
    max_rotation: float = Field(default=2.0, gt=0.0, le=20.0)  # euclidean: degrees; beyond them an image is refused
    min_correlation: float = Field(default=0.3, ge=0.0, lt=1.0)  # of local contrast with the reference's, once laid over it; below it an image is refused


class PeerFeaturesParams(Section):
    """The frozen backbone whose features PaDiM and PatchCore compare, and from which EfficientAD's teacher learns."""

    backbone: str = "tf_efficientnet_lite0"  # timm's name of any network that lists its feature maps
    backbone_path: str | None = None  # its weights; only tf_efficientnet_lite0's come with a package
    layers: tuple[NonNegativeInt, ...] = Field(default=(2, 3), min_length=1)  # feature maps, from fine (0: half the image's side) to coarse

    @field_validator("layers")
    @classmethod
    def _from_fine_to_coarse(cls, layers: tuple[int, ...]) -> tuple[int, ...]:
        """anomalib takes the first as the finest."""
        if list(layers) != sorted(set(layers)):
            raise ValueError(f"{list(layers)} must rise: name each layer once, from fine to coarse")
        return layers


class PadimParams(PeerFeaturesParams):
    """PaDiM through anomalib: one normal distribution of features a position (Defard et al., arXiv:2011.08785)."""

    features: int = Field(default=100, ge=1)  # channels kept of all, drawn with the seed
    images: int | None = Field(default=1000, ge=2)  # training images looked at, drawn with the seed, all held at once; null: all


class PatchcoreParams(PeerFeaturesParams):
    """PatchCore through anomalib: distance to a coreset of normal features (Roth et al., arXiv:2106.08265)."""

    patches: int | None = Field(default=20000, ge=1)  # positions of all images, drawn with the seed, among which the coreset is chosen; null: all
    share: float = Field(default=0.05, gt=0.0, le=1.0)  # of these that the coreset keeps
    neighbours: int = Field(default=9, ge=1)  # of the coreset, by which the image's score is weighed


class EfficientadParams(PeerFeaturesParams):
    """EfficientAD through anomalib: a student that imitates a teacher on normal parts alone (paper 5, section 5.3)."""

    network: Literal["small", "medium"] = "small"
    side: int = Field(default=128, ge=128, multiple_of=4)  # pixels a side inside the networks; maps are enlarged to the image's size
    channels: int = Field(default=64, ge=1)  # of the teacher's features; 384 in its published file
    teacher_path: str | None = None  # the published teacher's file; without one, the teacher is distilled from the backbone
    teacher_steps: int = Field(default=300, ge=1)  # of distilling the teacher
    teacher_learning_rate: float = Field(default=1e-3, gt=0.0)
    other_images: str | None = None  # folder of images of anything else, ImageNet's for example; without one, some photographs
    held_out: float = Field(default=0.1, gt=0.0, lt=1.0)  # share of the normal images on which the maps are scaled
    steps: int = Field(default=300, ge=1)  # of the student and the autoencoder
    batch: int = Field(default=1, ge=1)  # normal images a step, and as many of anything else
    learning_rate: float = Field(default=3e-4, gt=0.0)
    weight_decay: float = Field(default=1e-5, ge=0.0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"  # of the training step; auto: bf16 where the processor or GPU has instructions for it; inspecting has its own
    checkpoint_every: int = Field(default=100, ge=1)


class GanomalyParams(Section):
    """GANomaly through anomalib: encode, decode, encode again, compare codes (paper 3's table)."""

    side: int = Field(default=128, ge=32)  # pixels a side inside the networks; reconstructions are enlarged to the image's size
    channels: int = Field(default=16, ge=1)  # width of the finest level, doubled at each coarser one
    latent: int = Field(default=100, ge=1)  # numbers of z
    adversarial: float = Field(default=1.0, ge=0.0)  # weights of the generator's three losses
    contextual: float = Field(default=50.0, ge=0.0)
    encoder: float = Field(default=1.0, ge=0.0)
    batch: int = Field(default=8, ge=2)
    steps: int = Field(default=600, ge=1)
    learning_rate: float = Field(default=2e-4, gt=0.0)
    checkpoint_every: int = Field(default=100, ge=1)


DETECTOR_SECTIONS: dict[str, type[Section]] = {
    "vqgan": VqganParams,
    "ganodip": GanodipParams,
    "f_anogan": FAnoganParams,
    "cyclegan": CycleganParams,
    "cpcae": CpcaeParams,
    "simplenet": SimplenetParams,
    "patchknn": PatchknnParams,
    "reference": ReferenceParams,
    "padim": PadimParams,
    "patchcore": PatchcoreParams,
    "efficientad": EfficientadParams,
    "ganomaly": GanomalyParams,
}
DETECTORS = tuple(DETECTOR_SECTIONS)
DetectorName = Literal["vqgan", "ganodip", "f_anogan", "cyclegan", "cpcae", "simplenet", "patchknn", "reference", "padim", "patchcore", "efficientad", "ganomaly"]
