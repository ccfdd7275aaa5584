"""What every backbone is: a frozen network that turns an image into feature maps.

Axes: B images, C channels, H rows, W columns.
"""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from zeromiss.errors import ZeromissError


class Backbone(nn.Module):
    """A frozen feature extractor in evaluation mode, whatever its parent's mode is.

    `strides` and `channels` name the pixels per cell and the depth of each map, from fine to coarse.
    """

    def __init__(
        self,
        *,
        strides: tuple[int, ...],
        channels: tuple[int, ...],
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        """Keep what the maps look like and how an image in [0, 1] is normalised."""
        super().__init__()
        self.strides = strides
        self.channels = channels
        self.register_buffer("mean_C11", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std_C11", torch.tensor(std).view(3, 1, 1), persistent=False)

    def freeze(self) -> "Backbone":
        """Stop all gradients to the weights and switch to evaluation; return itself."""
        self.requires_grad_(False)
        return self.eval()

    def train(self, mode: bool = True) -> "Backbone":
        """Stay in evaluation mode: batch statistics of a frozen network must not move."""
        return super().train(False)

    def forward(self, image_BCHW: Tensor) -> list[Tensor]:
        """Return the maps of RGB images in [0, 1], each (B, channels[i], about H / strides[i], ...)."""
        return self.maps((image_BCHW - self.mean_C11) / self.std_C11)

    @abstractmethod
    def maps(self, normalised_BCHW: Tensor) -> list[Tensor]:
        """Return the maps of normalised images, from fine to coarse."""


def load_strictly(network: nn.Module, weights: Mapping[str, Tensor], *, origin: str) -> None:
    """Load all weights of `network`; a missing, spare or misshapen tensor is an error.

    Raises ZeromissError that names `origin` and the first tensor that does not fit.
    """
    expected = network.state_dict()
    for key, tensor in expected.items():
        if key not in weights:
            raise ZeromissError(f"{origin} is no complete set of weights: {key} is missing; give the whole file")
        if weights[key].shape != tensor.shape:
            raise ZeromissError(
                f"{origin} does not fit: {key} has shape {tuple(weights[key].shape)}, "
                f"the network needs {tuple(tensor.shape)}; give the weights of this network"
            )
    spare = sorted(set(weights) - set(expected))
    if spare:
        raise ZeromissError(f"{origin} does not fit: the network has no tensor {spare[0]}; give the weights of this network")
    network.load_state_dict(dict(weights), strict=True)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict from a `.safetensors` file, or from the tensors of a `.pth` file.

    A `.pth` file is read with `weights_only=True`: tensors and plain containers come out, code in
    it is refused and never run. Raises ZeromissError when the file is missing or unreadable.
    """
    file = Path(path)
    if not file.is_file():
        raise ZeromissError(f"weights file {file} does not exist: give the path of a .pth or .safetensors file")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        return dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ZeromissError(f"weights file {file} cannot be read ({reason}): give a .pth or .safetensors file") from None
