"""The same feature extractor with less to compute: for measuring, where nothing is learned.

Two changes, both to a copy. A convolution of stride 2 that pads its input on the right and below alone ("same")
copies the whole map to do so; a kernel widened by a row and a column of zeros, with equal padding all round,
gives the same bits without the copy. And a batch norm, which in evaluation is a factor and an offset a channel,
can be folded into the convolution before it: the same function, another rounding.

Axes: B images, C channels, H, W cells.
"""

import copy

from timm.layers import BatchNormAct2d, Conv2dSame
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from zeromiss.backbones.base import Backbone

FOLDED_TOLERANCE = 1e-5  # of a map's largest value: how far folding may move any value


def faster(backbone: Backbone, *, fold_norms: bool) -> Backbone:
    """Return a copy that gives the same maps in less time; the given backbone stays as it is.

    Without `fold_norms` the maps have the same bits, computed channels last on one thread; with it every value lies within `FOLDED_TOLERANCE` times
    its map's largest magnitude.
    """
    copied = copy.deepcopy(backbone)
    if fold_norms:
        _fold(copied)
    _widen(copied)
    return copied.freeze()


class EvenConvolution(nn.Module):
    """A "same" convolution of stride 2; even sides take the widened kernel, others the original."""

    def __init__(self, original: Conv2dSame) -> None:
        """Widen the kernel by zeros at its upper and left edge."""
        super().__init__()
        self.original = original
        self.register_buffer("wide_OIHW", functional.pad(original.weight.detach(), (1, 0, 1, 0)), persistent=False)
        self.padding = tuple((side - 1) // 2 for side in original.kernel_size)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Return the map at half the resolution, rounded up."""
        if any(side % 2 for side in map_BCHW.shape[-2:]):
            return self.original(map_BCHW)
        given = self.original
        return functional.conv2d(map_BCHW, self.wide_OIHW, given.bias, given.stride, self.padding, 1, given.groups)


def _fold(parent: nn.Module) -> None:
    """Fold every batch norm below `parent` into the convolution registered just before it."""
    before: nn.Module | None = None
    for name, child in list(parent.named_children()):
        if isinstance(child, _BatchNorm) and isinstance(before, nn.Conv2d):
            folded = fuse_conv_bn_eval(before, child)
            before.weight, before.bias = folded.weight, folded.bias
            setattr(parent, name, child.act if isinstance(child, BatchNormAct2d) else nn.Identity())
        else:
            _fold(child)
        before = child


def _widen(parent: nn.Module) -> None:
    """Replace every "same" convolution of stride 2 below `parent`."""
    for name, child in list(parent.named_children()):
        if isinstance(child, Conv2dSame) and child.stride == (2, 2) and child.dilation == (1, 1) and _odd(child.kernel_size):
            setattr(parent, name, EvenConvolution(child))
        else:
            _widen(child)


def _odd(sides: tuple[int, ...]) -> bool:
    return all(side % 2 == 1 for side in sides)
