"""The study's figures, as PNG and SVG: a heat map of all pairs, and a map over Gaudi 3's price and efficiency."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.tco.claims import BASES, NEWEST, Cell
from benchmarks.tco.study import CATALOGUE, Basis, Phase, Setting, Workload, decode, prefill, usd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES: Final = tuple(CATALOGUE)
DPI: Final = 64
CHALLENGER: Final = "Gaudi3"


def heat_map(cells: Sequence[Cell], stem: Path) -> list[Path]:
    """One panel a workload and price: tokens per USD of each pair relative to H100::H100, the best framed."""
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    figure = _figure((17, 16))
    columns = 4
    axes = figure.subplots(-(-len(cells) // columns), columns, squeeze=False).ravel()
    shades = LogNorm(0.25, 4)
    for axis, cell in zip(axes, cells, strict=False):
        values = np.array([[_or_nan(cell.relative((p, d))) for d in NAMES] for p in NAMES])
        image = axis.imshow(values, norm=shades, cmap="RdYlGn")
        for row, column in product(range(len(NAMES)), range(len(NAMES))):
            value = values[row, column]
            axis.text(column, row, "–" if np.isnan(value) else f"{value:.2f}", ha="center", va="center", fontsize=7)
        if cell.best:
            at = NAMES.index(cell.best[1]) - 0.5, NAMES.index(cell.best[0]) - 0.5
            axis.add_patch(Rectangle(at, 1, 1, fill=False, linewidth=2.5, edgecolor="black"))
        axis.set_title(f"{cell.workload.label}\n{cell.basis} price", fontsize=9)
        axis.set_xticks(range(len(NAMES)), NAMES, fontsize=7, rotation=45)
        axis.set_yticks(range(len(NAMES)), NAMES, fontsize=7)
        axis.set_xlabel("decode", fontsize=8)
        axis.set_ylabel("prefill", fontsize=8, labelpad=1)
    for axis in axes[len(cells) :]:
        axis.set_axis_off()
    bar = figure.colorbar(image, ax=list(axes), shrink=0.5, label="tokens per USD, H100::H100 = 1; – : SLA not met")
    bar.set_ticks([0.25, 0.5, 1, 2, 4], labels=["0.25", "0.5", "1", "2", "4"])
    bar.minorticks_off()
    return _save(figure, stem)


def sensitivity_map(
    workloads: Sequence[Workload], setting: Setting, steps: int, stem: Path
) -> tuple[list[Path], dict[Basis, float]]:
    """In how many workloads B200::Gaudi3 wins, over factors on Gaudi 3's price and on all that it achieves.

    Returns the files, and for each price the share of the map's area where it is ahead of B200::B200 in most workloads.
    """
    factors = np.geomspace(0.4, 2.5, steps)
    figure = _figure((11, 9.5))
    axes = figure.subplots(2, 2)
    ahead: dict[Basis, float] = {}
    for column, basis in enumerate(BASES):
        newest, every = wins(workloads, setting, basis, factors, factors)
        ahead[basis] = float(np.mean(newest > len(workloads) / 2))
        for row, (counts, what) in enumerate(((newest, "ahead of B200::B200"), (every, "best of 36 pairs"))):
            axis = axes[row, column]
            image = axis.pcolormesh(
                factors, factors, counts, cmap="viridis", vmin=0, vmax=len(workloads), rasterized=True
            )
            axis.plot([1], [1], "r+", markersize=12, markeredgewidth=2)
            axis.set(xscale="log", yscale="log", xlabel="Gaudi 3 price factor", ylabel="Gaudi 3 efficiency factor")
            ticks = [0.5, 0.7, 1, 1.4, 2]
            for each in (axis.xaxis, axis.yaxis):
                each.set_ticks(ticks, [str(tick) for tick in ticks])
                each.set_ticks([], minor=True)
            axis.set_title(f"B200::Gaudi3 {what}, {basis} price", fontsize=9)
    figure.colorbar(
        image, ax=list(axes.ravel()), label=f"workloads of {len(workloads)}; + : figures as listed", shrink=0.6
    )
    return _save(figure, stem), ahead


def wins(
    workloads: Sequence[Workload],
    setting: Setting,
    basis: Basis,
    price_factors: Sequence[float] | np.ndarray[Any, np.dtype[np.float64]],
    efficiency_factors: Sequence[float] | np.ndarray[Any, np.dtype[np.float64]],
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.int64]]]:
    """Workloads in which B200::Gaudi3 beats B200::B200, and all pairs, by [efficiency, price].

    A pair with Gaudi 3 in either phase feels both factors.
    """
    newest = np.zeros((len(efficiency_factors), len(price_factors)), dtype=np.int64)
    every = newest.copy()
    for workload, (row, efficiency) in product(workloads, enumerate(efficiency_factors)):
        scaled = {name: efficiency if name == CHALLENGER else 1.0 for name in NAMES}
        first = {n: _usd(n, prefill(n, workload, setting, scaled[n]), basis) for n in NAMES}
        second = {n: _usd(n, decode(n, workload, setting, scaled[n]), basis) for n in NAMES}
        for column, price in enumerate(price_factors):
            scale = {name: price if name == CHALLENGER else 1.0 for name in NAMES}
            ours = first["B200"] + second[CHALLENGER] * scale[CHALLENGER]
            best = min(first[n] * scale[n] for n in NAMES) + min(second[n] * scale[n] for n in NAMES)
            newest[row, column] += ours < first[NEWEST[0]] + second[NEWEST[1]]
            every[row, column] += np.isfinite(ours) and ours <= best * (1 + 1e-12)
    return newest, every


def _usd(name: str, phase: Phase | None, basis: Basis) -> float:
    return usd(name, phase, basis) if phase else float("inf")


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _figure(inches: tuple[float, float]) -> Figure:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "planner_tco", "svg.fonttype": "none"})
    from matplotlib import pyplot

    return pyplot.figure(figsize=inches, layout="constrained")


def _save(figure: Figure, stem: Path) -> list[Path]:
    from matplotlib import pyplot

    paths = [stem.with_suffix(suffix) for suffix in (".png", ".svg")]
    stem.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(paths[0], dpi=DPI)
    figure.savefig(paths[1], metadata={"Date": None})
    pyplot.close(figure)
    return paths
