"""The benchmark: what a step costs on this machine, beside what the machine can do. Run it by ``nox -s bench``.

Memory is kept as in the workers of ``suite run``. Every cost is CPU-seconds with one thread (of the workers: wall
seconds). The machine's rates are the best of ten 1024-cube float32 products and of ten copies of memory, timed between
the repeats of the work that they are compared with, so that a slow day slows both; ``CPU-s x rate`` is what is left of
a cost without the day. Shares may exceed one: of the copies where caches serve, of the products where padding is
counted that nobody multiplies. Arithmetic in double precision (nearest neighbours) cannot reach more than half. Nothing
here is a test: no number is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

sys.path[:0] = [str(Path(__file__).resolve().parent / "support"), str(Path(__file__).resolve().parents[1])]

from benchmarks import commands, contrastive, others, packing, table  # noqa: E402
from benchmarks.case import Case, LeftOut  # noqa: E402
from benchmarks.machine import Machine  # noqa: E402
from benchmarks.timing import cpu, measure  # noqa: E402

from suite.devices import cores  # noqa: E402
from suite.executors import slots  # noqa: E402


def cases() -> list[Case]:
    """All that is measured, in the order of the table."""
    return [*contrastive.cases(), *others.cases(), *packing.cases(), *commands.cases()]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="the cases whose name contains this text")
    parser.add_argument("--out", type=Path, default=Path("reports/out"))
    parser.add_argument("--compare", type=Path, help="an older bench.json to show the ratios to")
    given = parser.parse_args(arguments)
    chosen = [case for case in cases() if given.only in case.name]
    if not chosen:
        parser.error(f"no case has {given.only!r} in its name: {'; '.join(case.name for case in cases())}")
    if given.compare and not given.compare.is_file():
        parser.error(f"there is no file {given.compare}")
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for what is decoded here, and for what is started
    older = json.loads(given.compare.read_text())["results"] if given.compare else {}
    print(machine := f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread")
    begun = {"load": os.getloadavg(), "cores": cores()}
    rows, results, left_out = measured(chosen, older, compared=bool(given.compare))
    if not given.only:
        left_out |= others.LEFT_OUT
    workers = [results[name]["seconds"] for name in commands.WORKERS.values() if name in results]
    told = [f"Left out: {name}: {reason}" for name, reason in left_out.items()]
    if len(workers) == len(commands.WORKERS):
        told.append(f"Two workers finish {workers[0] / workers[1]:.2f} times as many runs a second as one.")
    told.append(
        f"{machine}; load {begun['load'][0]:.1f} before and {os.getloadavg()[0]:.1f} after on {begun['cores']} cores"
    )
    print("\n".join(told))
    given.out.mkdir(parents=True, exist_ok=True)
    content = {
        "torch": torch.__version__,
        "machine": platform.machine(),
        **begun,
        "results": results,
        "left_out": left_out,
    }
    (given.out / "bench.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
    (given.out / "bench.md").write_text("\n".join([*rows, "", *told]) + "\n", encoding="utf-8")
    print(f"written: {given.out / 'bench.json'}, {given.out / 'bench.md'}")


def measured(
    chosen: Sequence[Case], older: dict[str, Any], compared: bool
) -> tuple[list[str], dict[str, Any], dict[str, str]]:
    """The table's rows, the results, and the reasons of what was left out; printed as they come."""
    rows, results, left_out = table.header(compared), {}, {}
    print("\n".join(rows), flush=True)
    start, spent, machine = time.monotonic(), cpu(), Machine()
    with tempfile.TemporaryDirectory() as scratch:
        for case in chosen:
            try:
                result = results[case.name] = measure(case, machine, Path(scratch))
            except LeftOut as reason:
                left_out[case.name] = str(reason)
                continue
            rows.append(table.row(case.name, result, older.get(case.name), compared))
            aim = f"; aim: {case.aim:g} CPU-s" if case.aim else ""
            print(
                rows[-1],
                f"  products in GFLOP/s: {', '.join(map(str, result['rates']))}",
                f"  copies in GB/s: {', '.join(map(str, result['copies']))}",
                f"  {result['repeats']} readings of {result['at_once']}; {result['total']:.0f} s with preparation{aim}",
                sep="\n",
                flush=True,
            )
    print(
        f"{len(results)} cases in {time.monotonic() - start:.0f} s, {cpu() - spent:.0f} of them a processor's"
    )
    return rows, results, left_out


def with_the_allocator_of_workers() -> None:
    """Begin again with the memory settings that runs have, which a process takes when it starts."""
    missing = {name: value for name, value in slots.ALLOCATOR.items() if name not in os.environ}
    if missing and os.name == "posix":
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **missing})


if __name__ == "__main__":
    with_the_allocator_of_workers()
    main()
