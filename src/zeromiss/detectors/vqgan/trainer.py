"""One step of training: losses, adaptive weight, both optimisers, the codebook.

Axes: B images, C channels, H and W pixels, D code dimension, h and w latent cells.
"""

import torch
from torch import Tensor
from torch.nn import functional

from zeromiss.backbones.base import Backbone
from zeromiss.backbones.load import perceptual_mse
from zeromiss.detectors.vqgan import loss as losses
from zeromiss.detectors.vqgan.batches import generator_at
from zeromiss.detectors.vqgan.codebook import Quantised
from zeromiss.detectors.vqgan.vqgan import Vqgan


class Trainer:
    """The network, its optimisers and its perceptual backbone, step by step."""

    def __init__(self, vqgan: Vqgan, backbone: Backbone, *, seed: int) -> None:
        """Prepare the optimisers; `vqgan` and `backbone` already lie on the device that trains."""
        self.vqgan, self.backbone, self.params, self._seed = vqgan, backbone, vqgan.params, seed
        adversary = {id(weight) for weight in vqgan.critic.parameters()}
        makers = [weight for weight in vqgan.parameters() if id(weight) not in adversary]
        rate = self.params.learning_rate
        self.optimisers = {
            "generator": torch.optim.Adam(makers, lr=rate, betas=(0.9, 0.99)),
            "critic": torch.optim.Adam(vqgan.critic.parameters(), lr=rate, betas=(0.5, 0.9)),
        }
        self._device = next(vqgan.parameters()).device

    def step(self, bytes_BCHW: Tensor, step: int) -> dict[str, Tensor]:
        """Learn from one batch of uint8 images; return scalars for the curves.

        With a template, channels 3 to 5 hold its part that each image shows.
        """
        pixels_BCHW = self.vqgan.fit(bytes_BCHW.to(self._device).float() / 255)
        image_BCHW = pixels_BCHW[:, :3].contiguous(memory_format=torch.channels_last)
        template_BCHW = pixels_BCHW[:, 3:] if self.params.template else None
        factor = losses.learning_rate_factor(step, self.params.steps)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = factor * self.params.learning_rate
        image_hat_BCHW, values = self._generator_step(image_BCHW, template_BCHW, step)
        if losses.critic_learns(step, start=self.params.critic_start):
            values["critic"] = self._critic_step(image_BCHW, image_hat_BCHW)
        return values

    def _autocast(self) -> torch.autocast:
        enabled = self.params.precision == "bf16"
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=enabled)

    def _generator_step(
        self, image_BCHW: Tensor, template_BCHW: Tensor | None, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        codebook, generator = self.vqgan.codebook, generator_at(self._seed, step, 1)
        with self._autocast():
            latent_BDhw = self.vqgan.encode(image_BCHW, template_BCHW)
            quantised = self._quantise(latent_BDhw, step, generator)
            chosen_BDhw = latent_BDhw if quantised is None else quantised.latent_BDhw
            image_hat_BCHW = self.vqgan.decode(chosen_BDhw, template_BCHW)
        gradient_BCHW, values = self._image_gradient(image_BCHW, image_hat_BCHW, step)
        self.optimisers["generator"].zero_grad(set_to_none=True)
        if quantised is None:
            image_hat_BCHW.backward(gradient_BCHW)
        else:
            torch.autograd.backward([image_hat_BCHW, quantised.loss], [gradient_BCHW, torch.ones_like(quantised.loss)])
            revived = codebook.learn(latent_BDhw.detach(), quantised.codes_Bhw, generator)
            values |= {"codebook": quantised.loss.detach(), "revived": torch.tensor(float(revived))}
        self.optimisers["generator"].step()
        return image_hat_BCHW.detach(), values

    def _quantise(self, latent_BDhw: Tensor, step: int, generator: torch.Generator) -> Quantised | None:
        """Return the quantised latent; None in the first steps.

        An encoder that has learned nothing yet finds it cheapest to shrink onto few codes, and stays there;
        after some steps as a plain autoencoder its latent is worth placing codes on.
        """
        if step < self.params.codebook_start:
            return None
        self.vqgan.codebook.start(latent_BDhw.detach(), generator)
        return self.vqgan.quantise(latent_BDhw)

    def _image_gradient(
        self, image_BCHW: Tensor, image_hat_BCHW: Tensor, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the gradient of the image losses at x_hat.

        Taken at x_hat first, each loss network is gone through backwards once; lambda then needs
        only the last layer, not a second pass.
        """
        leaf_BCHW = image_hat_BCHW.detach().requires_grad_()
        with self._autocast():
            pixel = 4 * functional.mse_loss(leaf_BCHW, image_BCHW)  # of images in [-1, 1], as the network sees them
            perceptual = perceptual_mse(self.backbone, image_BCHW, leaf_BCHW).mean()
        (rec_BCHW,) = torch.autograd.grad(pixel + self.params.perceptual * perceptual, leaf_BCHW)
        nothing = torch.zeros(())
        values = {"pixel": pixel.detach(), "perceptual": perceptual.detach()}
        values |= {"adversarial": nothing, "lambda": nothing, "critic": nothing}
        values |= {"codebook": nothing, "revived": nothing}
        if not losses.critic_counts(step, start=self.params.critic_start, warmup=self.params.critic_warmup):
            return rec_BCHW, values
        with self._autocast():
            adversarial = losses.generator_loss(self.vqgan.judge(leaf_BCHW).float())
        (gan_BCHW,) = torch.autograd.grad(adversarial, leaf_BCHW)
        last = self.vqgan.decoder.out.weight
        at_last = [
            torch.autograd.grad(image_hat_BCHW, last, grad_outputs=gradient_BCHW, retain_graph=True)[0]
            for gradient_BCHW in (rec_BCHW, gan_BCHW)
        ]
        weight = losses.adaptive_weight(*at_last)
        values |= {"adversarial": adversarial.detach(), "lambda": weight}
        return rec_BCHW + self.params.adversarial * weight * gan_BCHW, values

    def _critic_step(self, image_BCHW: Tensor, image_hat_BCHW: Tensor) -> Tensor:
        with self._autocast():
            real = self.vqgan.judge(image_BCHW).float()
            fake = self.vqgan.judge(image_hat_BCHW).float()
        loss = losses.critic_loss(real, fake)
        self.optimisers["critic"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers["critic"].step()
        return loss.detach()
