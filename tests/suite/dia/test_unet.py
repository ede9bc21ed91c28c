"""The faster layers are the library's own: same parameters, same function, same gradient, but for rounding."""

from __future__ import annotations

import pytest
import torch
from denoising_diffusion_pytorch.denoising_diffusion_pytorch import Block, LinearAttention, RMSNorm
from torch import Tensor, nn

from suite.dia import unet
from suite.dia.unet import QuickAttention, QuickBlock, QuickNorm


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).double()


def pair(slow: nn.Module, quick: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Both with the same parameters, none at its first value, in double precision."""
    slow, quick = slow.double(), quick.double()
    with torch.no_grad():
        for number, parameter in enumerate(slow.parameters()):
            parameter.copy_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)) * 0.3
            )
    quick.load_state_dict(slow.state_dict())
    return slow, quick


def answers(module: nn.Module, x: Tensor, *further: Tensor) -> list[Tensor]:
    """The output, and the gradients of a sum of it by the input and every parameter."""
    x = x.clone().requires_grad_(True)
    out = module(x, *further)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return [out, *torch.autograd.grad((out * weights).sum(), [x, *module.parameters()])]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("slow", "quick"),
    [(RMSNorm(16), QuickNorm(16)), (LinearAttention(16, 2, 8), QuickAttention(16, 2, 8))],
    ids=["norm", "attention"],
)
def test_layers_answer_alike(slow: nn.Module, quick: nn.Module, layout: torch.memory_format) -> None:
    pair(slow, quick)
    x = drawn(3, 16, 6, 5).contiguous(memory_format=layout)
    for mine, theirs in zip(answers(quick, x), answers(slow, x), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_attention_to_large_values_stays_finite() -> None:
    slow, quick = pair(LinearAttention(16, 2, 8), QuickAttention(16, 2, 8))
    with torch.no_grad():
        for layer in (slow, quick):
            layer.to_qkv.weight *= 1e4
            layer.mem_kv *= 1e3
        x = drawn(2, 16, 4, 4)
        assert quick(x).isfinite().all()
        torch.testing.assert_close(quick(x), slow(x))


def test_a_norm_of_nothing_is_nothing() -> None:
    out = QuickNorm(4)(torch.zeros(1, 4, 2, 2))
    assert torch.equal(out, torch.zeros(1, 4, 2, 2))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_whole_network_answers_alike(channels: int) -> None:
    slow, quick = (unet.build(8, channels, (1, 2, 4), quick=chosen) for chosen in (False, True))
    pair(slow, quick)
    for theirs, ours in ((Block, QuickBlock), (RMSNorm, QuickNorm), (LinearAttention, QuickAttention)):
        replaced = sum(type(module) is ours for module in quick.modules())
        assert replaced == sum(type(module) is theirs for module in slow.modules()) > 2
        assert not any(type(module) is ours for module in slow.modules())
    x, t = (
        drawn(2, channels, 16, 16).contiguous(memory_format=torch.channels_last),
        torch.tensor([3, 700]).double(),
    )
    for mine, theirs in zip(answers(quick, x, t), answers(slow, x, t), strict=True):
        torch.testing.assert_close(mine, theirs)
    kept = x.clone()
    with torch.no_grad():  # where maps are written over
        torch.testing.assert_close(quick(x, t), slow(x, t))
    assert torch.equal(x, kept)


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_lie_as_their_weights_do(channels: int) -> None:
    """torch's fused Adam takes a weight's memory and its gradient's for the same order, whatever it is."""
    quick = unet.build(8, channels, (1, 2, 4)).to(memory_format=torch.channels_last)
    quick(drawn(2, channels, 16, 16).float(), torch.tensor([3, 700])).sum().backward()
    for name, parameter in quick.named_parameters():
        if parameter.grad is not None:
            assert lies(parameter.grad) == lies(parameter), name


def lies(x: Tensor) -> list[int]:
    """The strides that mean something."""
    return [stride for stride, size in zip(x.stride(), x.shape, strict=True) if size > 1]


def test_heads_are_no_wider_than_the_network() -> None:
    heads = {
        m.to_qkv.out_channels // 12
        for m in unet.build(8, 1, (1, 2)).modules()
        if isinstance(m, LinearAttention)
    }
    assert heads == {8}
    heads = {
        m.to_qkv.out_channels // 12
        for m in unet.build(64, 1, (1, 2)).modules()
        if isinstance(m, LinearAttention)
    }
    assert heads == {unet.HEAD}
