"""The trained detector: encode, quantise, decode, and what the discriminator thinks of both images.

With a *template*, the mean good part of a product that always lies alike, encoder and decoder deal in
deviations from it: the codes then know how good parts deviate, not what they look like, so that a missing
component, which is no such deviation, is redrawn from the template.

Axes: B images, C channels, H and W pixels, D code dimension, h and w latent cells.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from zeromiss.detectors.base import Precision, Reconstruction
from zeromiss.detectors.vqgan.codebook import Codebook, Quantised
from zeromiss.detectors.vqgan.critic import Critic
from zeromiss.detectors.vqgan.network import Decoder, Encoder, Plan, reduction
from zeromiss.errors import ZeromissError
from zeromiss.detector_params import VqganParams
from zeromiss.image_size import ImageSize, Size


def signed(image_BCHW: Tensor) -> Tensor:
    """Return images in [0, 1] as the discriminator sees them: in [-1, 1], channels last."""
    return (2 * image_BCHW - 1).contiguous(memory_format=torch.channels_last)


def _sides(image_CHW: Tensor) -> str:
    """Return width and height in words."""
    return f"{image_CHW.shape[-1]} x {image_CHW.shape[-2]}"


class Vqgan(nn.Module):
    """Encoder E, codebook Z, decoder G and patch discriminator D (paper 1, section 3.1.1)."""

    name = "vqgan"
    score_names: tuple[str, ...] | None = None  # the native score is the mean distance of the most different patches
    image_metrics = ("quantisation_mse", "critic", "critic_hat")

    def __init__(self, params: VqganParams, *, seed: int = 0, size: Size | None = None) -> None:
        """Build the networks with weights drawn from `seed`; the global generator is left alone.

        `size` is that of the template, which is black until one is set; without `params.template` it is not used.
        """
        super().__init__()
        self.params = params
        self.f = reduction(params.stem, params.channels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            plan = Plan(
                stem=params.stem,
                channels=params.channels,
                blocks=params.blocks,
                attention=params.attention,
                code_dim=params.code_dim,
                template=params.template,
                recompute=params.gradient_checkpointing,
            )
            self.encoder, self.decoder = Encoder(plan), Decoder(plan)
            self.codebook = Codebook(
                codes=params.codes,
                code_dim=params.code_dim,
                beta=params.beta,
                ema=params.codebook == "ema",
                dead_after=params.dead_after,
            )
            self.critic = Critic(channels=params.critic_channels, layers=params.critic_layers)
        self.template_CHW: Tensor | None
        shape = (0, 0) if size is None else ImageSize.of(size).shape
        self.register_buffer("template_CHW", torch.zeros(3, *shape) if params.template else None)
        self.to(memory_format=torch.channels_last)

    def fit(self, image_BCHW: Tensor) -> Tensor:
        """Continue images to the right and downwards, by mirroring, to sides that are multiples of f."""
        rows, columns = image_BCHW.shape[-2:]
        padding = (0, -columns % self.f, 0, -rows % self.f)
        return functional.pad(image_BCHW, padding, mode="reflect") if any(padding) else image_BCHW

    def template(self, image_BCHW: Tensor) -> Tensor | None:
        """Return the template (1, C, H, W), continued as `fit` does, that belongs to whole images.

        None without one. Raises ZeromissError when the images have another size.
        """
        if self.template_CHW is None:
            return None
        template_BCHW = self.fit(self.template_CHW[None])
        if template_BCHW.shape[-2:] != image_BCHW.shape[-2:]:
            raise ZeromissError(
                f"the network's template has {_sides(self.template_CHW)} pixels, the image {_sides(image_BCHW)}: "
                "judge images at the product's size, or train it anew"
            )
        return template_BCHW

    def encode(self, image_BCHW: Tensor, template_BCHW: Tensor | None = None) -> Tensor:
        """Return E(x) (B, D, H / f, W / f) of images in [0, 1] whose sides are multiples of f.

        With a template, its part that the images show must be given.
        """
        signed_BCHW = 2 * image_BCHW - 1
        if template_BCHW is not None:
            signed_BCHW = torch.cat([signed_BCHW, 2 * (image_BCHW - template_BCHW)], dim=1)
        return self.encoder(signed_BCHW.contiguous(memory_format=torch.channels_last))

    def quantise(self, latent_BDhw: Tensor) -> Quantised:
        """Return the latent with each cell replaced by its nearest code."""
        return self.codebook(latent_BDhw)

    def decode(self, latent_BDhw: Tensor, template_BCHW: Tensor | None = None) -> Tensor:
        """Return the image (B, C, f h, f w), about in [0, 1], not clipped; deviations are added to the template."""
        if template_BCHW is None:
            return (self.decoder(latent_BDhw).float() + 1) / 2
        return template_BCHW + self.decoder(latent_BDhw, 2 * template_BCHW - 1).float() / 2

    def judge(self, image_BCHW: Tensor) -> Tensor:
        """Return D's logits (B, 1, h, w) of images in [0, 1]; higher = more real."""
        return self.critic(signed(image_BCHW))

    @torch.no_grad()
    def reconstruct(self, image_BCHW: Tensor, precision: Precision = "fp32") -> Reconstruction:
        """Reconstruct images in [0, 1] of any size: evaluation mode, repeatable bit for bit.

        Sides that are no multiples of f are continued by mirroring and cut off again. In bf16 compute the decoder and
        the discriminator; codes are chosen in fp32 all the same, so that rounding moves shades, not what is redrawn.
        """
        was_training = self.training
        self.eval()
        rows, columns = image_BCHW.shape[-2:]
        low = torch.autocast(image_BCHW.device.type, dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)
        with (
            torch.autocast(image_BCHW.device.type, enabled=False),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            fitted_BCHW = self.fit(image_BCHW.float())
            template_BCHW = self.template(fitted_BCHW)
            quantised = self.quantise(self.encode(fitted_BCHW, template_BCHW))
            with low:
                image_hat_BCHW = self.decode(quantised.latent_BDhw, template_BCHW)
            image_hat_BCHW = image_hat_BCHW.clamp(0, 1)[..., :rows, :columns].contiguous()
            with low:
                logits = [self.judge(judged_BCHW).float() for judged_BCHW in (image_BCHW.float(), image_hat_BCHW)]
        self.train(was_training)
        return Reconstruction(
            image_hat_BCHW=image_hat_BCHW,
            quantisation_B=quantised.distance_B,
            critic_B=logits[0].mean(dim=(1, 2, 3)),
            critic_hat_B=logits[1].mean(dim=(1, 2, 3)),
        )
