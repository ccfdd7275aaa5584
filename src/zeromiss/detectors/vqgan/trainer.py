"""One step of training: losses, adaptive weight, both optimisers, the codebook.

Fabric places the networks, wraps them and their optimisers and averages gradients where several processes share a
batch. Precision stays here: the losses' gradients are taken at the image, outside of any wrapped network.
Axes: B images, C channels, H and W pixels, D code dimension, h and w latent cells, N rows.
"""

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional

from zeromiss.backbones.base import Backbone
from zeromiss.backbones.load import perceptual_mse
from zeromiss.detectors.vqgan import loss as losses
from zeromiss.detectors.batches import generator_at
from zeromiss.detectors.vqgan.average import Average
from zeromiss.detectors.vqgan.generator import Generator, Redrawn
from zeromiss.detectors.vqgan.vqgan import Vqgan, signed


class Peers:
    """The processes of a Fabric, as the codebook asks for them."""

    def __init__(self, fabric: Fabric) -> None:
        """Speak through `fabric`."""
        self._fabric = fabric

    def total(self, tensor: Tensor) -> Tensor:
        """Return the sum over all processes."""
        return self._fabric.all_reduce(tensor, reduce_op="sum")

    def joined(self, rows_ND: Tensor) -> Tensor:
        """Return the rows of all processes, in the order of the batch."""
        found = self._fabric.all_gather(rows_ND)
        return found.flatten(0, 1) if self._fabric.world_size > 1 else found


class Trainer:
    """The network, its optimisers and its perceptual backbone, step by step."""

    def __init__(self, vqgan: Vqgan, backbone: Backbone, *, seed: int, fabric: Fabric | None = None) -> None:
        """Prepare networks and optimisers on the device of `fabric`; by default one process without a GPU."""
        self._fabric = fabric or Fabric(accelerator="cpu", devices=1)
        self.vqgan, self.params, self._seed = self._fabric.to_device(vqgan), vqgan.params, seed
        self.backbone = self._fabric.to_device(backbone).to(memory_format=torch.channels_last)  # the fast layout everywhere
        self.average = Average(self.vqgan, self.params.ema_decay) if self.params.ema_decay else None
        if self.params.compile:
            for part in (vqgan.encoder.layers, vqgan.decoder.layers):  # not the last layer: it is gone through twice
                part.compile()
        rate, generator = self.params.learning_rate, Generator(vqgan)
        first = torch.optim.Adam(generator.parameters(), lr=rate, betas=(0.9, 0.99), fused=True)
        second = torch.optim.Adam(vqgan.critic.parameters(), lr=rate, betas=(0.5, 0.9), fused=True)
        self._generator, maker = self._fabric.setup(generator, first)
        self._critic, judge = self._fabric.setup(vqgan.critic, second)
        self.modules = {"model": vqgan} | ({"average": self.average.module} if self.average else {})
        self.optimisers = {"generator": maker, "critic": judge}
        vqgan.codebook.others = Peers(self._fabric)

    def step(self, bytes_BCHW: Tensor, step: int) -> dict[str, Tensor]:
        """Learn from one batch, or this process's share of it, of uint8 images; return scalars for the curves.

        With a template, channels 3 to 5 hold its part that each image shows.
        """
        pixels_BCHW = self.vqgan.fit(self._fabric.to_device(bytes_BCHW).float() / 255)
        image_BCHW = pixels_BCHW[:, :3].contiguous(memory_format=torch.channels_last)
        template_BCHW = pixels_BCHW[:, 3:] if self.params.template else None
        factor = losses.learning_rate_factor(step, self.params.steps, warmup=self.params.lr_warmup, end=self.params.lr_end)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = factor * self.params.learning_rate
        draws = generator_at(self._seed, step, 1)
        with self._autocast():
            redrawn = self._generator(image_BCHW, template_BCHW, draws if self._quantises(step) else None)
        leaf_BCHW = redrawn.image_hat_BCHW.detach().requires_grad_()
        learns = losses.critic_learns(step, start=self.params.critic_start)
        fake = self._judge(leaf_BCHW) if learns else None  # once, for both optimisers: its weights move only below
        gradient_BCHW, values = self._image_gradient(image_BCHW, redrawn.image_hat_BCHW, leaf_BCHW, self._counts(fake, step))
        values |= self._generator_step(redrawn, gradient_BCHW, draws)
        if fake is not None:
            values["critic"] = self._critic_step(image_BCHW, fake)
        if self.average:
            self.average.follow()
        return values

    def judged(self) -> Vqgan:
        """Return the network that is judged, on the CPU, in evaluation mode: the average, where one is kept. The training has ended."""
        if self.average:
            self.average.settle()
        return self.vqgan.cpu().eval()

    def averages(self, values: dict[str, Tensor]) -> dict[str, float]:
        """Return scalars of a step as numbers, their mean over all processes."""
        stacked = torch.stack([value.detach().float().to(self._fabric.device) for value in values.values()])
        return dict(zip(values, self._fabric.all_reduce(stacked, reduce_op="mean").tolist(), strict=True))

    def _autocast(self) -> torch.autocast:
        enabled = self.params.precision == "bf16"
        return torch.autocast(self._fabric.device.type, dtype=torch.bfloat16, enabled=enabled)

    def _quantises(self, step: int) -> bool:
        """Return whether the latent is quantised; not in the first steps.

        An encoder that has learned nothing yet finds it cheapest to shrink onto few codes, and stays there;
        after some steps as a plain autoencoder its latent is worth placing codes on.
        """
        return step >= self.params.codebook_start

    def _judge(self, image_BCHW: Tensor) -> Tensor:
        with self._autocast():
            return self._critic(signed(image_BCHW)).float()

    def _counts(self, fake: Tensor | None, step: int) -> Tensor | None:
        counts = losses.critic_counts(step, start=self.params.critic_start, warmup=self.params.critic_warmup)
        return fake if counts else None

    def _image_gradient(
        self, image_BCHW: Tensor, image_hat_BCHW: Tensor, leaf_BCHW: Tensor, fake: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the gradient of the image losses at x_hat, of which `leaf_BCHW` is a copy without history.

        Taken at x_hat first, each loss network is gone through backwards once; lambda then needs
        only the last layer, not a second pass. `fake` is D(x_hat), None while it does not count.
        """
        with self._autocast():
            pixel = 4 * functional.mse_loss(leaf_BCHW, image_BCHW)  # of images in [-1, 1], as the network sees them
            perceptual = perceptual_mse(self.backbone, image_BCHW, leaf_BCHW).mean()
        (rec_BCHW,) = torch.autograd.grad(pixel + self.params.perceptual * perceptual, leaf_BCHW)
        nothing = torch.zeros(())
        values = {"pixel": pixel.detach(), "perceptual": perceptual.detach()}
        values |= dict.fromkeys(("adversarial", "lambda", "critic", "codebook", "revived"), nothing)
        if fake is None:
            return rec_BCHW, values
        adversarial = losses.generator_loss(fake)
        (gan_BCHW,) = torch.autograd.grad(adversarial, leaf_BCHW, retain_graph=True)
        weight = self._adaptive_weight(image_hat_BCHW, rec_BCHW, gan_BCHW)
        values |= {"adversarial": adversarial.detach(), "lambda": weight}
        return rec_BCHW + self.params.adversarial * weight * gan_BCHW, values

    def _adaptive_weight(self, image_hat_BCHW: Tensor, rec_BCHW: Tensor, gan_BCHW: Tensor) -> Tensor:
        """Return lambda, of the whole batch's gradients at the last layer."""
        last = self.vqgan.decoder.out.weight
        at_last = [
            torch.autograd.grad(image_hat_BCHW, last, grad_outputs=gradient_BCHW, retain_graph=True)[0].contiguous()
            for gradient_BCHW in (rec_BCHW, gan_BCHW)
        ]
        return losses.adaptive_weight(*(self._fabric.all_reduce(gradient, reduce_op="mean") for gradient in at_last))

    def _generator_step(self, redrawn: Redrawn, gradient_BCHW: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        self.optimisers["generator"].zero_grad(set_to_none=True)
        values: dict[str, Tensor] = {}
        if redrawn.loss is None:
            redrawn.image_hat_BCHW.backward(gradient_BCHW)
        else:
            torch.autograd.backward([redrawn.image_hat_BCHW, redrawn.loss], [gradient_BCHW, torch.ones_like(redrawn.loss)])
            revived = self.vqgan.codebook.learn(redrawn.latent_BDhw.detach(), redrawn.codes_Bhw, draws)
            values = {"codebook": redrawn.loss.detach(), "revived": torch.tensor(float(revived))}
        self.optimisers["generator"].step()
        return values

    def _critic_step(self, image_BCHW: Tensor, fake: Tensor) -> Tensor:
        loss = losses.critic_loss(self._judge(image_BCHW), fake)
        self.optimisers["critic"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers["critic"].step()
        return loss.detach()
