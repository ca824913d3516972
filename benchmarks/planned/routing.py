"""Six workflows of the gallery mixed into one load on two engines of unlike speed, at three rates.

    python -m benchmarks.planned.routing [--quick] [--json FILE]

The engines are real vLLMs with the bundled model; on CPUs one gets a part of a core's time, on GPUs they are as they
are. Arms (:mod:`benchmarks.planned.routers`) get the same programs at the same times; a workflow's SLO is five times
what it takes on the fast engine alone. First each engine's steps and each workflow's calls are measured while nothing
else runs: the simulator gets these, the load and the arms' policies, and says how much better ours should be.
``gain`` is the p95 of an arm's latencies over ours.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from statistics import mean
from typing import Any, Final

import psutil

from benchmarks.harness.machine import describe, versions
from benchmarks.harness.process import ROOT
from benchmarks.harness.record import FOLDER, Report, Result, Skip
from benchmarks.planned.nodes import ThrottleError, throttle
from benchmarks.planned.routers import ARMS, FLOOR, OURS, RIVAL, Told, options_of
from orchestrator.running.engines import ENGINE

MODEL: Final = ROOT / "examples" / "text2sql" / "model"
SEED: Final = 7
SLOW_CORES: Final = 0.4
MOST_TOKENS: Final = 48
"""Replies are cut there."""
MOST_RUNNING: Final = 8
"""Sequences of an engine at once."""
SLO: Final = 5.0
SHARES: Final = (0.5, 0.8, 1.1)
"""Rates, over the rate at which the two engines are busy all the time by what calls take alone."""
PROGRAMS: Final = 60
INPUTS: Final[dict[str, dict[str, Any]]] = {
    "prompt_chain": {"topic": "tides"},
    "routing": {"ticket": "My invoice is wrong, and I want to know why."},
    "parallel_votes": {"question": "What is the capital of France?"},
    "map_reduce": {"documents": [f"Document {number} says that tides follow the moon." for number in range(8)]},
    "reflection": {"question": "Why do tides come twice a day?"},
    "long_chat": {"messages": ["Hello!", "What are tides?", "And moons?"]},
}


@dataclass
class Call:
    """A model call of a run on an idle engine: seconds since the run began."""

    step: str
    begun_s: float
    ended_s: float = 0.0
    prompt_tokens: int = 1
    output_tokens: int = 1
    """Of each sample."""
    samples: int = 1


class Timed(Told):
    """An engine that keeps what was asked and when."""

    def __init__(self, engine: Any) -> None:
        super().__init__(engine, MOST_TOKENS, hinted=True)
        self.calls: list[Call] = []

    async def generate(self, request: Any) -> Any:
        """The reply."""
        call = Call(request.op, time.perf_counter())
        self.calls.append(call)
        async for chunk in super().generate(request):
            if chunk.usage is not None:
                call.samples = request.sampling.samples
                call.prompt_tokens = max(chunk.usage.input_tokens, 1)
                call.output_tokens = max(chunk.usage.output_tokens // call.samples, 1)
            yield chunk
        call.ended_s = time.perf_counter()


@dataclass(frozen=True)
class Workflow:
    """One of the six, with what it takes alone."""

    name: str
    compiled: Any
    inputs: Mapping[str, Any]
    alone_s: float = 0.0
    calls: tuple[Call, ...] = field(default=())


async def started(names: Sequence[str]) -> list[Any]:
    """The engines; the second one slowed where it runs on a CPU. Raises :class:`ThrottleError`."""
    from orchestrator.runtime.engines.vllm import version
    from orchestrator.runtime.engines.vllm.local import LocalVllm
    from orchestrator.runtime.engines.vllm.options import VllmOptions
    from orchestrator.runtime.kv.retention_options import RetentionOptions

    engines = []
    for place, name in enumerate(names):
        options = VllmOptions(
            max_num_seqs=MOST_RUNNING, kv_cache_gib=1, kv=RetentionOptions(order="least-laxity"),
            gpu_memory_utilization=None if version.on_cpu() else 0.4,
        )  # fmt: skip
        engine = LocalVllm(name, str(MODEL), options)
        before = {each.pid for each in psutil.Process().children(recursive=True)}
        await engine.start()
        engines.append(engine)
        if place and version.on_cpu():
            own = [each for each in psutil.Process().children(recursive=True) if each.pid not in before]
            throttle(f"orch-{os.getpid()}-{name}", SLOW_CORES, own)
    return engines


def compiled() -> list[Workflow]:
    """The six workflows, planned for one engine of this machine."""
    from orchestrator.compiler import compile as compile_workflow
    from orchestrator.planner.machine import detect
    from orchestrator.running.engines import engine_of

    here = detect()
    cluster = here.model_copy(update={"engines": (engine_of("vllm", str(MODEL), here),)})
    return [
        Workflow(name, compile_workflow(getattr(import_module(f"examples.gallery.{name}"), name), cluster), inputs)
        for name, inputs in INPUTS.items()
    ]


async def alone(workflow: Workflow, engine: Any) -> Workflow:
    """The workflow with what it takes while nothing else runs, and an SLO by that."""
    from orchestrator.runtime.runner import Runner

    timed, begun = Timed(engine), 0.0
    async with Runner({ENGINE: timed}) as runtime:
        await runtime.run(workflow.compiled, dict(workflow.inputs))  # prompts that all runs share are cached now
        timed.calls.clear()
        begun = time.perf_counter()
        await runtime.run(workflow.compiled, dict(workflow.inputs))
        took_s = time.perf_counter() - begun
    calls = tuple(replace(each, begun_s=each.begun_s - begun, ended_s=each.ended_s - begun) for each in timed.calls)
    program = replace(workflow.compiled.program, slo_s=SLO * took_s)
    return replace(workflow, compiled=replace(workflow.compiled, program=program), alone_s=took_s, calls=calls)


def load(workflows: Sequence[Workflow], rate_per_s: float, count: int) -> list[tuple[float, Workflow]]:
    """Programs and their arrivals."""
    rng = random.Random(f"{SEED} {rate_per_s:.6f}")
    at_s, found = 0.0, []
    for _ in range(count):
        at_s += rng.expovariate(rate_per_s)
        found.append((at_s, rng.choice(workflows)))
    return found


async def measured(arm: str, engines: Sequence[Any], programs: Sequence[tuple[float, Workflow]]) -> list[float]:
    """Latencies of the programs under an arm."""
    from orchestrator.runtime.kv.replicas import replicated
    from orchestrator.runtime.runner import Runner

    told = [Told(engine, MOST_TOKENS, hinted=arm == OURS) for engine in engines]
    begun, latencies = time.perf_counter(), []

    async def run(at_s: float, workflow: Workflow, runtime: Any) -> None:
        await asyncio.sleep(max(begun + at_s - time.perf_counter(), 0.0))
        await runtime.run(workflow.compiled, dict(workflow.inputs))
        latencies.append(time.perf_counter() - begun - at_s)

    async with Runner({ENGINE: replicated(ENGINE, told, options_of(arm))}) as runtime, asyncio.TaskGroup() as group:
        begun = time.perf_counter()
        for at_s, workflow in programs:
            group.create_task(run(at_s, workflow, runtime))
    return latencies


async def speed(engine: Any) -> Any:
    """How fast an engine's steps are, from prompts and batches of replies while nothing else runs."""
    from orchestrator.dsl.models.messages import Message
    from orchestrator.planner.simulate.measured_speed import MeasuredStep, fit_speed
    from orchestrator.runtime.engines.base import GenerateRequest, Sampling

    rows, number = [], 0

    async def ask(words: int, tokens: int) -> tuple[int, float, float]:
        nonlocal number
        number += 1
        text = f"{number} " + " ".join(f"w{number * 31 + word}" for word in range(words))
        sampling = Sampling(max_tokens=tokens, temperature=0.0, passed={"ignore_eos": True})
        begun, first, used = time.perf_counter(), 0.0, 1
        request = GenerateRequest(f"speed {number}", engine.model, (Message("user", text),), sampling)
        async for chunk in engine.generate(request):
            first = first or time.perf_counter() - begun
            used = chunk.usage.input_tokens if chunk.usage is not None else used
        return used, first, time.perf_counter() - begun

    await ask(8, 4)
    for words in (16, 64, 160):
        prompt, first_s, _ = await ask(words, 2)
        rows.append(MeasuredStep(prompt, 0, 0, first_s, calls=1))
    for batch in (1, 3, MOST_RUNNING):
        done = await asyncio.gather(*(ask(8, 40) for _ in range(batch)))
        step_s = mean((whole_s - first_s) / 39 for _, first_s, whole_s in done)
        rows.append(MeasuredStep(0, batch, batch * (done[0][0] + 20), step_s))
    return fit_speed(rows)


def stages(workflow: Workflow) -> tuple[Any, ...]:
    """The calls as the simulator's stages: each after those that had ended when it began, and what runs in between."""
    from orchestrator.planner.simulate.program import Stage

    found: list[Stage] = []
    places: list[range] = []
    for place, call in enumerate(workflow.calls):
        before = [at for at, each in enumerate(workflow.calls[:place]) if each.ended_s <= call.begun_s]
        pause_s = max(call.begun_s - max((workflow.calls[at].ended_s for at in before), default=0.0), 0.0)
        after = tuple(stage for at in before for stage in places[at])
        places.append(range(len(found), len(found) + call.samples))
        found += [Stage(call.prompt_tokens, call.output_tokens, call.step, after, pause_s)] * call.samples
    return tuple(found)


def simulated(arm: str, speeds: Sequence[Any], programs: Sequence[tuple[float, Workflow]]) -> float:
    """The p95 that the simulator says of the same load."""
    from orchestrator.planner.simulate.program import Program
    from orchestrator.planner.simulate.simulation import simulate
    from orchestrator.planner.simulate.speed import ReplicaSpec

    made = [
        Program(number, at_s, stages(each), each.name, SLO * each.alone_s)
        for number, (at_s, each) in enumerate(programs)
    ]
    cluster = [ReplicaSpec(f"{at}", each.speed, 4096, max_batch=MOST_RUNNING) for at, each in enumerate(speeds)]
    p95_s = simulate(made, cluster, ARMS[arm], history=made).latency.p95_s
    assert p95_s is not None
    return float(p95_s)


def p95(latencies: Sequence[float]) -> float:
    """The nearest rank."""
    return sorted(latencies)[max(-(-95 * len(latencies) // 100) - 1, 0)]


async def experiment(*, quick: bool) -> list[Result]:
    """All figures. Raises :class:`ThrottleError` where the slow engine cannot be slowed."""
    results: list[Result] = []
    engines = await started(("fast", "slow"))
    try:
        speeds = [await speed(engine) for engine in engines]
        workflows = [await alone(each, engines[0]) for each in compiled()]
        slower = speeds[1].speed.decode_base_s(1) / speeds[0].speed.decode_base_s(1)
        results.append(Result(case="engines", arm="slow", metric="slower", value=slower, unit="x", n=1))
        full = (1 + 1 / slower) / mean(each.alone_s for each in workflows)
        for share in SHARES[1:2] if quick else SHARES:
            programs = load(workflows, share * full, 12 if quick else PROGRAMS)
            results += await compared(f"{share:g} of the rate", engines, speeds, programs)
    finally:
        for engine in engines:
            await engine.close()
    return results


async def compared(
    case: str, engines: Sequence[Any], speeds: Sequence[Any], programs: Sequence[tuple[float, Workflow]]
) -> list[Result]:
    """Figures of one rate."""
    found, seen, said = [], {}, {}
    for arm in ARMS:
        latencies = await measured(arm, engines, programs)
        seen[arm], said[arm] = p95(latencies), simulated(arm, speeds, programs)
        count = len(latencies)
        found.append(Result(case=case, arm=arm, metric="p95", value=seen[arm], unit="s", n=count))
        found.append(Result(case=case, arm=arm, metric="mean", value=mean(latencies), unit="s", n=count))
        found.append(Result(case=case, arm=arm, metric="simulated p95", value=said[arm], unit="s", n=count))
    for arm in (RIVAL, FLOOR):
        gain, told = seen[arm] / seen[OURS], said[arm] / said[OURS]
        found.append(Result(case=case, arm=arm, metric="gain", value=gain, unit="x", n=len(programs)))
        found.append(Result(case=case, arm=arm, metric="simulated gain", value=told, unit="x", n=len(programs)))
    return found


def main(argv: list[str] | None = None) -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planned.routing", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one rate, a dozen programs: whether it works")
    parser.add_argument("--json", type=Path, default=FOLDER / "plan_routing.json", metavar="FILE")
    options = parser.parse_args(argv)
    machine = describe()
    results: list[Result] = []
    skipped: list[Skip] = []
    try:
        results = asyncio.run(experiment(quick=options.quick))
    except ThrottleError as error:
        skipped = [Skip(arm=arm, reason=str(error)) for arm in ARMS]
    report = Report(
        benchmark="plan_routing",
        quick=options.quick,
        command="python -m benchmarks.planned.routing" + (" --quick" if options.quick else ""),
        machine=machine.finished(),
        versions=versions("orchestrator", "vllm"),
        seeds={"load": SEED},
        results=results,
        skipped=skipped,
    )
    report.write(options.json)
    for each in results:
        print(f"{each.case:<18} {each.arm:<26} {each.metric:<15} {each.value:8.3f} {each.unit}")
    for missing in skipped:
        print(f"{missing.arm}: {missing.reason}", file=sys.stderr)
    return int(bool(skipped))


if __name__ == "__main__":
    sys.exit(main())
