"""The benchmark: what a step costs on this machine, beside what the machine can do. Run it by ``nox -s bench``.

Every cost is CPU-seconds with one thread; the rate is the best of ten 1024-cube float32 products, timed
between the steps they are compared with, so that a slow day slows both. ``counted`` are the multiplications
and additions that torch's counter finds in the step, with the plain kernels (which multiply padding) and with
ours. ``workers`` is the exception: the wall seconds of 12 short runs by one worker and by two, of which only the
ratio means something (on two idle cores it should be 1.8 or more). Nothing here is a test: no number is
asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from suite.detector import Context
from suite.devices import cores
from suite.dia import diffusion, dissolve, network, scoring, training
from suite.dia.contrast import Design
from suite.dia.info import CsiTraining, DiaBlur, DiaDiffusion, Diffusion, Scoring
from suite.executors import Options, Task
from suite.executors.display import Display
from suite.executors.local import carry_out
from suite.plan import expand
from suite.spec import load_spec

CUBE = 1024
SAMPLES = 10
CPU = torch.device("cpu")
SCALE = "scale: plan, scan and report of 10,000 runs"


def product_rate(a: Tensor, b: Tensor) -> float:
    """GFLOP/s of one matrix product."""
    start = time.process_time()
    a @ b
    return 2 * CUBE**3 / (time.process_time() - start) / 1e9


def measure(work: Callable[[], Any], repeats: int) -> dict[str, Any]:
    """CPU-seconds of ``work`` (the median and the best of ``repeats``), with products timed in between."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(CUBE, CUBE, generator=generator) for _ in range(2))
    if repeats > 1:  # what is long needs no warm-up
        work()
    rates: list[float] = []
    seconds: list[float] = []
    for _ in range(repeats):
        rates += [product_rate(a, b) for _ in range(SAMPLES // repeats)]
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    while len(rates) < SAMPLES:
        rates.append(product_rate(a, b))
    return {"seconds": float(np.median(seconds)), "best": min(seconds), "rates": [round(r, 1) for r in rates]}


def counted(work: Callable[[], Any]) -> dict[str, float]:
    """GFLOP that the counter finds, as computed and with kernels that multiply the padding too."""
    with FlopCounterMode(display=False) as ours:
        work()
    plain = network.SmallMapConv.forward
    network.SmallMapConv.forward = lambda self, x: F.conv2d(  # type: ignore[method-assign]
        x, self.weight, stride=self.stride, padding=self.padding
    )
    try:
        with FlopCounterMode(display=False) as padded:
            work()
    finally:
        network.SmallMapConv.forward = plain  # type: ignore[method-assign]
    return {"gflop": ours.get_total_flops() / 1e9, "gflop_padded": padded.get_total_flops() / 1e9}


def images(count: int, size: int = 28) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 1, size, size), np.uint8)


def step_of(settings: Any, design: Design, dissolver: Any) -> Callable[[], None]:
    """One training step at B = 32, K = 4, 28 px."""
    state = training.Training(64, settings, design, dissolver, Context(device=CPU, seed=0))
    state.network.train()
    batch = torch.from_numpy(images(32))
    return lambda: state.advance(batch)


def unet_dissolver(dim: int) -> dissolve.DiffusionDissolver:
    model = diffusion.build(1, 32, Diffusion(dim=dim), 0).to(memory_format=torch.channels_last)
    model.requires_grad_(False)
    steps = DiaDiffusion().dissolve.steps
    return dissolve.DiffusionDissolver(model.model, model.alphas_cumprod, steps, 32, False)


def cases() -> dict[str, tuple[Callable[[], Any], int]]:
    """Name to the work and how often it is repeated."""
    net = network.build("imagenet", 64, 4, 0)
    pictures = images(1000)
    context = Context(device=CPU, seed=0)
    trainer = diffusion._Trainer(
        torch.rand(64, 1, 32, 32), Diffusion(batch=32, accumulate=1), 32, 0, torch.device("cpu")
    )
    blur = dissolve.FixedDissolver(dissolve.gaussian(7), 32)
    unet = unet_dissolver(32)
    x = torch.from_numpy(images(250)).float() / 255
    t = torch.full((250,), 80)
    return {
        "DIA step (UNet dim 32)": (step_of(DiaDiffusion(), "a", unet), 5),
        "DIA step (Gaussian)": (step_of(DiaBlur(), "a", blur), 5),
        "CSI step": (step_of(CsiTraining(), "csi", None), 5),
        "diffusion step (dim 32, batch 32)": (trainer.advance, 3),
        "dissolving 250 images (dim 32)": (lambda: unet.at(x, t), 1),
        "features of 1,000 images for scoring": (
            lambda: scoring.features(net, pictures, Scoring(), "rotate", context),
            1,
        ),
    }


COUNTED_BY: dict[str, Callable[[], Any]] = {
    "features of 1,000 images for scoring": lambda: scoring.features(
        network.build("imagenet", 64, 4, 0), images(100), Scoring(), "rotate", Context(device=CPU, seed=0)
    )
}
"""Cases whose operations are counted on a tenth of the work, since counting is slow."""


WORKERS = "workers: two against one, 12 smoke runs of the quick start"


def throughput() -> dict[str, Any]:
    """Wall seconds with one worker and with two of one thread each, in stores of their own; their ratio."""
    plan = expand(load_spec("quickstart"), profile="smoke")
    tasks = [Task(run, profile=plan.profile) for run in plan.runs]
    seconds = {}
    for slots in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            options, display = (
                Options(store=Path(folder), slots=slots),
                Display(len(tasks), Console(quiet=True)),
            )
            finished = carry_out(tasks, options, display)
            seconds[slots] = time.monotonic() - start
        if any(one.end != "done" for one in finished.ended):
            raise RuntimeError(f"not all were done: {finished.ended}")
    return {"runs": len(tasks), "one": seconds[1], "two": seconds[2], "ratio": seconds[1] / seconds[2]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="run the cases whose name contains this text")
    parser.add_argument("--out", type=Path, default=Path("reports/out"))
    parser.add_argument("--compare", type=Path, help="an older bench.json to show the ratio to")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    older = json.loads(arguments.compare.read_text()) if arguments.compare else {}
    results: dict[str, Any] = {}
    rows = [
        "| what | CPU-s | a second | GFLOP (with padding) | products, GFLOP/s | share (with padding) | CPU-s x rate |",
        "|---|---|---|---|---|---|---|",
    ]
    print(
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 28 px, B = 32, K = 4, one thread"
    )
    for name, (work, repeats) in cases().items():
        if arguments.only and arguments.only not in name:
            continue
        result = {**measure(work, repeats), **counted(COUNTED_BY.get(name, work))}
        for count in ("gflop", "gflop_padded") if name in COUNTED_BY else ():
            result[count] *= 10
        rate = max(result["rates"])
        result["share"] = result["gflop"] / result["seconds"] / rate
        result["share_padded"] = result["gflop_padded"] / result["seconds"] / rate
        results[name] = result
        row = (
            f"| {name} | {result['seconds']:.2f} | {1 / result['seconds']:.2f} | {result['gflop']:.0f} "
            f"({result['gflop_padded']:.0f}) | {rate:.1f} | {result['share']:.0%} ({result['share_padded']:.0%}) | "
            f"{result['seconds'] * rate:.0f} |"
        )
        if name in older.get("results", {}):
            row += f" {result['seconds'] / older['results'][name]['seconds']:.2f} of before |"
        rows.append(row)
        print(row)
        print(f"  products in GFLOP/s: {', '.join(map(str, result['rates']))}")
    if not arguments.only or arguments.only in WORKERS:
        told = results[WORKERS] = {**throughput(), "load": os.getloadavg()[0], "cores": cores()}
        print(
            f"{WORKERS}: {told['one']:.0f} s and {told['two']:.0f} s, {told['ratio']:.2f} times as many a second "
            f"(load {told['load']:.1f} on {told['cores']} cores)"
        )
    if not arguments.only or arguments.only in SCALE:
        sys.path.insert(0, str(Path(__file__).parent / "support"))
        import scale

        with tempfile.TemporaryDirectory() as scratch:
            results[SCALE] = scale.measure(Path(scratch))
    arguments.out.mkdir(parents=True, exist_ok=True)
    content = {"torch": torch.__version__, "machine": platform.machine(), "results": results}
    (arguments.out / "bench.json").write_text(json.dumps(content, indent=2))
    (arguments.out / "bench.md").write_text("\n".join(rows) + "\n")
    print(f"written: {arguments.out / 'bench.json'}, {arguments.out / 'bench.md'}")


if __name__ == "__main__":
    main()
