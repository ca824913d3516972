"""Plots of a study, as PNG and SVG: latency distributions, p95 and goodput versus load. Each says it is simulated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from orchestrator.planner.study.grid import Run, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI: Final = 120
LABEL: Final = "SIMULATED: no model ran"


def save_plots(study: Study, folder: Path) -> list[Path]:
    """Write all plots; their paths."""
    figures = {"latency_cdf": _distributions(study), "load": _versus_load(study)}
    return [path for name, figure in figures.items() for path in _save(figure, folder / name)]


def _distributions(study: Study) -> Figure:
    """A panel for each cluster and rate, a line for each policy."""
    panels = list(dict.fromkeys((run.cluster, run.rate_per_s) for run in study.runs))
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = _figure((4.5 * columns, 3.2 * lines))
    axes = figure.subplots(lines, columns, squeeze=False)
    for place, panel in enumerate(panels):
        axis = axes[place // columns][place % columns]
        for run in study.runs:
            if (run.cluster, run.rate_per_s) == panel and run.latencies_s:
                count = len(run.latencies_s)
                axis.plot(run.latencies_s, [(i + 1) / count for i in range(count)], label=run.policy)
        axis.axvline(study.slo_s, color="grey", linestyle=":", linewidth=1)
        axis.set(title=f"{panel[0]}, {panel[1]:.3g} programs/s", xlabel="latency (s)", ylabel="share of programs")
        _logarithmic(axis, "x")
    for place in range(len(panels), lines * columns):
        axes[place // columns][place % columns].set_visible(False)
    axes[0][0].legend(fontsize="x-small")
    figure.suptitle(f"Latency of programs. {LABEL}")
    return figure


def _versus_load(study: Study) -> Figure:
    """p95 and goodput, a row of panels for each cluster."""
    clusters = list(dict.fromkeys(run.cluster for run in study.runs))
    figure = _figure((9.0, 3.4 * len(clusters)))
    axes = figure.subplots(len(clusters), 2, squeeze=False)
    for row, cluster in enumerate(clusters):
        runs = [run for run in study.runs if run.cluster == cluster]
        _lines(axes[row][0], runs, lambda run: run.report.latency.p95_s)
        axes[row][0].set(title=cluster, xlabel="programs/s", ylabel="p95 latency (s)")
        _logarithmic(axes[row][0], "y")
        axes[row][0].axhline(study.slo_s, color="grey", linestyle=":", linewidth=1)
        _lines(axes[row][1], runs, lambda run: run.report.goodput_per_s)
        axes[row][1].set(title=cluster, xlabel="programs/s", ylabel=f"programs/s within {study.slo_s:.3g} s")
    axes[0][0].legend(fontsize="x-small")
    figure.suptitle(f"p95 and goodput versus load. {LABEL}")
    return figure


def _lines(axis: Any, runs: Sequence[Run], figure_of: Callable[[Run], float | None]) -> None:
    for policy in dict.fromkeys(run.policy for run in runs):
        points = [(run.rate_per_s, figure_of(run)) for run in runs if run.policy == policy]
        known = sorted((rate, value) for rate, value in points if value is not None)
        axis.plot([rate for rate, _ in known], [value for _, value in known], marker="o", markersize=3, label=policy)


def _logarithmic(axis: Any, which: Literal["x", "y"]) -> None:
    """A logarithmic scale with plain figures at 1, 2, 5, 10, ..."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set(**{f"{which}scale": "log"})
    side = axis.xaxis if which == "x" else axis.yaxis
    side.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    side.set_major_formatter(StrMethodFormatter("{x:g}"))
    side.set_minor_formatter(NullFormatter())


def _figure(inches: tuple[float, float]) -> Figure:
    import matplotlib
    from matplotlib.figure import Figure

    # Reproducible, and no need of a display.
    matplotlib.rcParams.update({"svg.hashsalt": "orch simulate", "svg.fonttype": "none"})
    return Figure(figsize=inches, layout="constrained")


def _save(figure: Figure, stem: Path) -> list[Path]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    paths = [stem.with_suffix(suffix) for suffix in (".png", ".svg")]
    figure.savefig(paths[0], dpi=DPI)
    figure.savefig(paths[1], metadata={"Date": None})
    return paths
