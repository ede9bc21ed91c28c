"""Results as the rows of a Markdown table, beside those of an older run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Result = Mapping[str, Any]
COLUMNS = (
    "what",
    "CPU-s",
    "best",
    "a second",
    "GFLOP (with padding)",
    "GB moved",
    "products, GFLOP/s",
    "copies, GB/s",
    "share of products (with padding)",
    "share of copies",
    "CPU-s x rate",
)
COMPARED = ("CPU-s to before", "CPU-s x rate to before")


def header(compared: bool) -> list[str]:
    columns = (*COLUMNS, *COMPARED) if compared else COLUMNS
    return [line(columns), line(["---"] * len(columns))]


def line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def row(name: str, result: Result, older: Result | None, compared: bool) -> str:
    """One case; what was not counted is a dash, and so is the ratio of a case that the older run has not."""
    cells = [
        name,
        digits(result["seconds"]),
        digits(result["best"]),
        digits(1 / result["seconds"]),
        _padded(result, "gflop", digits),
        digits(result["gbyte"]) if "gbyte" in result else "–",
        f"{max(result['rates']):.1f}",
        f"{max(result['copies']):.1f}",
        _padded(result, "share", lambda value: f"{value:.0%}"),
        f"{result['share_copies']:.0%}" if "share_copies" in result else "–",
        digits(work(result)),
    ]
    if compared:
        cells += [f"{one:.2f}" for one in ratios(result, older)] if older else ["–", "–"]
    return line(cells)


def work(result: Result) -> float:
    """Seconds in products that the machine could have made (GFLOP): what a slow day does not change."""
    return float(result["seconds"] * max(result["rates"]))


def ratios(result: Result, older: Result) -> tuple[float, float]:
    """Seconds, and seconds times the rate, as multiples of the older ones."""
    return result["seconds"] / older["seconds"], work(result) / work(older)


def digits(value: float) -> str:
    """Three digits that count, without an exponent."""
    places = 2 if value >= 1 else 3
    return f"{value:,.0f}" if value >= 100 else f"{value:.{places}f}"


def _padded(result: Result, name: str, text: Any) -> str:
    if name not in result:
        return "–"
    padded = f"{name}_padded"
    return text(result[name]) + (f" ({text(result[padded])})" if padded in result else "")
