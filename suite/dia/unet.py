"""denoising-diffusion-pytorch's Unet with some of its layers computed faster: the same functions with the same
parameters (equal but for rounding), in the memory layout in which convolutions run.

Its norm spends a fifth of a pass in ``vector_norm`` over channels, which is slow there, and goes over the maps for each
of its factors and those of the time embedding, here one; its linear attention writes q, k, v and the attended values,
of which q and k are enough. ``quick = False`` is the library's own code.
"""

from __future__ import annotations

import torch
from denoising_diffusion_pytorch import Unet
from denoising_diffusion_pytorch.denoising_diffusion_pytorch import Block, LinearAttention, RMSNorm
from torch import Tensor, nn
from torch.nn import functional as F

from suite.tensors import channels_last

HEAD = 32
"""Values of an attention head: the library's, and the paper's width."""
_LEAST = 1e-12
"""The least norm that is divided by, as in torch.nn.functional.normalize."""


def _unit(x: Tensor) -> Tensor:
    """x / |x| over the channels."""
    return x * (x * x).sum(dim=1, keepdim=True).clamp_min(_LEAST**2).rsqrt()


class QuickFirst(nn.Conv2d):
    """The first convolution, of images of one channel too with the channels last, as the others follow."""

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x D x H x W."""
        return F.conv2d(channels_last(x), channels_last(self.weight), self.bias, padding=self.padding)


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


def _rows(x: Tensor) -> Tensor:
    """N x C x H x W to N x H W x C, a view where the channels lie last."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


class QuickAttention(LinearAttention):  # type: ignore[misc]
    """Linear attention as products with the normed images, the channels last: n pixels and the memories attend over h
    heads of c values.

    The context of a head is softmax(k)^T v with v = x W_v, so (softmax(k)^T x) W_v, and what follows the attention is
    linear too: neither v nor the attended values, of h c channels each, are ever written.
    """

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        b, channels, height, width = x.shape
        unit, weight = _unit(x), self.to_qkv.weight * (self.norm.g * self.norm.scale)
        of_q, of_k, of_v = weight.unflatten(0, (3, -1)).unbind()
        q, k, rows = (_rows(one) for one in (F.conv2d(unit, of_q), F.conv2d(unit, of_k), unit))
        q = q.unflatten(2, (self.heads, -1)).softmax(dim=-1).flatten(2)
        context = self._context(k, rows, of_v.flatten(1))
        project, norm = self.to_out
        # To the channels of the output: N x h c x C.
        of_out = project.weight.reshape(channels, self.heads, -1).permute(1, 2, 0) * self.scale
        onto = (context @ of_out).flatten(1, 2)
        out = torch.baddbmm(project.bias, q, onto).reshape(b, height, width, channels)
        result: Tensor = norm(out.permute(0, 3, 1, 2))
        return result

    def _context(self, k: Tensor, rows: Tensor, of_v: Tensor) -> Tensor:
        """softmax(k)^T v of each head: N x h x c x c, from k N x n x h c and rows N x n x C."""
        memory_k = self.mem_kv[0].flatten(0, 1)
        # The memories are not laid beside the pixels: both are divided by the sum of their exponentials at the end.
        top = torch.maximum(k.detach().amax(dim=1), memory_k.detach().amax(dim=1))
        k = (k - top[:, None]).exp() if torch.is_grad_enabled() else k.sub_(top[:, None]).exp_()
        memory_k = (memory_k - top[:, :, None]).exp()
        total = k.sum(dim=1) + memory_k.sum(dim=2)
        seen = (k.transpose(1, 2) @ rows).unflatten(1, (self.heads, -1))
        context = seen @ of_v.unflatten(0, (self.heads, -1)).transpose(1, 2)
        context = context + memory_k.unflatten(1, (self.heads, -1)) @ self.mem_kv[1].transpose(1, 2)
        result: Tensor = context / total.unflatten(1, (self.heads, -1))[..., None]
        return result


_QUICK = {Block: QuickBlock, RMSNorm: QuickNorm, LinearAttention: QuickAttention}


def build(dim: int, channels: int, multipliers: tuple[int, ...], *, quick: bool = True) -> Unet:
    """The library's Unet; one narrower than the paper's gets narrower attention heads with it."""
    head = min(HEAD, dim)
    made = Unet(dim=dim, dim_mults=multipliers, channels=channels, attn_dim_head=head, flash_attn=False)
    if quick:
        for module in made.modules():
            module.__class__ = _QUICK.get(type(module), type(module))
        made.init_conv.__class__ = QuickFirst
    return made
