"""Stable Diffusion as a dissolver (supplement D, Figures 7 to 11): an image is encoded by its autoencoder, one
reverse step at t is taken in the latent space as in Eq. 4, and the result is decoded.

The denoiser is shown the empty prompt. Weights are read from safetensors on this machine and nowhere else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from suite.data.errors import DataMissing
from suite.dia.dissolve import StepDissolver, as_channels, from_resolution, to_resolution
from suite.dia.stable_model import folder, missing_model

COLOURED = 3
BATCH = 4
"""Images that go through the autoencoder at a time: at 512 px it takes gigabytes."""


class LatentDissolver(StepDissolver):
    """One reverse step in the latent space of an autoencoder. ``context``: what the UNet attends to, 1 x L x D.

    ``vae``, ``unet`` and ``scheduler`` are diffusers'. Latents are not clamped: they have no range.
    """

    def __init__(
        self, vae: Any, unet: Any, scheduler: Any, context: Tensor, steps: tuple[int, int], size: int
    ) -> None:
        super().__init__(steps)
        self.vae, self.unet, self.context, self.size = vae, unet, context, size
        self.alphas_cumprod: Tensor = scheduler.alphas_cumprod
        self.velocity = scheduler.config.prediction_type == "v_prediction"
        self.scale: float = vae.config.scaling_factor
        self.shift: float = getattr(vae.config, "shift_factor", None) or 0.0

    @torch.no_grad()
    def at(self, x: Tensor, t: Tensor) -> Tensor:
        """Dissolve N x C x H x H images in [0, 1] at the steps ``t`` (N,)."""
        large = as_channels(to_resolution(x, self.size), COLOURED) * 2 - 1
        pairs = zip(large.split(BATCH), t.split(BATCH), strict=True)
        hat = torch.cat([self._decoded(self._step(self._encoded(one), at)) for one, at in pairs])
        small = ((hat + 1) / 2).clamp(0, 1)
        return from_resolution(as_channels(small, x.shape[1]), x.shape[-1])

    def _encoded(self, x: Tensor) -> Tensor:
        """The mean of the autoencoder's distribution: no noise of its own is added to an image."""
        latent: Tensor = self.vae.encode(x).latent_dist.mode()
        return (latent - self.shift) * self.scale

    def _step(self, z: Tensor, t: Tensor) -> Tensor:
        """Eq. 4 in the latent space, for a UNet that predicts the noise, or v."""
        alpha_bar = self.alphas_cumprod.to(z.device, torch.float64)[t].reshape(-1, 1, 1, 1)
        signal, noise = alpha_bar.sqrt().to(z.dtype), (1 - alpha_bar).sqrt().to(z.dtype)
        context = self.context.expand(len(z), -1, -1)
        predicted: Tensor = self.unet(z, t, encoder_hidden_states=context).sample
        if self.velocity:
            return signal * z - noise * predicted
        return (z - noise * predicted) / signal

    def _decoded(self, z: Tensor) -> Tensor:
        image: Tensor = self.vae.decode(z / self.scale + self.shift).sample
        return image


def load(model: str, steps: tuple[int, int], size: int, device: torch.device) -> LatentDissolver:
    """The dissolver by a model on this machine. DataMissing says what to get when it is not."""
    if lacking := missing_model(model):
        raise DataMissing(f"Stable Diffusion: {lacking}")
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from safetensors import SafetensorError

    place = folder(model)
    assert place is not None
    how: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
    try:
        vae = AutoencoderKL.from_pretrained(place, subfolder="vae", **how)
        unet = UNet2DConditionModel.from_pretrained(place, subfolder="unet", **how)
        scheduler = DDPMScheduler.from_pretrained(place, subfolder="scheduler")
        context = _empty_prompt(place, how)
    except (OSError, ValueError, SafetensorError) as error:
        line = " ".join(str(error).split())
        raise DataMissing(f"Stable Diffusion: {model} cannot be read ({line[:160]})") from error
    for part in (vae, unet):
        part.to(device).eval().requires_grad_(False)
    return LatentDissolver(vae, unet, scheduler, context.to(device), steps, size)


def _empty_prompt(place: Path, how: dict[str, Any]) -> Tensor:
    """What the text encoder makes of the empty prompt: 1 x L x D."""
    from transformers import CLIPTextModel, CLIPTokenizer

    if not (place / "tokenizer").is_dir():
        # The library would make one up, whose words are none of the model's.
        raise FileNotFoundError("it has no tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(place, subfolder="tokenizer", local_files_only=True)
    encoder = CLIPTextModel.from_pretrained(place, subfolder="text_encoder", **how).eval()
    tokens = tokenizer("", padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt")
    with torch.no_grad():
        embedded: Tensor = encoder(tokens.input_ids)[0]
    return embedded
