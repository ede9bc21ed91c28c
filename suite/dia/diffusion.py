"""The diffusion model whose single reverse steps dissolve images (Section 3.1; training as in supplement
A.1).

The network and the noise schedule are denoising-diffusion-pytorch's. The paper's objective (L1 on the noise,
cosine schedule) is no longer that library's default, so its loss is subclassed. Gray images are trained with
one channel.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from denoising_diffusion_pytorch import GaussianDiffusion, Unet
from einops import reduce
from torch import Tensor
from torch.nn import functional as F

from suite.data.mapped import HELD, Reader
from suite.detector import Context, derive_seed
from suite.dia import graphs
from suite.dia.dissolve import Predict, dissolve, to_resolution
from suite.dia.info import TIMESTEPS, Diffusion
from suite.dia.unet import build as build_unet
from suite.tensors import fits, onto, products, read_torch, write_torch

MULTIPLIERS = (1, 2, 4, 8)
CLIP_NORM = 1.0
SIGN_STEPS = (1, 30, 50, 100, 130, 200, 330, 500, 700, 950)
"""The steps at which the variance between dissolved images is recorded: it falls as different inputs become
alike.
"""
SIGN_IMAGES = 64
"""How many images that variance is taken between."""


class PaperDiffusion(GaussianDiffusion):  # type: ignore[misc]
    """GaussianDiffusion that predicts the noise under L1 (or L2) with the cosine schedule."""

    def __init__(self, unet: Unet, size: int, loss: str) -> None:
        super().__init__(
            unet, image_size=size, timesteps=TIMESTEPS, objective="pred_noise", beta_schedule="cosine"
        )
        self.distance = F.l1_loss if loss == "l1" else F.mse_loss

    def p_losses(
        self,
        x_start: Tensor,
        t: Tensor,
        noise: Tensor | None = None,
        offset_noise_strength: float | None = None,
        loss_reduction: str = "mean",
    ) -> Tensor:
        """The loss of images in [-1, 1] at the steps ``t`` (N,), against the given noise."""
        noise = torch.randn_like(x_start) if noise is None else noise
        predicted = self.model(self.q_sample(x_start=x_start, t=t, noise=noise), t)
        loss = reduce(self.distance(predicted, noise, reduction="none"), "b ... -> b", "mean")
        return loss if loss_reduction == "none" else loss.mean()


def unet(dim: int, channels: int, plain: bool = False) -> Unet:
    """The library's Unet at the paper's four resolutions; ``plain``: with its own layers."""
    return build_unet(dim, channels, MULTIPLIERS, quick=not plain)


def build(channels: int, size: int, settings: Diffusion, seed: int) -> PaperDiffusion:
    """A freshly initialised model; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "diffusion", "init"))
        return PaperDiffusion(unet(settings.dim, channels, settings.plain), size, settings.loss)


class _Trainer:
    """Everything that changes while the model trains, so that a checkpoint can hold it."""

    def __init__(
        self, images: Tensor, settings: Diffusion, size: int, seed: int, device: torch.device
    ) -> None:
        self.settings, self.device = settings, device
        self.images = images.to(device) if fits(images.nbytes, device) else images
        self.model = build(images.shape[1], size, settings, seed).to(
            device, memory_format=torch.channels_last
        )
        self.parameters = list(self.model.model.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimiser = torch.optim.Adam(self.parameters, lr=settings.lr, betas=(0.9, 0.99), fused=True)
        self.generator = torch.Generator().manual_seed(derive_seed(seed, "diffusion", "train"))
        self.queue = torch.empty(0, dtype=torch.long)
        self.step = 0
        self.curve: list[tuple[int, float]] = []
        self.recent: Tensor = torch.zeros((), device=device)
        self.counted = 0
        self.graphed = False

    def capture(self) -> None:
        """Train by a CUDA graph from now on, where there is such a device and it answers alike."""
        if self.device.type == "cuda":
            shape = (self.settings.batch, *self.images.shape[1:])
            generator = torch.Generator(self.device).manual_seed(0)
            x = torch.randn(shape, generator=generator, device=self.device)
            low, high = self.settings.times
            t = torch.randint(low, high + 1, shape[:1], generator=generator, device=self.device)
            self.graphed = graphs.capture(self.model.model, (x, t))

    def _draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """A batch of flipped images in [0, 1], their steps and their noise."""
        batch, generator = self.settings.batch, self.generator
        while len(self.queue) < batch:
            self.queue = torch.cat([self.queue, torch.randperm(len(self.images), generator=generator)])
        chosen, self.queue = self.queue[:batch], self.queue[batch:]
        flip = torch.rand(batch, generator=generator) < 0.5
        low, high = self.settings.times
        t = torch.randint(low, high + 1, (batch,), generator=generator)
        noise = torch.randn((batch, *self.images.shape[1:]), generator=generator)
        x = onto(self.images[onto(chosen, self.images.device)], self.device)
        x = torch.where(onto(flip, self.device)[:, None, None, None], x.flip(-1), x)
        return x, onto(t, self.device), onto(noise, self.device)

    def advance(self) -> None:
        """One optimiser step over ``accumulate`` batches, then the moving average."""
        self.optimiser.zero_grad(set_to_none=not self.graphed)
        for _ in range(self.settings.accumulate):
            x, t, noise = self._draw()
            loss = self.model(x, times=t, noise=noise) / self.settings.accumulate
            loss.backward()
            self.recent += loss.detach()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP_NORM)
        self.optimiser.step()
        self.step += 1
        self.counted += 1
        decay = min(self.settings.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)

    def flush(self) -> float:
        """The mean loss since the last call, appended to the curve (the one place that waits for the device)."""
        mean = float(self.recent) / max(self.counted, 1)
        self.recent.zero_()
        self.counted = 0
        self.curve.append((self.step, mean))
        if not math.isfinite(mean):
            raise FloatingPointError(f"the diffusion loss is {mean} at step {self.step}: lower diffusion.lr")
        return mean

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "queue": self.queue,
            "step": self.step,
            "curve": torch.tensor(self.curve, dtype=torch.float64).reshape(-1, 2),
            "recent": self.recent,
            "counted": self.counted,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.model.model.load_state_dict(state["model"])
        for mine, kept in zip(self.average, state["average"], strict=True):
            mine.copy_(kept)
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"].cpu())
        self.queue, self.step = state["queue"].cpu(), state["step"]
        self.curve = [(int(step), loss) for step, loss in state["curve"].tolist()]
        self.recent.copy_(state["recent"])
        self.counted = state["counted"]


@products("full")
def train(images: Tensor, settings: Diffusion, size: int, seed: int, context: Context) -> _Trainer:
    """Train on N x C x size x size images in [0, 1]; goes on from ``resume.pt`` in the context's folder if
    one is there. Never in less than full single precision, which breaks it (supplement A.1).
    """
    from suite.training.checkpoint import Checkpoint

    trainer = _Trainer(images, settings, size, seed, context.device)
    checkpoint = Checkpoint(context, trainer.state, trainer.restore)
    checkpoint.resume()
    trainer.capture()
    every = max(1, min(50, settings.steps // 20))
    while trainer.step < settings.steps:
        trainer.advance()
        if trainer.step % every == 0 or trainer.step == settings.steps:
            context.progress(trainer.step, settings.steps, {"loss": trainer.flush()})
        checkpoint.pulse()
    return trainer


def make(identity: Mapping[str, Any], pack: Any, context: Context) -> dict[str, Any]:
    """Make the artefact ``diffusion``: train, write ``model.pt`` and ``signs.json`` into the context's
    folder.

    ``identity`` as :func:`suite.dia.info.DIA`'s needs state it. Returns the facts for ``done.json``.
    """
    from suite.data.select import diffusion_training

    if context.folder is None:
        raise ValueError("the diffusion model needs a folder to write to")
    settings = Diffusion.parse({**identity["settings"], "seed": "shared"})
    seed, size = int(identity["seed"]), int(identity["size"])
    chosen = diffusion_training(pack, identity["data"], settings.data, settings.ratio, seed)
    images = at_resolution(pack.images, chosen, size)
    trainer = train(images, settings, size, seed, context)
    model = trainer.model
    raw = {name: value.detach().cpu() for name, value in model.model.state_dict().items()}
    names = [name for name, _ in model.model.named_parameters()]
    ema = {**raw, **{name: value.cpu() for name, value in zip(names, trainer.average, strict=True)}}
    header = {
        "channels": images.shape[1],
        "size": size,
        **settings.model_dump(include={"dim", "loss", "plain"}),
    }
    write_torch(context.folder / "model.pt", {"ema": ema, "raw": raw, "header": header})
    predict, alphas_cumprod, _ = load(context.folder, context.device, "ema")
    signs = {
        "loss": [{"step": step, "loss": loss} for step, loss in trainer.curve],
        "variance": variance_between(images[:SIGN_IMAGES].to(context.device), predict, alphas_cumprod),
        "images": len(images),
    }
    (context.folder / "signs.json").write_text(json.dumps(signs), encoding="utf-8")
    tail = [loss for _, loss in trainer.curve[-10:]]
    return {
        "l1" if settings.loss == "l1" else "l2": sum(tail) / len(tail),
        "variance": signs["variance"],
        "images": len(images),
        "parameters": sum(p.numel() for p in trainer.parameters),
    }


def at_resolution(images: np.ndarray[Any, Any], chosen: np.ndarray[Any, Any], size: int) -> Tensor:
    """The chosen ``uint8`` images as floats in [0, 1] at the dissolving resolution, decoded block by block."""
    reader = Reader(images)
    small = torch.empty(len(chosen), images.shape[1], size, size)
    step = max(1, HELD // (small.element_size() * math.prod(images.shape[1:])))
    for start in range(0, len(chosen), step):
        rows = slice(start, start + step)
        small[rows] = to_resolution(torch.from_numpy(reader[chosen[rows]]).float().div_(255), size)
    return small


def load(folder: Path, device: torch.device, weights: str) -> tuple[Predict, Tensor, int]:
    """eps_theta with its averaged (``ema``) or ``raw`` weights, the schedule's cumulative alphas (T,), and the
    channels that it takes.
    """
    stored = read_torch(folder / "model.pt", device)
    header = stored["header"]
    network = unet(header["dim"], header["channels"], header.get("plain", False))
    network.load_state_dict(stored[weights])
    return *predictor(network, header["size"], device), header["channels"]


def predictor(network: Unet, size: int, device: torch.device) -> tuple[Predict, Tensor]:
    """eps_theta of a UNet, which is moved to the device and trains no more, and the schedule's cumulative
    alphas (T,).
    """
    network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    schedule = PaperDiffusion(network, size, "l1").to(device)

    def predict(x: Tensor, t: Tensor) -> Tensor:
        result: Tensor = network(x.contiguous(memory_format=torch.channels_last), t)
        return result

    return predict, schedule.alphas_cumprod


@torch.no_grad()
def variance_between(images: Tensor, predict: Predict, alphas_cumprod: Tensor) -> dict[str, float]:
    """Mean pixel variance between dissolved images (in [0, 1]) at each of :data:`SIGN_STEPS`: a label-free
    sign.

    A good dissolver makes different images alike as t grows (Section 3.1).
    """
    result = {"0": float(images.var(dim=0).mean())}
    for step in SIGN_STEPS:
        hats = [
            (dissolve(x * 2 - 1, torch.full((len(x),), step, device=x.device), predict, alphas_cumprod) + 1)
            / 2
            for x in images.split(64)
        ]
        result[str(step)] = float(torch.cat(hats).var(dim=0).mean())
    return result


def read_signs(folder: Path) -> dict[str, Any]:
    """The label-free signs stored beside a model: its loss curve and the variance between dissolved images
    against t.
    """
    signs: dict[str, Any] = json.loads((folder / "signs.json").read_text(encoding="utf-8"))
    return signs
