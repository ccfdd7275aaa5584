"""A vision transformer on both sides of the VQGAN's codebook; losses, discriminator and training stay the product's.

Axes: B images, C channels, H and W pixels, h and w cells, N cells, D code dimension.
"""

import torch
from torch import Tensor, nn

from zeromiss.detector_params import VqganParams
from zeromiss.detectors.vqgan.vqgan import Vqgan

PATCH = 8  # pixels a side: the f of the VQGAN's default


def places(rows: int, columns: int, width: int) -> Tensor:
    """Return sines and cosines of each cell's row and column, (N, width): known for any size, nothing to learn."""
    rate_F = 10_000.0 ** -torch.linspace(0, 1, width // 4)
    row_N, column_N = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).float().unbind(1)
    return torch.cat([wave(place_N[:, None] * rate_F) for place_N in (row_N, column_N) for wave in (torch.sin, torch.cos)], dim=1)


class Blocks(nn.Module):
    """Cells that look at each other: `depth` transformer blocks, then a norm."""

    def __init__(self, *, width: int, depth: int, heads: int) -> None:
        """Keep `width` numbers a cell."""
        super().__init__()
        block = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, depth, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Return the same shape."""
        width, rows, columns = map_BCHW.shape[1:]
        cells_BND = map_BCHW.flatten(2).mT + places(rows, columns, width).to(map_BCHW)
        return self.blocks(cells_BND).mT.unflatten(2, (rows, columns))


class VitVqgan(Vqgan):
    """A Vqgan whose encoder cuts patches and whose decoder paints them, each with transformer blocks between."""

    def __init__(self, params: VqganParams, *, seed: int, width: int, depth: int, heads: int) -> None:
        """Draw the weights from `seed`; of `params`, stem, channels, blocks and attention are not used."""
        super().__init__(params, seed=seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            shape = {"width": width, "depth": depth, "heads": heads}
            self.encoder = nn.Sequential(nn.Conv2d(3, width, PATCH, stride=PATCH), Blocks(**shape), nn.Conv2d(width, params.code_dim, 1))
            self.decoder = _Decoder(params.code_dim, **shape)


class _Decoder(nn.Module):
    """Codes to pixels; `out` is the layer at which the adversarial loss is weighed."""

    def __init__(self, code_dim: int, *, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.enter, self.cells = nn.Conv2d(code_dim, width, 1), Blocks(width=width, depth=depth, heads=heads)
        self.out, self.unfold = nn.Conv2d(width, 3 * PATCH**2, 1), nn.PixelShuffle(PATCH)

    def forward(self, latent_BDhw: Tensor) -> Tensor:
        """Return the image (B, C, 8 h, 8 w), about in [-1, 1]."""
        return self.unfold(self.out(self.cells(self.enter(latent_BDhw))))
