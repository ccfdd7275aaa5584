"""Weights that no package brings: a path, or torchvision's own download where there is internet."""

from pathlib import Path
from typing import Protocol

from torch import Tensor

from zeromiss.backbones.base import read_weights
from zeromiss.errors import ZeromissError


class Published(Protocol):
    """A torchvision weights entry."""

    url: str

    def get_state_dict(self, *args: object, **kwargs: object) -> dict[str, Tensor]:
        """Download (or find in the cache) and read the weights."""


def weights_from(path: str | None, published: Published, *, backbone: str) -> tuple[dict[str, Tensor], str]:
    """Return the tensors at `path`, or those torchvision publishes, and the name of their origin.

    Raises ZeromissError naming the file to give when the download cannot be reached.
    """
    if path is not None:
        return read_weights(path), path
    try:
        return dict(published.get_state_dict(progress=False, check_hash=True, weights_only=True)), published.url
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ZeromissError(
            f"backbone {backbone}: its weights could not be downloaded ({reason}): fetch "
            f"{Path(published.url).name} elsewhere and give its path as backbone_path"
        ) from None
