"""The weights that are judged: a moving average of those that learn.

A training on small batches ends at some point around its goal; the mean of its last points lies nearer to it, and two
trainings that differ by their seed alone lie nearer to each other.
"""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zeromiss.detectors.vqgan.vqgan import Vqgan

_AVERAGED = ("encoder", "codebook", "decoder")  # the discriminator is no part of what is redrawn: it stays as it learned
_WARM = 10  # steps: early on the average forgets quickly, so that a short training's is not of its first, bad weights


def decay_at(step: int, decay: float) -> float:
    """Return the share of the average that stays at `step` (from 0): a tenth at first, then ever more, at most `decay`."""
    return min(decay, (1 + step) / (_WARM + step))


class Average:
    """The moving average of a Vqgan's weights, for checkpoints a module like any other.

    What no optimiser moves is taken as it is: an `ema` codebook's codes are averages already, counts and idle times are
    no weights. No layer has statistics of a batch that would have to be learned anew for averaged weights.
    """

    def __init__(self, vqgan: Vqgan, decay: float) -> None:
        """Begin with the weights of `vqgan`; the copy lies where they lie."""
        self._live = nn.ModuleDict({name: getattr(vqgan, name) for name in _AVERAGED})

        def follow(averages: list[Tensor], weights: list[Tensor], count: Tensor | int) -> None:
            """Move the averages towards the weights; `count` is the steps averaged so far."""
            get_ema_multi_avg_fn(decay_at(int(count), decay))(averages, weights, count)

        self.module = AveragedModel(self._live, multi_avg_fn=follow).requires_grad_(False)

    def follow(self) -> None:
        """Take in the weights after a step."""
        self.module.update_parameters(self._live)

    @torch.no_grad()
    def settle(self) -> None:
        """Put the averages in the place of the weights: the training has ended."""
        self._live.load_state_dict(self.module.module.state_dict())
