"""UniAD (You et al., NeurIPS 2022, arXiv 2206.03687): a transformer rebuilds frozen feature tokens, and may not copy.

Maps at strides 2, 4, 8 and 16 are brought to one grid and joined; each place of it is a token. Encoders, and decoders
with queries of their own in each layer, rebuild the tokens (section 3). Three things keep them from passing tokens
through: attention does not see the neighbours of a place (neighbour-masked attention), each decoder starts from
learnt queries (layer-wise query decoder), and training adds noise of ``jitter`` |x| / C to each token x of C values
(feature jittering). Trained on the mean squared error; a place scores the Euclidean norm of its error, the map is
enlarged, and an image scores its largest mean over a window as wide as a token (``score.pool``).

Official settings, the defaults: EfficientNet-B4, 4 + 4 layers of width 256, 7 x 7 neighbours masked in all three
attentions, AdamW 1e-4, weight decay 1e-4, gradients clipped to 0.1, 1,000 epochs of batches of 8, a tenth of the rate
from epoch 800 on. Departures: the last epoch counts (official: the best on the test set), and an AUROC below 0.5 stays
what it is. Where a token would see nothing but masked places (below 128 px at stride 16), the window shrinks; for
small images ``stride`` gives more tokens. The outcome says both.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.backbones import Features, restored
from baselines.fit import Fit
from baselines.frozen import Frozen
from baselines.info.uniad import SIZES, Transformer, UniadScoring, UniadTraining, window
from baselines.inputs import batched
from baselines.maps import peak, upsampled
from suite.detector import Context, Images, Scores, derive_seed
from suite.settings import Settings
from suite.tensors import read_torch, write_torch
from suite.training import loop

STRIDES = (2, 4, 8, 16)


def masked(grid: tuple[int, int], side: int) -> Tensor:
    """Which tokens (columns) a token (rows) does not see: those in the window of ``side`` about it, itself too."""
    down, along = torch.meshgrid(*map(torch.arange, grid), indexing="ij")
    places = torch.stack([down.flatten(), along.flatten()], 1)
    apart = (places[:, None] - places[None]).abs().amax(2)
    return apart <= side // 2


class Layer(nn.Module):
    """Attentions, each followed by dropout, sum and norm, and a perceptron: one an encoder, two a decoder."""

    def __init__(self, settings: Transformer, attentions: int) -> None:
        super().__init__()
        width, drop = settings.width, settings.dropout
        self.attentions = nn.ModuleList(
            nn.MultiheadAttention(width, settings.heads, drop, batch_first=True) for _ in range(attentions)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(attentions + 1))
        self.perceptron = nn.Sequential(
            nn.Linear(width, settings.hidden), nn.ReLU(), nn.Dropout(drop), nn.Linear(settings.hidden, width)
        )
        self.dropout = nn.Dropout(drop)

    def forward(self, x: Tensor, seen: Sequence[Tensor], places: Tensor, mask: Tensor) -> Tensor:
        """``x`` (B x tokens x width) looks at each of ``seen`` in turn; places are added to queries and keys."""
        for attention, norm, memory in zip(self.attentions, self.norms, seen, strict=False):
            looked, _ = attention(x + places, memory + places, memory, attn_mask=mask, need_weights=False)
            x = norm(x + self.dropout(looked))
        made: Tensor = self.norms[-1](x + self.dropout(self.perceptron(x)))
        return made


class Rebuilder(nn.Module):
    """Tokens of ``channels`` values on a ``grid`` to what they should be, B x tokens x channels."""

    mask: Tensor

    def __init__(self, channels: int, grid: tuple[int, int], neighbours: int, settings: Transformer) -> None:
        super().__init__()
        width = settings.width
        self.rows = nn.Parameter(torch.rand(grid[0], 1, width // 2))
        self.columns = nn.Parameter(torch.rand(1, grid[1], width // 2))
        self.queries = nn.Parameter(
            torch.randn(grid[0] * grid[1], width).expand(settings.layers, -1, -1).clone()
        )
        # As officially: the layers start as copies, of which only the linear parts are drawn anew.
        encoder, decoder = Layer(settings, 1), Layer(settings, 2)
        self.encoders = nn.ModuleList(copy.deepcopy(encoder) for _ in range(settings.layers))
        self.decoders = nn.ModuleList(copy.deepcopy(decoder) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(width)
        self.inward, self.outward = nn.Linear(channels, width), nn.Linear(width, channels)
        self.register_buffer("mask", masked(grid, window(neighbours, grid)), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def places(self) -> Tensor:
        """The learnt positions, tokens x width: by column, then by row."""
        rows, columns = torch.broadcast_tensors(self.rows, self.columns)
        return torch.cat([columns, rows], 2).flatten(0, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        places, memory = self.places(), self.inward(tokens)
        for encoder in self.encoders:
            memory = encoder(memory, [memory], places, self.mask)
        made = memory
        for queries, decoder in zip(self.queries, self.decoders, strict=True):
            made = decoder(queries.expand(len(tokens), -1, -1), [memory, made], places, self.mask)
        rebuilt: Tensor = self.outward(self.norm(made))
        return rebuilt


def jittered(tokens: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    """Tokens (... x C) with noise of standard deviation ``scale`` |x| / C."""
    noise = torch.randn(tokens.shape, generator=generator, device=tokens.device)
    lengths: Tensor = torch.linalg.vector_norm(tokens, dim=-1, keepdim=True)
    return tokens + noise * (lengths * scale / tokens.shape[-1])


def aligned(maps: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
    """The maps side by side on one grid, B x channels x h x w."""
    return torch.cat([F.interpolate(one, grid, mode="bilinear", align_corners=True) for one in maps], 1)


class Aligned:
    """The frozen network's maps on one grid, as one map."""

    def __init__(self, network: Features, grid: tuple[int, int]) -> None:
        self.network, self.inputs, self.grid = network, network.inputs, grid

    def __call__(self, x: Tensor) -> list[Tensor]:
        return [aligned(self.network(x), self.grid)]


class Uniad:
    """See :class:`suite.detector.Detector`."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.settings, self.pool = cast(UniadTraining, training), cast(UniadScoring, scoring).pool
        self.network: Features | None = None
        self.rebuilder: Rebuilder | None = None
        self.grid = (0, 0)

    def fit(self, images: Images, context: Context) -> None:
        self.network = Features(self.settings, STRIDES, SIZES, context.seed).to(context.device)
        height, width = self.network.inputs.sides(*images.shape[-2:])
        self.grid = (height // self.settings.stride, width // self.settings.stride)
        frozen = Frozen(Aligned(self.network, self.grid), images, context)
        rebuilder = self.rebuilder = self._made(context.seed).to(context.device)

        def terms(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
            (joined,) = frozen(batch)
            tokens = joined.flatten(2).transpose(1, 2)
            with _seeded(derive_seed(context.seed, "dropout", fit.step), context.device):
                rebuilt = rebuilder(jittered(tokens, self.settings.jitter, generator))
            return {"error": F.mse_loss(rebuilt, tokens)}

        train = self.settings.train
        optimiser = torch.optim.AdamW(
            rebuilder.parameters(), lr=train.lr, weight_decay=train.weight_decay, fused=True
        )
        fit = Fit(
            rebuilder,
            terms,
            len(images),
            train,
            context,
            optimiser=optimiser,
            schedule=_rate,
            clip=train.clip,
        )
        kept = frozen.kept(images, context)
        loop.run(fit, kept, context, lambda step, total: context.snapshot(step, total, self))

    def score(self, images: Images, context: Context) -> Scores:
        assert self.network is not None, "fit or load first"
        assert self.rebuilder is not None
        self.rebuilder.eval()
        return batched(images, context, self._scores, self.network.inputs.at_once(images))

    def save(self, path: Path) -> None:
        assert self.network is not None, "nothing to save before fit"
        assert self.rebuilder is not None
        state = {name: value.cpu() for name, value in self.rebuilder.state_dict().items()}
        write_torch(path, {"origin": self.network.origin(), "grid": list(self.grid), "rebuilder": state})

    def load(self, path: Path, device: torch.device) -> None:
        saved = read_torch(path, device)
        self.network = restored(self.settings, STRIDES, SIZES, saved["origin"], device)
        height, width = saved["grid"]
        self.grid = (height, width)
        self.rebuilder = self._made(0).to(device)
        self.rebuilder.load_state_dict(saved["rebuilder"])

    def _made(self, seed: int) -> Rebuilder:
        assert self.network is not None
        channels, settings = sum(self.network.channels), self.settings
        with _seeded(derive_seed(seed, "rebuilder"), torch.device("cpu")):
            return Rebuilder(channels, self.grid, settings.neighbours, settings.transformer)

    def _scores(self, batch: Tensor) -> Tensor:
        assert self.network is not None
        assert self.rebuilder is not None
        x = self.network.inputs(batch)
        tokens = aligned(self.network(x), self.grid).flatten(2).transpose(1, 2)
        apart = torch.linalg.vector_norm(self.rebuilder(tokens) - tokens, dim=2)
        large: Tensor
        (large,) = upsampled([apart.unflatten(1, self.grid)], (x.shape[-2], x.shape[-1]), corners=True)
        if self.pool == "max":
            return peak(F.avg_pool2d(large[:, None], self.settings.stride, 1))
        return large.mean((1, 2)) if self.pool == "mean" else large.std((1, 2), correction=0)


def _rate(part: float) -> float:
    """The factor of the learning rate: a tenth from four fifths of the epochs on."""
    return 1.0 if part < 0.8 else 0.1


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Layers are drawn, and dropout draws, from the global generators: seeded inside, left as they were outside."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
