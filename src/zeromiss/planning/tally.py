"""Counting what tensor operations cost while they run on paper (fake tensors) or for real.

Every operation that reaches PyTorch's dispatcher passes by: the floating-point operations of convolutions and
matrix products by PyTorch's own formulas, the bytes that are read and written, and the bytes of all tensors alive.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop, sdpa_flop

_ATEN = torch.ops.aten


def _attention(query: Tensor, key: Tensor, value: Tensor, *others: Any, out_val: Any, **options: Any) -> int:
    return sdpa_flop(query.shape, key.shape, value.shape)


def _attention_backward(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *others: Any, out_val: Any, **options: Any) -> int:
    return sdpa_backward_flop(gradient.shape, query.shape, key.shape, value.shape)


_FORMULAS: dict[Any, Callable[..., int]] = {  # PyTorch lists the kernels of attention for GPUs only
    **flop_registry,
    _ATEN._scaled_dot_product_flash_attention_for_cpu: _attention,
    _ATEN._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


@dataclass(frozen=True, kw_only=True)
class Work:
    """One operation: floating-point operations (multiply and add are two) and bytes read and written."""

    flops: int
    bytes: int
    half: bool  # whether its numbers are of 16 bits


class Tally(TorchDispatchMode):
    """Counts all operations of its block; tensors that are made in it are tracked as long as they live."""

    def __init__(self) -> None:
        """Begin with nothing alive."""
        super().__init__()
        self.live = self.peak = 0  # bytes
        self.work: list[Work] = []
        self._known: dict[int, Any] = {}

    def begin(self) -> None:
        """Start counting operations and the peak anew; what is alive stays counted."""
        self.peak, self.work = self.live, []

    @property
    def flops(self) -> int:
        """Floating-point operations since `begin`."""
        return sum(work.flops for work in self.work)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run one operation and count it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        made = _tensors(result)
        for tensor in made:
            self._track(tensor.untyped_storage())
        given = _tensors((args, kwargs))
        if not _is_view(func, given, made):
            formula = _FORMULAS.get(func._overloadpacket)
            flops = formula(*args, **kwargs, out_val=result) if formula else 0
            moved = sum(tensor.nbytes for tensor in (*given, *made))
            half = bool(made) and made[0].dtype in (torch.bfloat16, torch.float16)
            self.work.append(Work(flops=flops, bytes=moved, half=half))
        return result

    def _track(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key not in self._known:
            self.live += size
            self.peak = max(self.peak, self.live)
            self._known[key] = weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self.live -= size
        del self._known[key]


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _is_view(func: Any, given: list[Tensor], made: list[Tensor]) -> bool:
    """Return whether an operation only renames memory: it makes no new storage and writes into none."""
    if func._schema.is_mutable or not made:
        return False
    inputs = {id(tensor.untyped_storage()) for tensor in given}
    return all(id(tensor.untyped_storage()) in inputs for tensor in made)
