"""A throw-away method, artefact and data set for the tests of the engine. They reach workers by
``SUITE_PLUGINS``.

What happens is appended to the file that ``FAKE_LOG`` names, one word a line, so that tests can count across
processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from suite.registry import DataInfo, MethodFamily, MethodInfo, Need
from suite.settings import Int, Settings, setting


class Train(Settings):
    steps: Int = setting(16, ge=1)
    pause: float = setting(0.0)


class Training(Settings):
    train: Train = setting(Train())
    trouble: Literal["none", "fit", "loss", "scores", "artefact", "segfault", "memory", "killed", "child"] = (
        setting("none")
    )
    uses: Literal["nothing", "artefact"] = setting("nothing")


class Scoring(Settings):
    gain: float = setting(1.0)


def tell(word: str, pid: int | None = None) -> None:
    if path := os.environ.get("FAKE_LOG"):
        with open(path, "a") as stream:
            stream.write(f"{word} {pid or os.getpid()}\n")


def _needs(training: Settings, data: Mapping[str, Any], seed: int) -> tuple[Need, ...]:
    assert isinstance(training, Training)
    if training.uses == "nothing":
        return ()
    identity = {"data": dict(data), "seed": 0, "trouble": training.trouble == "artefact"}
    return (Need("fake", 1, identity, "fakes:make", "fake artefact"),)


def make(identity: Mapping[str, Any], pack: Any, context: Any) -> dict[str, Any]:
    tell("make")
    if identity["trouble"]:
        raise RuntimeError("no artefact today")
    (context.folder / "mean.txt").write_text(str(pack.images.mean()))
    time.sleep(0.2)
    return {"images": len(pack.images)}


def offer(training: Settings, data: Mapping[str, Any], options: Mapping[str, Any]) -> Need:
    """A strip that needs the fake artefact."""
    assert isinstance(training, Training)
    if training.uses == "nothing":
        raise ValueError("uses nothing, so there is nothing to show")
    identity = {"data": dict(data), "steps": options["steps"], "trouble": training.trouble}
    return Need("strip", 1, identity, "fakes:show", "fake strip", _needs(training, data, 0))


def show(identity: Mapping[str, Any], pack: Any, context: Any) -> dict[str, Any]:
    tell("show")
    if identity["trouble"] == "fit":
        raise RuntimeError("nothing to be seen")
    assert (context.artefacts["fake"] / "mean.txt").exists()
    places = [pack.images[:1]] * (1 + len(identity["steps"]))
    np.savez(context.folder / "strip.npz", images=np.stack(places, axis=1))
    variance = [1.0, *(1 / (2 + number) for number in range(len(identity["steps"])))]
    return {"along": {"t": identity["steps"]}, "variance": variance, "compared": 64, "labels": [0]}


def count(training: Settings, data: Mapping[str, Any], options: Mapping[str, Any]) -> Need:
    """A cost that needs no data."""
    assert isinstance(training, Training)
    identity = {"steps": training.train.steps, "channels": options["channels"]}
    return Need("cost", 1, identity, "fakes:counted", "fake cost", data={})


def counted(identity: Mapping[str, Any], pack: Any, context: Any) -> dict[str, Any]:
    assert pack is None
    tell("count")
    return {"parameters": 2_000_000, "macs": 10**9 * identity["steps"]}


class Fake:
    """Learns the mean image with noise that shrinks; the further it is, the better it scores."""

    def __init__(self, training: Training, scoring: Scoring) -> None:
        import torch

        self.training, self.scoring = training, scoring
        # From the global generator, as layers are.
        self.model = torch.nn.Linear(4, 1)
        self.mean = torch.zeros(0)

    def fit(self, images: Any, context: Any) -> None:
        import torch

        tell("fit")
        steps, pause = self.training.train.steps, self.training.train.pause
        generator, first = context.generator("noise"), 0
        target = torch.tensor(np.asarray(images)).float().mean(0) / 255
        self.mean = torch.rand(target.shape, generator=generator)
        resume = context.folder / "resume.pt"
        if resume.exists():
            tell("resume")
            kept = torch.load(resume, weights_only=True)
            first, self.mean = int(kept["step"]), kept["mean"]
            generator.set_state(kept["generator"])
            self.model.load_state_dict(kept["model"])
        if "artefact" in self.training.uses:
            assert (context.artefacts["fake"] / "mean.txt").exists()
        if self.training.trouble == "child":
            tell("child", subprocess.Popen(["sleep", "600"]).pid)
        for step in range(first, steps):
            self.mean = 0.7 * self.mean + 0.3 * target + 0.01 * torch.randn(target.shape, generator=generator)
            time.sleep(pause)
            loss = float((self.mean - target).square().mean())
            if self.training.trouble == "fit" and step == steps // 2:
                raise RuntimeError("broke in the middle")
            if self.training.trouble == "segfault":
                os.abort()
            if self.training.trouble == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.training.trouble == "memory":
                raise torch.OutOfMemoryError(
                    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has. And so on."
                )
            context.progress(
                step + 1, steps, {"loss": float("nan") if self.training.trouble == "loss" else loss}
            )
            if (step + 1) * context.snapshots % steps == 0:
                context.snapshot(step + 1, steps, self)
            if pause:
                self._checkpoint(resume, step + 1, generator)
            if context.stop():
                self._checkpoint(resume, step + 1, generator)
            context.pulse()

    def _checkpoint(self, path: Path, step: int, generator: Any) -> None:
        import torch

        state = {
            "step": step,
            "mean": self.mean,
            "generator": generator.get_state(),
            "model": self.model.state_dict(),
        }
        torch.save(state, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)

    def score(self, images: Any, context: Any) -> Any:
        import torch

        tell("score")
        x = torch.tensor(np.asarray(images)).float() / 255
        scores = self.scoring.gain * (x - self.mean).square().mean((1, 2, 3)).double().numpy()
        if self.training.trouble == "scores":
            scores[0] = np.inf
        context.parts["plain"] = scores / self.scoring.gain
        return scores

    def save(self, path: Path) -> None:
        import torch

        torch.save({"mean": self.mean.half(), "model": self.model.state_dict()}, path)

    def load(self, path: Path, device: Any) -> None:
        import torch

        kept = torch.load(path, map_location=device, weights_only=True)
        self.mean = kept["mean"].float()
        self.model.load_state_dict(kept["model"])


def pack(info: DataInfo, size: int, data_root: Path, scratch: Path) -> Any:
    """60 normal images of which 20 are for training, 10 anomalous ones a split; anomalies are a little
    brighter.
    """
    from suite.data.errors import DataMissing
    from suite.data.source import Contents

    if find(info, size, data_root) is None:
        raise DataMissing(f"{info.name} is not at hand: {info.obtain}")
    generator = np.random.default_rng(7)
    splits = np.repeat(["train", "val", "test"], 30)
    classes = np.tile(np.repeat([0, 1], [20, 10]), 3).astype(np.int64)
    base = generator.integers(60, 120, (1, 1, size, size))
    images = base + generator.integers(0, 60, (90, 1, size, size)) + 6 * classes[:, None, None, None]
    ids = np.array([f"image-{number:02d}" for number in range(90)])
    return Contents(images.astype(np.uint8), classes, splits, ids)


def find(info: DataInfo, size: int, data_root: Path) -> Path | None:
    """The toy set is always at hand, the absent one never."""
    return data_root if info.name == "toy" else None


FAKE = MethodInfo(
    name="fake",
    version=1,
    title="Fake",
    implementation="fakes:Fake",
    training=lambda nested: Training,
    models=(Training,),
    scoring=Scoring,
    needs=_needs,
    offers={"strip": "fakes:offer", "cost": "fakes:count"},
)
FAMILY = MethodFamily(
    name="fakes",
    title="Any fake",
    resolve=lambda name: replace(FAKE, name=f"fakes/{name}") if name in ("one", "two") else None,
    names=lambda: ("one", "two"),
    models=(Training,),
    scoring=Scoring,
)
TOY = DataInfo(
    name="toy", title="Toy", source="fakes:pack", size=8, channels=1, validation=True, stand_in=True
)
ABSENT = DataInfo(
    name="absent",
    title="Absent",
    source="fakes:pack",
    size=8,
    channels=1,
    obtain="get it from nowhere",
    url="https://example.org",
)
PLUGINS = "fakes:FAKE,fakes:FAMILY,fakes:TOY,fakes:ABSENT"
