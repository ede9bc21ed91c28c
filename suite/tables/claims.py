"""What the paper's text claims of its numbers, recomputed from the numbers themselves.

Typed in are the claims, as text and number; everything on the other side comes from ``reports/published.toml``.
"Ahead" compares printed means; "significantly" is taken as more than two combined spreads (see
:mod:`suite.tables.verdict`), which is as far as three runs a cell can be pressed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from suite.tables.published import Published, Value
from suite.tables.verdict import combined, is_far

Tables = Mapping[str, Published]
Pair = tuple[Value, Value]
NORMAL = "data.normal_class"


@dataclass(frozen=True)
class Claim:
    """``claimed`` as the paper states it (``where``: its section), ``recomputed`` in words, and whether it holds."""

    where: str
    claimed: str
    recomputed: str
    holds: bool

    @property
    def verdict(self) -> str:
        return "holds" if self.holds else "does not hold"


def claims(tables: Tables) -> tuple[Claim, ...]:
    """All claims, in the order of the paper."""
    return tuple(claim for check in _CHECKS for claim in check(tables))


def _boost(tables: Tables) -> Iterable[Claim]:
    pairs = _by_dataset(tables["table1"], {"method": "dia"}, {"method": "csi"})
    each = [100 * (_mean(ours) / _mean(theirs) - 1) for ours, theirs in pairs]
    ours, theirs = (statistics.fmean(_mean(pair[side]) for pair in pairs) for side in (0, 1))
    relative, of_means = statistics.fmean(each), 100 * (ours / theirs - 1)
    holds = any(abs(number - 18.40) < 0.05 for number in (relative, of_means))
    told = (
        f"mean of the {len(each)} relative gains over CSI {relative:.1f} %, relative gain of the mean AUROC "
        f"{of_means:.1f} %"
    )
    yield Claim("Abstract", "around 18.40 % AUC boost against the baseline", told, holds)


def _previous(tables: Tables) -> Iterable[Claim]:
    others = {value.where["method"] for value in tables["table1"].values} - {"dia"}
    told = f"Table 1 has {len(others)} beside DIA"
    yield Claim("4.2", "compared against 14 previous methods", told, len(others) == 14)


def _best_on(tables: Tables) -> Iterable[Claim]:
    groups: dict[str, list[Value]] = {}
    for value in tables["table1"].values:
        groups.setdefault(value.where["dataset"], []).append(value)
    best = {dataset: max(values, key=_mean).where["method"] for dataset, values in groups.items()}
    won = [dataset for dataset, method in best.items() if method == "dia"]
    told = f"DIA is ahead of all others on {len(won)} of {len(best)}: {', '.join(won)}"
    yield Claim("4.2", "beats all other methods on four out of six data sets", told, len(won) == 4)
    pairs = _by_dataset(tables["table1"], {"method": "rd4ad"}, {"method": "dia"})
    ahead = [ours.where["dataset"] for ours, theirs in pairs if _mean(ours) > _mean(theirs)]
    told = f"RD4AD is ahead of DIA on {', '.join(ahead)}"
    yield Claim("4.2", "RD4AD is better on two data sets", told, len(ahead) == 2)


def _over_csi(tables: Tables) -> Iterable[Claim]:
    pairs = _by_dataset(tables["table1"], {"method": "dia"}, {"method": "csi"})
    told, clearly = _count(pairs, "data sets")
    yield Claim("4.2", "significantly outperforms CSI on all data sets", told, clearly == len(pairs))


def _low_steps(tables: Tables) -> Iterable[Claim]:
    groups: dict[str, list[Value]] = {}
    for value in tables["table2"].values:
        groups.setdefault(value.where["dataset"], []).append(value)
    lowest = min(value.where["dissolve.steps"] for value in tables["table2"].values)
    first = [
        name for name, values in groups.items() if max(values, key=_mean).where["dissolve.steps"] == lowest
    ]
    told = f"the lowest range is the best on {len(first)} of {len(groups)}: {', '.join(first)}"
    yield Claim("5.1", "lower steps generally yield better results", told, len(first) > len(groups) / 2)


def _rotation(tables: Tables) -> Iterable[Claim]:
    for name, where in (("table4", "5.3"), ("table8", "B.2")):
        pairs = _pairs(tables[name], {"shift": "rotate"}, {"shift": "perm"})
        ahead = sum(_mean(ours) > _mean(theirs) for ours, theirs in pairs)
        claimed = f"rotation outperforms perm for most ({_title(name)})"
        yield Claim(where, claimed, f"ahead in {ahead} of {len(pairs)} pairs", ahead > len(pairs) / 2)


def _resolution(tables: Tables) -> Iterable[Claim]:
    sizes = {
        value.where["dissolve.size"]: _mean(value)
        for value in tables["table5"].values
        if value.where["dataset"] == "aptos_2019"
    }
    told = f"APTOS: {sizes[64]:.3f} at 64 px, {sizes[32]:.3f} at 32 px"
    yield Claim("5.4", "64 px outperform 32 px for APTOS", told, sizes[64] > sizes[32])


def _heuristics(tables: Tables) -> Iterable[Claim]:
    blurs = tables["table7"].values
    rows = {
        (value.where["method"], value.where["dataset"]): value
        for value in tables["table1"].values
        if value.where["method"] in ("csi", "dia")
    }
    told, clearly = _count([(blur, rows["csi", blur.where["dataset"]]) for blur in blurs], "cells of Table 7")
    behind = [blur for blur in blurs if _mean(blur) <= _mean(rows["csi", blur.where["dataset"]])]
    worst = ", ".join(
        f"{name} {sum(blur.where['dataset'] == name for blur in behind)}"
        for name in dict.fromkeys(blur.where["dataset"] for blur in behind)
    )
    claimed = "the heuristics bring a significant boost against CSI"
    yield Claim("B.1", claimed, f"{told}; not ahead: {worst}", clearly == len(blurs))
    less = sum(_mean(blur) < _mean(rows["dia", blur.where["dataset"]]) for blur in blurs)
    told = f"below DIA's Table 1 in {less} of {len(blurs)} cells of Table 7"
    yield Claim("B.1", "the heuristics are less performant than diffusion", told, less == len(blurs))


def _heuristics_by_size(tables: Tables) -> Iterable[Claim]:
    pairs = [
        pair
        for blur in ("gaussian", "median")
        for pair in _pairs(tables["table9"], {"dissolve.op": blur}, {"dissolve.op": "diffusion"})
    ]
    ahead = [ours for ours, theirs in pairs if _mean(ours) > _mean(theirs)]
    where = dict.fromkeys(f"{one.where['dataset']} {one.where['dissolve.size']}" for one in ahead)
    told = (
        f"a blur is ahead of diffusion at its size in {len(ahead)} of {len(pairs)} pairs: {', '.join(where)}"
    )
    yield Claim("B.3", "the heuristics are not as performant as diffusion (Table 9)", told, not ahead)


def _kernels(tables: Tables) -> Iterable[Claim]:
    """Tables 8 and 9 print one number a blur and do not say its kernel; Table 7 has three."""
    for blur in ("gaussian", "median"):
        found: dict[str, list[int]] = {}
        for value in tables["table9"].values:
            if value.where["dissolve.op"] == blur and value.where["dissolve.size"] == 32:
                same = [
                    one.where["dissolve.kernel"]
                    for one in tables["table7"].values
                    if one.where["dissolve.op"] == blur
                    and one.where["dataset"] == value.where["dataset"]
                    and one.mean == value.mean
                ]
                if any(one.where["dataset"] == value.where["dataset"] for one in tables["table7"].values):
                    found[value.where["dataset"]] = same
        common = set.intersection(*(set(kernels) for kernels in found.values()))
        listed = "; ".join(f"{name} k = {', '.join(map(str, ks)) or 'none'}" for name, ks in found.items())
        claimed = f"Table 9 takes one kernel for the {blur} blur (not stated)"
        yield Claim("B.3", claimed, f"Table 7 has the value of 32 px at {listed}", bool(common))


def _contamination(tables: Tables) -> Iterable[Claim]:
    groups: dict[str, list[Value]] = {}
    for value in sorted(tables["table10"].values, key=lambda one: one.where["data.contamination"]):
        groups.setdefault(value.where["dataset"], []).append(value)
    rising = sum(all(_mean(a) < _mean(b) for a, b in pairwise(v)) for v in groups.values())
    ends, _ = _count([(values[-1], values[0]) for values in groups.values()], "data sets")
    told = f"rises at every step on {rising} of {len(groups)}; from end to end {ends}"
    claimed = "improves with an increased presence of anomalous data (Table 10)"
    yield Claim("C.1", claimed, told, rising == len(groups))


def _batch(tables: Tables) -> Iterable[Claim]:
    more = _by_dataset(tables["table11"], {"train.batch": 48}, {"train.batch": 32})
    gains = _by_dataset(tables["table11"], {"method": "dia"}, {"train.batch": 32})
    shares = {
        bigger.where["dataset"]: (_mean(bigger) - _mean(csi)) / (_mean(dia) - _mean(csi))
        for (bigger, csi), (dia, _) in zip(more, gains, strict=True)
    }
    told = "of DIA's gain the bigger batch brings " + ", ".join(
        f"{100 * share:.0f} % on {name}" for name, share in shares.items()
    )
    claimed = "the improvement is not due to the batch size (Table 11)"
    yield Claim("C.2", claimed, told, all(share < 0.5 for share in shares.values()))


def _exclusion(tables: Tables) -> Iterable[Claim]:
    designs = {"contrast.design": "a"}, {"contrast.design": "b"}
    medical = [_mean(a) - _mean(b) for a, b in _by_dataset(tables["table12"], *designs)]
    natural = [_mean(a) - _mean(b) for a, b in _pairs(tables["table13"], *designs) if NORMAL not in a.where]
    told = (
        f"(b) is below (a) by {min(medical):.3f} to {max(medical):.3f} on medical sets (Table 12) and by "
        f"{min(natural):.3f} to {max(natural):.3f} in the averages of Table 13"
    )
    claimed = "excluding the pairs barely affects medical sets but lowers the natural ones significantly"
    yield Claim("C.3", claimed, told, max(medical) < min(natural))


def _averages(tables: Tables) -> Iterable[Claim]:
    table = tables["table13"]
    for printed in table.values:
        if "average" not in printed.where:
            continue
        rest = {name: value for name, value in printed.where.items() if name != "average"}
        members = [_mean(one) for one in table.values if NORMAL in one.where and _has(one, rest)]
        scale, stated = table.scale, _mean(printed)
        ours = statistics.fmean(members)
        design = f" ({rest['contrast.design']})" if "contrast.design" in rest else ""
        claimed = f"Table 13: {rest['method']}{design} averages {scale * stated:.1f} on {rest['dataset']}"
        told = f"the {len(members)} classes average {scale * ours:.2f}"
        # A mean that is halfway may be rounded either way.
        yield Claim("C.3", claimed, told, scale * abs(ours - stated) <= 0.05 + 1e-9)


_CHECKS: Sequence[Callable[[Tables], Iterable[Claim]]] = (
    _boost,
    _previous,
    _best_on,
    _over_csi,
    _low_steps,
    _rotation,
    _resolution,
    _heuristics,
    _heuristics_by_size,
    _kernels,
    _contamination,
    _batch,
    _exclusion,
    _averages,
)


def _mean(value: Value) -> float:
    assert value.mean is not None
    return value.mean


def _title(table: str) -> str:
    return f"Table {table.removeprefix('table')}"


def _has(value: Value, where: Mapping[str, Any]) -> bool:
    return all(value.where.get(name) == wanted for name, wanted in where.items())


def _by_dataset(table: Published, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Pair]:
    """The values with the entries of ``ours`` and of ``theirs`` on the same data set."""
    other = {value.where["dataset"]: value for value in table.values if _has(value, theirs)}
    mine = [value for value in table.values if _has(value, ours)]
    return [(one, other[one.where["dataset"]]) for one in mine if one.where["dataset"] in other]


def _pairs(table: Published, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Pair]:
    """The values with the entries of ``ours``, each with the one that differs from it by ``theirs`` alone."""
    made = [({**value.where, **theirs}, value) for value in table.values if _has(value, ours)]
    return [(value, other) for where, value in made for other in table.values if dict(other.where) == where]


def _count(pairs: Sequence[Pair], what: str) -> tuple[str, int]:
    """In how many pairs the first is ahead, in words, and in how many clearly so."""
    ahead = [(ours, theirs) for ours, theirs in pairs if _mean(ours) > _mean(theirs)]
    clearly = sum(
        is_far(_mean(ours) - _mean(theirs), combined(ours.std, theirs.std)) for ours, theirs in ahead
    )
    told = f"ahead on {len(ahead)} of {len(pairs)} {what}, by more than two combined spreads on {clearly}"
    return told, clearly
