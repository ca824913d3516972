"""``orch simulate``: policies x clusters x load in a simulator, with tables and plots. Nothing runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import click

from orchestrator.cli.command import Command
from orchestrator.cli.options import debug_option, json_option
from orchestrator.cli.screen import say
from orchestrator.cli.streams import deliver, deliver_json
from orchestrator.cli.terminal import width
from orchestrator.errors import PlanError, UsageError
from orchestrator.planner.table import Column, fitted, table, wrap
from orchestrator.whole_file import write_whole

if TYPE_CHECKING:
    from orchestrator.planner.simulate.speed import ReplicaSpec
    from orchestrator.planner.simulate.traces import Trace
    from orchestrator.planner.study.grid import Load, Run, Study

SIMULATED: Final = "SIMULATED: no model ran, and speeds are estimates from data sheets"
MOST_REQUESTS: Final = 1_000_000
"""Programs of a simulation; each is drawn and played."""
Clusters: TypeAlias = "list[tuple[str, tuple[ReplicaSpec, ...]]]"
"""Names with replicas."""
MOST_SKIPPED: Final = 10
"""Skipped lines that are listed."""
COLUMNS: Final = (
    ("policy", "", Column("policy", least=10)),
    ("p50_s", ".1f", Column("p50 s", right=True, rank=2)),
    ("p95_s", ".1f", Column("p95 s", right=True)),
    ("p99_s", ".1f", Column("p99 s", right=True, rank=3)),
    ("ttft_p95_s", ".2f", Column("ttft p95 s", right=True, rank=6)),
    ("slo_attainment", ".1%", Column("in SLO", right=True)),
    ("goodput_per_s", ".3f", Column("goodput/s", right=True, rank=1)),
    ("throughput_per_s", ".3f", Column("done/s", right=True, rank=4)),
    ("hit_share", ".0%", Column("cached", right=True, rank=5)),
)


@click.command(
    cls=Command,
    name="simulate",
    epilog="\b\nExamples:\n"
    "  orch simulate\n"
    "  orch simulate --trace mooncake.jsonl --rate 2/s --rate 4/s --cluster c.toml --out study\n"
    "  orch simulate --trace text2sql.json --skip-bad --policy round-robin+fcfs --slo 60s --json",
)
@click.option(
    "--trace",
    "trace_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Mooncake JSONL or Text2SQLRequest JSON; default: drawn text-to-SQL programs.",
)
@click.option("--skip-bad", is_flag=True, help="Leave malformed lines of the trace out, and say which.")
@click.option(
    "--rate", "rates", multiple=True, metavar="RATE", help="Programs arriving, as 2.5/s or 30/min. Repeatable."
)
@click.option(
    "--burstiness",
    type=click.FloatRange(min=0),
    metavar="CV",
    help="Gaps' standard deviation over their mean; default: the trace's, else 1 (Poisson).",
)
@click.option(
    "--cluster",
    "cluster_files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Devices and engines, as for `orch plan` (TOML); default: 2 A100, L40S, A6000. Repeatable.",
)
@click.option(
    "-m",
    "--model",
    metavar="MODEL",
    help="Which of the cluster's models to simulate; default: all engines, which must then serve the same.",
)
@click.option("--policy", "policies", multiple=True, metavar="NAME", help="Default: all. Repeatable.")
@click.option(
    "--requests",
    type=click.IntRange(1, MOST_REQUESTS),
    default=400,
    show_default=True,
    help="Programs a simulation; of a replayed trace, the first.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of arrivals and of what arrives.")
@click.option("--slo", metavar="TIME", help="Seconds a program may take; default: 5 x an empty cluster's median.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Write the table (CSV, JSON) and plots (PNG, SVG)."
)
@json_option
@debug_option
def command(  # noqa: PLR0917 - one parameter an option
    trace_file: Path | None,
    skip_bad: bool,
    rates: tuple[str, ...],
    burstiness: float | None,
    cluster_files: tuple[Path, ...],
    model: str | None,
    policies: tuple[str, ...],
    requests: int,
    seed: int,
    slo: str | None,
    out: Path | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Simulate scheduling policies on clusters under load. Nothing is started, and nothing is measured.

    Without --rate, a trace with times is replayed, and other programs arrive at five rates from light load to overload.
    """
    from orchestrator.cli.quantities import per_second, seconds
    from orchestrator.planner.study.grid import study
    from orchestrator.planner.study.replicas import DEFAULT_CLUSTER, replicas_of

    del debug
    names = _policies(policies)
    asked = [rate for rate in (per_second(text, "--rate") for text in rates) if rate is not None]
    slo_s = seconds(slo, "--slo")
    files = tuple(dict.fromkeys(cluster_files)) or (DEFAULT_CLUSTER,)
    short = len({file.stem for file in files}) == len(files)
    clusters = [(file.stem if short else str(file), replicas_of(file, model)) for file in files]
    trace, load = _load(trace_file, skip_bad, burstiness, requests, seed)
    if out is not None:
        _writable(out)
    found = study(load, clusters, names, asked, slo_s)
    if out is not None:
        _write(found, out)
    if as_json:
        deliver_json(_data(found, trace, clusters))
    else:
        _show(found, trace_file, trace, clusters)
    if out is not None:
        say(f"wrote {out}: table (CSV, JSON) and plots (PNG, SVG)")


def _policies(wanted: tuple[str, ...]) -> list[str]:
    """The names asked for, or all."""
    from difflib import get_close_matches

    from orchestrator.planner.policies import POLICIES

    for name in wanted:
        if name not in POLICIES:
            near = get_close_matches(name, POLICIES, n=1, cutoff=0.4)
            fix = f"did you mean `{near[0]}`?" if near else f"the policies are {', '.join(POLICIES)}"
            raise UsageError("ORCH-U002", f"--policy: there is no policy `{name}`", fix=fix)
    return list(dict.fromkeys(wanted)) or list(POLICIES)


def _load(
    file: Path | None, skip_bad: bool, burstiness: float | None, requests: int, seed: int
) -> tuple[Trace | None, Load]:
    """What arrives."""
    from orchestrator.planner.simulate.traces import read_trace
    from orchestrator.planner.study.grid import Load, burstiness_of
    from orchestrator.planner.study.text2sql import templates

    if file is None:
        return None, Load(templates(requests, seed), requests, seed, 1.0 if burstiness is None else burstiness)
    trace = read_trace(file, skip_bad=skip_bad)
    timed = trace.programs[-1].arrival_s > trace.programs[0].arrival_s
    cv = burstiness_of(trace.programs) if burstiness is None else burstiness
    return trace, Load(trace.programs, requests, seed, cv, timed)


def _writable(folder: Path) -> None:
    """Create the folder and try to write into it, before anything takes time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".orch-simulate"
        probe.touch()
        probe.unlink()
    except OSError as refused:
        raise PlanError(
            "ORCH-P079",
            f"cannot write into {folder}: {refused.strerror or refused}",
            why="--out names a folder for the table and the plots",
            fix="name a folder that can be created or written to",
        ) from refused


def _data(study: Study, trace: Trace | None, clusters: Clusters) -> dict[str, object]:
    return {
        "ok": True,
        "simulated": True,
        "slo_s": study.slo_s,
        "slo_given": study.slo_given,
        "clusters": {name: _replicas(specs) for name, specs in clusters},
        "skipped": [each.as_dict() for each in trace.skipped] if trace else [],
        "runs": [run.row() for run in study.runs],
    }


def _replicas(specs: Sequence[ReplicaSpec]) -> dict[str, int]:
    """How many there are of each engine."""
    return dict(Counter(spec.name.partition("/")[0] for spec in specs))


def _listed(specs: Sequence[ReplicaSpec]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in _replicas(specs).items())


def _write(study: Study, folder: Path) -> None:
    import csv
    import io

    from orchestrator.planner.study.plots import save_plots

    rows = [run.row() for run in study.runs]
    lines = io.StringIO(newline="")
    writer = csv.DictWriter(lines, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_whole(folder / "simulation.csv", lines.getvalue())
    data = {"simulated": True, "slo_s": study.slo_s, "runs": rows}
    write_whole(folder / "simulation.json", json.dumps(data, indent=1) + "\n")
    save_plots(study, folder)


def _show(study: Study, file: Path | None, trace: Trace | None, clusters: Clusters) -> None:
    _say(SIMULATED)
    source = "drawn text-to-SQL programs" if trace is None else f"{file} ({len(trace.programs)} programs)"
    how = "given" if study.slo_given else "5 x the median on an empty cluster"
    _say(f"load       {source}")
    _say(f"SLO        {study.slo_s:.3g} s ({how})")
    for name, specs in clusters:
        for line in wrap(f"{name}: {_listed(specs)}", width(), "replicas   ", " " * 11):
            deliver(line)
    if trace is not None and trace.skipped:
        _say(f"skipped    {len(trace.skipped)} lines:")
        for each in trace.skipped[:MOST_SKIPPED]:
            _say(f"           {each.message}")
    for cluster, rate in dict.fromkeys((run.cluster, run.rate_per_s) for run in study.runs):
        deliver("")
        _say(f"{cluster}, {rate:.4g} programs/s (simulated)")
        _table([run for run in study.runs if (run.cluster, run.rate_per_s) == (cluster, rate)])


def _say(line: str) -> None:
    deliver("\n".join(fitted(line, width())))


def _table(runs: list[Run]) -> None:
    rows = [run.row() for run in runs]
    cells = [[_cell(row[key], form) for key, form, _ in COLUMNS] for row in rows]
    deliver("\n".join(table([column for *_, column in COLUMNS], cells, width())))
    for run in runs:
        if run.report.rejected:
            _say(f"{run.policy}: {run.report.rejected} programs fit no replica; they count as late")


def _cell(value: object, form: str) -> str:
    return "-" if value is None else format(value, form)
