"""denoising-diffusion-pytorch's Unet with two of its layers computed faster: the same functions with the same
parameters (equal but for rounding), in the memory layout in which convolutions run.

Its norm spends a fifth of a pass in ``vector_norm`` over channels, which is slow there, and goes over the maps for each
of its factors and those of the time embedding, here one; its linear attention copies and takes a softmax across memory,
where one along it does. ``quick = False`` is the library's own code.
"""

from __future__ import annotations

import torch
from denoising_diffusion_pytorch import Unet
from denoising_diffusion_pytorch.denoising_diffusion_pytorch import Block, LinearAttention, RMSNorm
from torch import Tensor
from torch.nn import functional as F

HEAD = 32
"""Values of an attention head: the library's, and the paper's width."""
_LEAST = 1e-12
"""The least norm that is divided by, as in torch.nn.functional.normalize."""


def _unit(x: Tensor) -> Tensor:
    """x / |x| over the channels."""
    return x * (x * x).sum(dim=1, keepdim=True).clamp_min(_LEAST**2).rsqrt()


class QuickNorm(RMSNorm):  # type: ignore[misc]
    """x / |x| over the channels, times g and the root of their number."""

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        unit, gain = _unit(x), self.g * self.scale
        return unit * gain if torch.is_grad_enabled() else unit.mul_(gain)


class QuickBlock(Block):  # type: ignore[misc]
    """Convolution, norm, scale and shift by the time embedding, SiLU; what scales is one factor."""

    def forward(self, x: Tensor, scale_shift: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """N x C x H x W to N x D x H x W; scale and shift: N x D x 1 x 1."""
        x = self.proj(x)
        if scale_shift is None:
            x = self.norm(x)
        else:
            scale, shift = scale_shift
            x = torch.addcmul(shift, _unit(x), self.norm.g * self.norm.scale * (scale + 1))
        result: Tensor = self.dropout(F.silu(x, inplace=not torch.is_grad_enabled()))
        return result


class QuickAttention(LinearAttention):  # type: ignore[misc]
    """Linear attention with the channels last: n pixels and the memories attend over h heads of c values."""

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        b, _, height, width = x.shape
        qkv = self.to_qkv(self.norm(x)).permute(0, 2, 3, 1)
        # b x 3 x h x n x c, a view where the convolution left the channels last
        qkv = qkv.reshape(b, height * width, 3, self.heads, -1).permute(0, 2, 3, 1, 4)
        q, k, v = qkv.unbind(1)
        memory = self.mem_kv.transpose(-1, -2)[:, None].expand(-1, b, -1, -1, -1)
        k = torch.cat([memory[0], k], dim=2).softmax(dim=2)
        v = torch.cat([memory[1], v], dim=2)
        context = k.transpose(-1, -2) @ v
        out = (q.softmax(dim=-1) * self.scale) @ context
        out = out.transpose(1, 2).reshape(b, height, width, -1).permute(0, 3, 1, 2)
        result: Tensor = self.to_out(out)
        return result


_QUICK = {Block: QuickBlock, RMSNorm: QuickNorm, LinearAttention: QuickAttention}


def build(dim: int, channels: int, multipliers: tuple[int, ...], *, quick: bool = True) -> Unet:
    """The library's Unet; one narrower than the paper's gets narrower attention heads with it."""
    head = min(HEAD, dim)
    made = Unet(dim=dim, dim_mults=multipliers, channels=channels, attn_dim_head=head, flash_attn=False)
    for module in made.modules() if quick else ():
        module.__class__ = _QUICK.get(type(module), type(module))
    return made
