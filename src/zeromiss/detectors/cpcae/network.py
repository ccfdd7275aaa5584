"""The autoencoder: strided convolutions, a dense code, transposed convolutions; the condition joins before both dense layers.

Paper 4, section 3.1 and figure 2, which says that the condition is concatenated in the encoder and in the decoder
but gives no widths: here it joins the flattened features and the code. The code is linear: the penalty on its magnitudes
leaves only a few at work all the same, and a rectified code that had gone silent could not come back.
Axes: B patches, C channels, P pixels of a side, D width of the code.
"""

import torch
from torch import Tensor, nn

from zeromiss.errors import ZeromissError

_COLOURS = 3


def cells(patch: int, channels: tuple[int, ...]) -> int:
    """Return the side of the map before the dense layer; raises ZeromissError unless every layer halves it evenly."""
    if patch % 2 ** len(channels):
        raise ZeromissError(
            f"cpcae.patch is {patch}: {len(channels)} strided layers (cpcae.channels) need a multiple of {2 ** len(channels)}"
        )
    return patch // 2 ** len(channels)


class Encoder(nn.Module):
    """A patch and its condition to a code."""

    def __init__(self, patch: int, channels: tuple[int, ...], code: int) -> None:
        """Build one convolution of stride 2 for each width in `channels`, and the dense layer."""
        super().__init__()
        widths = (_COLOURS, *channels)
        pairs = zip(widths, widths[1:], strict=False)
        layers = [layer for before, after in pairs for layer in (nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ReLU())]
        self.body = nn.Sequential(*layers)
        self.dense = nn.Linear(channels[-1] * cells(patch, channels) ** 2 + 1, code)

    def forward(self, patch_BCPP: Tensor, condition_B: Tensor) -> Tensor:
        """Return the code (B, D) of patches about in [-1, 1] and conditions in (0, 1]."""
        features_BF = self.body(patch_BCPP).flatten(1)
        return self.dense(torch.cat([features_BF, condition_B[:, None]], dim=1))


class Decoder(nn.Module):
    """A code and its condition to a patch."""

    def __init__(self, patch: int, channels: tuple[int, ...], code: int) -> None:
        """Build the encoder's layers in reverse."""
        super().__init__()
        self._shape = (channels[-1], cells(patch, channels), cells(patch, channels))
        self.dense = nn.Linear(code + 1, channels[-1] * cells(patch, channels) ** 2)
        widths = (*reversed(channels), _COLOURS)
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.ReLU(), nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
        self.body = nn.Sequential(*layers)

    def forward(self, code_BD: Tensor, condition_B: Tensor) -> Tensor:
        """Return patches (B, C, P, P), about in [-1, 1], not clipped."""
        features_BF = self.dense(torch.cat([code_BD, condition_B[:, None]], dim=1))
        return self.body(features_BF.unflatten(1, self._shape))


class Autoencoder(nn.Module):
    """Encoder and decoder of patches in [0, 1]."""

    def __init__(self, patch: int, channels: tuple[int, ...], code: int) -> None:
        """Build both with weights from torch's generator."""
        super().__init__()
        self.encoder, self.decoder = Encoder(patch, channels, code), Decoder(patch, channels, code)

    def forward(self, patch_BCPP: Tensor, condition_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return the patches redrawn, (B, C, P, P), about in [0, 1], and their codes (B, D)."""
        code_BD = self.encoder(2 * patch_BCPP - 1, condition_B)
        return (self.decoder(code_BD, condition_B) + 1) / 2, code_BD
