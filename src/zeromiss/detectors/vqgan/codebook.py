"""The codebook Z: nearest code of each latent cell, learned by moving averages or by gradient.

Axes: B images, D code dimension, h and w cells, N cells of a batch, K codes.
Paper 1, section 3.1.1: ||sg[E(x)] - z_q||^2 moves the codes, beta ||sg[z_q] - E(x)||^2 commits E.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

_DECAY = 0.99  # of the moving averages
_SMOOTH = 1e-5  # keeps an unused code's average finite


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """A latent with each cell replaced by its code."""

    latent_BDhw: Tensor  # z_q, in value; gradients pass straight through to E(x)
    codes_Bhw: Tensor  # indices in [0, K)
    loss: Tensor  # codebook term + beta * commitment term, a mean over all values
    distance_B: Tensor  # mean squared distance of E(x) from z_q, >= 0


class Others(Protocol):
    """The other processes that train the same network, each on its share of a batch."""

    def total(self, tensor: Tensor) -> Tensor:
        """Return the sum over all processes."""

    def joined(self, rows_ND: Tensor) -> Tensor:
        """Return the rows of all processes, in the order of the batch."""


class Alone:
    """One process, which holds the whole batch."""

    def total(self, tensor: Tensor) -> Tensor:
        """Return what was given."""
        return tensor

    def joined(self, rows_ND: Tensor) -> Tensor:
        """Return what was given."""
        return rows_ND


def nearest(latent_ND: Tensor, codes_KD: Tensor) -> Tensor:
    """Return the index of the nearest code of each row, (N,); ties go to the lowest index."""
    distance_NK = codes_KD.square().sum(1) - 2 * latent_ND @ codes_KD.T  # + ||latent||^2, the same for all K
    return distance_NK.argmin(dim=1)


def usage(counts_K: Tensor) -> tuple[float, float]:
    """Return the share of codes in use, in [0, 1], and their perplexity, in [1, K].

    The perplexity is exp of the entropy of the shares: K when all codes are used alike.
    """
    share_K = counts_K.double() / counts_K.sum()
    entropy = -(share_K * share_K.clamp_min(1e-300).log()).sum()
    return float((counts_K > 0).double().mean()), float(entropy.exp())


class Codebook(nn.Module):
    """K codes of D values; `ema` moves them by averages, otherwise they are parameters."""

    codes_KD: Tensor

    def __init__(self, *, codes: int, code_dim: int, beta: float, ema: bool, dead_after: int) -> None:
        """Draw the codes; the first training batch replaces them by cells of its own."""
        super().__init__()
        self.beta, self.ema, self.dead_after = beta, ema, dead_after
        self.others: Others = Alone()  # who trains sets it where more processes share a batch
        start_KD = torch.randn(codes, code_dim)
        if ema:
            self.register_buffer("codes_KD", start_KD)
        else:
            self.codes_KD = nn.Parameter(start_KD)
        self.register_buffer("count_K", torch.zeros(codes))  # moving average of uses a step
        self.register_buffer("sum_KD", torch.zeros(codes, code_dim))  # moving average of the cells' sums
        self.register_buffer("idle_K", torch.zeros(codes, dtype=torch.int64))  # steps since last use
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def forward(self, latent_BDhw: Tensor) -> Quantised:
        """Quantise a latent, always in fp32; nothing is learned here (see `learn`).

        In evaluation the nearest code is sought in float64: between two that are almost equally near, the formula in fp32 decides by
        its rounding, which differs from one engine, processor and version to the next, and a part's verdict with it.
        """
        with torch.autocast(latent_BDhw.device.type, enabled=False):
            return self._quantise(latent_BDhw)

    def _quantise(self, latent_BDhw: Tensor) -> Quantised:
        latent_BhwD = latent_BDhw.float().movedim(1, -1)
        sought = torch.float32 if self.training else torch.float64
        codes_N = nearest(latent_BhwD.detach().flatten(0, 2).to(sought), self.codes_KD.detach().to(sought))
        code_BhwD = functional.embedding(codes_N.view(latent_BhwD.shape[:-1]), self.codes_KD)
        square_BhwD = (latent_BhwD - code_BhwD.detach()).square()
        loss = self.beta * square_BhwD.mean()
        if not self.ema:
            loss = loss + (latent_BhwD.detach() - code_BhwD).square().mean()
        straight_BhwD = latent_BhwD + (code_BhwD - latent_BhwD).detach()
        return Quantised(
            latent_BDhw=straight_BhwD.movedim(-1, 1),
            codes_Bhw=codes_N.view(latent_BhwD.shape[:-1]),
            loss=loss,
            distance_B=square_BhwD.detach().mean(dim=(1, 2, 3)),
        )

    @torch.no_grad()
    def start(self, latent_BDhw: Tensor, generator: torch.Generator) -> None:
        """On the first call, place every code on a cell of this batch, of all its shares."""
        if bool(self.started):
            return
        cells_ND = self.others.joined(latent_BDhw.float().movedim(1, -1).flatten(0, 2))
        self.codes_KD.copy_(self._draw(cells_ND, len(self.codes_KD), generator))
        self.count_K.fill_(1.0)
        self.sum_KD.copy_(self.codes_KD)
        self.started.fill_(True)

    @torch.no_grad()
    def learn(self, latent_BDhw: Tensor, codes_Bhw: Tensor, generator: torch.Generator) -> int:
        """Update averages and idle times after a step; revive dead codes; return how many.

        Counts and sums are those of the whole batch, whoever holds its shares, so all processes keep one codebook.
        """
        cells_ND, codes_N = latent_BDhw.float().movedim(1, -1).flatten(0, 2), codes_Bhw.flatten()
        used_K = self.others.total(torch.bincount(codes_N, minlength=len(self.codes_KD)).to(cells_ND.dtype))
        self.idle_K.add_(1).masked_fill_(used_K > 0, 0)
        if self.ema:
            summed_KD = self.others.total(torch.zeros_like(self.sum_KD).index_add_(0, codes_N, cells_ND))
            self.count_K.lerp_(used_K, 1 - _DECAY)
            self.sum_KD.lerp_(summed_KD, 1 - _DECAY)
            self.codes_KD.copy_(self.sum_KD / (self.count_K + _SMOOTH).unsqueeze(1))
        return self._revive(cells_ND, generator)

    def _revive(self, cells_ND: Tensor, generator: torch.Generator) -> int:
        dead = (self.idle_K >= self.dead_after).nonzero().squeeze(1)
        if len(dead):
            self.codes_KD[dead] = self._draw(self.others.joined(cells_ND), len(dead), generator)
            self.count_K[dead] = 1.0
            self.sum_KD[dead] = self.codes_KD[dead]
            self.idle_K[dead] = 0
        return len(dead)

    @staticmethod
    def _draw(cells_ND: Tensor, number: int, generator: torch.Generator) -> Tensor:
        picked = torch.randint(len(cells_ND), (number,), generator=generator)
        return cells_ND[picked.to(cells_ND.device)]
