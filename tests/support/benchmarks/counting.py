"""What a piece of work asks of the machine: multiplications and additions, and bytes moved.

Arithmetic is what torch's counter finds. Bytes are those of every operation's tensors, each read or written once:
what would go through memory if no cache kept anything between two operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import (
    FlopCounterMode,
    conv_flop_count,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

from suite.dia import network
from suite.dia.network import SmallMapConv

Shape = Sequence[int]
aten = torch.ops.aten


def backward(grad: Shape, x: Shape, weight: Shape, *rest: Any, **named: Any) -> int:
    """Multiplications and additions of a convolution's gradients, as many for either as forward. (torch's own count
    for the weights' is too large by the number of groups.)
    """
    transposed, mask = rest[4], rest[-1]
    return conv_flop_count(list(x), list(weight), list(grad), transposed) * sum(mask[:2])


CORRECTED: dict[Any, Callable[..., int]] = {
    aten.convolution_backward: backward,
    aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *rest, **named: sdpa_flop_count(
        q, k, v
    ),
    aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda grad, q, k, v, *rest, **named: (
        sdpa_backward_flop_count(grad, q, k, v)
    ),
}
"""What torch's counter has wrong, and the CPU's kernels of attention, which it does not know."""
PICKING = ("aten::index", "aten::index_select", "aten::gather", "aten::embedding")
"""Operations that read as much as they write, however large the tensor that they pick from."""
UNTOUCHED = ("aten::empty", "aten::new_empty")
"""Operations that give memory and write none of it."""


def size(tensors: Iterable[Any]) -> int:
    """Bytes of the tensors; what is expanded is no larger than what holds it."""
    return sum(
        min(one.numel() * one.element_size(), one.untyped_storage().nbytes())
        for one in tensors
        if isinstance(one, Tensor)
    )


class Traffic(TorchDispatchMode):
    """Adds up the bytes of the operations under it."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        schema = func._schema
        view = any(one.alias_info and not one.alias_info.is_write for one in schema.returns)
        if view or schema.name.startswith(UNTOUCHED):
            return made
        written = size(tree_leaves(made))
        if not schema.returns:  # in place, and of several tensors at once
            given = zip(schema.arguments, args, strict=False)
            written = sum(
                size(tree_leaves(one)) for argument, one in given if argument.alias_info is not None
            )
        read = written if schema.name in PICKING else size(tree_leaves((args, kwargs or {})))
        self.bytes += read + written
        return made


def counted(work: Callable[[], Any]) -> dict[str, float]:
    """GFLOP and GB of the work; where DIA's small maps are convolved, also with plain kernels, which multiply the
    padding too.
    """
    ours = SmallMapConv.forward
    met: list[bool] = []

    def watched(self: SmallMapConv, x: Tensor) -> Tensor:
        met.append(True)
        return ours(self, x)

    gflop, moved = _counted(work, watched)
    found = {"gflop": gflop, "gbyte": moved}
    if met:
        found["gflop_padded"], _ = _counted(work, nn.Conv2d.forward)
    return found


def _counted(work: Callable[[], Any], convolution: Any) -> tuple[float, float]:
    kept, linear = SmallMapConv.forward, network.linear
    SmallMapConv.forward = convolution  # type: ignore[method-assign]
    network.linear = F.linear  # the same arithmetic, which the counter knows
    try:
        with Traffic() as traffic, FlopCounterMode(display=False, custom_mapping=CORRECTED) as counter:
            work()
    finally:
        SmallMapConv.forward = kept  # type: ignore[method-assign]
        network.linear = linear
    return counter.get_total_flops() / 1e9, traffic.bytes / 1e9
