"""Any one-class image model of the library anomalib (Akcay et al., ICIP 2022) under this suite's protocol.

The model, its pre-processing, its losses and its optimisers are the library's, and Lightning trains it, as in the
library's own engine. The protocol is ours: batches from memory, the last epoch, no validation or test split, no
post-processing (whose normalisation and thresholds come from other images), no files. The score is the model's
``pred_score`` in evaluation mode. A model whose score of an image hangs on its batch (CFLOW there) is found out on
training images, and then asked for one image at a time.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import math
import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor, nn
from torchvision.transforms.v2 import Resize

from baselines.info.anomalib import PACKAGE, Bank, Trained, arguments
from baselines.inputs import batched
from suite.detector import Context, Images, Scores, derive_seed
from suite.settings import Settings
from suite.tensors import read_torch, write_torch

_EVERY = 25
"""Steps between two looks at the loss, which make a device wait."""
_BATCH = 32
"""Images a batch where nothing is trained, as in the library, and in scoring at 224 px."""
_ROUNDING = 1e-3
"""Of the spread of some scores: what the batch may change."""


class AnomalibModel:
    """See :class:`suite.detector.Detector`. A fit that was stopped starts anew: Lightning's checkpoints are pickles."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.settings = cast(Bank, training)
        self.module: Any = None
        self.alone = True

    def fit(self, images: Images, context: Context) -> None:
        with _seeded(derive_seed(context.seed, PACKAGE, "fit"), context.device), _quiet():
            self.module = _built(self.settings)
            self._train(images, context)
            self.module = self.module.to(context.device).eval()
            some = np.concatenate([images[:2], 255 - images[:2]])
            silent = Context(context.device, context.seed, stop=context.stop)
            together, single = (self._scored(some, silent, batch) for batch in (len(some), 1))
        self.alone = bool(np.abs(together - single).max() > _ROUNDING * np.ptp(single))
        if self.alone:
            context.notes.append("images scored one by one, since its scores hang on the batch")

    def score(self, images: Images, context: Context) -> Scores:
        side = self.settings.anomalib.input_size or max(224, *images.shape[-2:])
        return self._scored(images, context, 1 if self.alone else max(1, _BATCH * 224**2 // side**2))

    def save(self, path: Path) -> None:
        assert self.module is not None, "nothing to save before fit"
        state = {name: value.detach().cpu() for name, value in self.module.state_dict().items()}
        write_torch(path, {"state": state, "alone": self.alone})

    def load(self, path: Path, device: torch.device) -> None:
        saved = read_torch(path, device)
        with _seeded(0, device), _quiet():
            self.module = _built(self.settings, weights=False)
        _shaped(self.module, saved["state"])
        self.module.load_state_dict(saved["state"])
        self.module = self.module.to(device).eval()
        self.alone = saved["alone"]

    def _train(self, images: Images, context: Context) -> None:
        budget = self.settings.train if isinstance(self.settings, Trained) else None
        resizes = [one for one in self.module.pre_processor.transform.modules() if isinstance(one, Resize)]
        data = _Data(_Batches(images, context, budget.batch if budget else None, resizes[:1]))
        own = dict(self.module.trainer_arguments)
        epochs = budget.epochs if budget else own.get("max_epochs", 1)
        watch = _Watch(self, context, epochs * len(data.batches))
        device = context.device
        trainer = Trainer(
            **own
            | {
                "max_epochs": epochs,
                "accelerator": {"cuda": "gpu"}.get(device.type, device.type),
                "devices": [device.index or 0] if device.type == "cuda" else 1,
                "callbacks": [watch],
                "limit_val_batches": 0,
                "default_root_dir": context.folder,
            }
            | dict.fromkeys(
                ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
            )
        )
        try:
            trainer.fit(self.module, datamodule=data)
        except SIGTERMException:
            context.pulse()
            raise
        if not getattr(self.module, "_is_fitted", True):
            self.module.fit()

    def _scored(self, images: Images, context: Context, batch: int) -> Scores:
        from anomalib.data import ImageBatch

        seed = derive_seed(context.seed, PACKAGE, "score")

        def score(part: Tensor) -> Tensor:
            with _seeded(seed, part.device):
                inputs = self.module.pre_processor.transform(_floats(part))
                found = self.module.predict_step(ImageBatch(image=inputs), 0).pred_score
            return cast(Tensor, found).reshape(len(part))

        assert self.module is not None, "fit or load first"
        return batched(images, context, score, batch)


class _Batches:
    """Batches of the training images in memory, as the library's models take them: in another order each epoch, all
    of them normal, resized. Where something is trained (``batch`` is given), a rest of one image is left out, since
    it has no statistics.
    """

    def __init__(self, images: Images, context: Context, batch: int | None, resizes: list[nn.Module]) -> None:
        self.images, self.batch, self.resize = images, batch or _BATCH, nn.Sequential(*resizes)
        self.generator = context.generator(PACKAGE, "order")
        rest = len(images) % self.batch
        self.count = len(images) - (rest if batch and rest == 1 < len(images) else 0)

    def __len__(self) -> int:
        return -(-self.count // self.batch)

    def __iter__(self) -> Iterator[Any]:
        from anomalib.data import ImageBatch

        order = torch.randperm(len(self.images), generator=self.generator)[: self.count]
        for chosen in order.split(self.batch):
            image = self.resize(_floats(torch.from_numpy(np.array(self.images[chosen.numpy()]))))
            nothing = torch.zeros(len(image), *image.shape[-2:], dtype=torch.bool)
            yield ImageBatch(image=image, gt_label=nothing[:, 0, 0], gt_mask=nothing)


class _Data(LightningDataModule):  # type: ignore[misc]
    """What some models ask for the training images themselves."""

    def __init__(self, batches: _Batches) -> None:
        super().__init__()
        self.batches, self.train_batch_size = batches, batches.batch

    def train_dataloader(self) -> _Batches:
        return self.batches


class _Watch(Callback):  # type: ignore[misc]
    """Progress, snapshots and the request to stop, after each step."""

    def __init__(self, detector: AnomalibModel, context: Context, total: int) -> None:
        self.detector, self.context, self.total, self.step = detector, context, total, 0
        self.marks = {total * part // context.snapshots for part in range(1, context.snapshots)} - {0}

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, number: int) -> None:
        self.step += 1
        if self.step % _EVERY == 0 or self.step == self.total:
            loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
            told = {} if loss is None else {"loss_train": float(loss)}
            if not all(map(math.isfinite, told.values())):
                raise FloatingPointError(f"the loss is not finite at step {self.step}")
            self.context.progress(self.step, self.total, told)
        if self.step in self.marks and isinstance(self.detector.settings, Trained):
            self.context.snapshot(self.step, self.total, self.detector)
        self.context.pulse()


def _built(settings: Bank, weights: bool = True) -> Any:
    """The library's Lightning module; without ``weights`` where a state is loaded into it anyway."""
    name, side = settings.model, settings.anomalib.input_size
    made = _class(settings.model)
    given = settings.anomalib.arguments
    if not weights and "pre_trained" in arguments(name):
        given["pre_trained"] = False
    if side and "input_shape" in arguments(name):
        given.setdefault("input_shape", (side, side))
    try:
        pre = _pre_processor(made, side) if side else True
        return made(**given, pre_processor=pre, post_processor=False, evaluator=False, visualizer=False)
    except Exception as error:  # whatever the library and those that it downloads with raise
        told = str(error).strip().partition("\n")[0]
        hint = 'anomalib.options = ["pre_trained=false"]' if "pre_trained" in arguments(name) else "a network"
        raise RuntimeError(
            f"{PACKAGE}/{name} cannot be built ({type(error).__name__}: {told}); if its weights could not be "
            f"downloaded, it takes {hint}"
        ) from error


def _pre_processor(made: Any, side: int) -> Any:
    """The model's own pre-processing for another size."""
    sized = {"image_size": (side, side), "crop_size": side}
    taken = inspect.signature(made.configure_pre_processor).parameters
    return made.configure_pre_processor(**{key: value for key, value in sized.items() if key in taken})


def _class(name: str) -> Any:
    """The Lightning module of a model."""
    base = importlib.import_module(f"{PACKAGE}.models.components").AnomalibModule
    module = importlib.import_module(f"{PACKAGE}.models.image.{name}.lightning_model")
    inside = (one for one in vars(module).values() if inspect.isclass(one) and issubclass(one, base))
    return next(one for one in inside if one.__module__ == module.__name__)


def _shaped(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give buffers the shapes that they have in a state: a memory bank is empty until it is filled."""
    for path, value in state.items():
        owner, _, name = path.rpartition(".")
        held = module.get_submodule(owner)._buffers
        if name in held and (held[name] is None or cast(Tensor, held[name]).shape != value.shape):
            held[name] = torch.empty_like(value)


def _floats(images: Tensor) -> Tensor:
    """uint8 B x C x H x W (C is 1 or 3) as the library reads images: B x 3 x H x W in 0 to 1."""
    return images.float().div_(255).expand(-1, 3, -1, -1)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """The global generators of torch, numpy and Python, which the library draws from, at a seed; then as before."""
    numpy, python = np.random.get_state(), random.getstate()
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy)
            random.setstate(python)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's advice on workers and loggers."""
    talkers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", PACKAGE)]
    levels = [talker.level for talker in talkers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for talker in talkers:
            talker.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for talker, level in zip(talkers, levels, strict=True):
                talker.setLevel(level)
