"""What SimpleNet learns: one linear adapter and a discriminator of two layers (paper 5, sections 3.1.2 and 3.1.4).

Axes: N cells, D channels of their features.
"""

from torch import Tensor, nn

_SLOPE = 0.2  # of LeakyReLU below zero


class Head(nn.Module):
    """Adapter G and discriminator D. Widths and norm as the method's authors have them (paper 5, reference 12, section 4.2)."""

    def __init__(self, depth: int, hidden: int) -> None:
        """Build both for features of `depth` channels, weights drawn from the global generator."""
        super().__init__()
        self.adapter = nn.Linear(depth, depth, bias=False)
        self.discriminator = nn.Sequential(
            nn.Linear(depth, hidden),
            nn.BatchNorm1d(hidden),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(hidden, 1, bias=False),
        )
        for layer in (self.adapter, self.discriminator[0], self.discriminator[3]):
            nn.init.xavier_normal_(layer.weight)

    def adapt(self, features_ND: Tensor) -> Tensor:
        """Return the features as the target's own, (N, D)."""
        return self.adapter(features_ND)

    def normality(self, adapted_ND: Tensor) -> Tensor:
        """Return D's output, (N,), without bounds (higher = more normal)."""
        return self.discriminator(adapted_ND).squeeze(1)
