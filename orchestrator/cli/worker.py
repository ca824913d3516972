"""``orch worker``: go on with the runs of a store, beside any number of other processes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.command import Command
from orchestrator.cli.keeping import store_option, store_url
from orchestrator.cli.options import debug_option, engine_options, json_option
from orchestrator.cli.screen import say
from orchestrator.errors import UsageError
from orchestrator.redaction import shown

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled
    from orchestrator.planner.cluster import Cluster
    from orchestrator.running.coordinating import Work
    from orchestrator.running.engines import Kind

CONCURRENCY = 16
LEASE_S = 15.0
HAND_OVER = (signal.SIGTERM, signal.SIGINT)
"""The first of these hands the runs over; the second one ends the process at once, and others recover them."""


@click.command(
    cls=Command,
    name="worker",
    epilog="\b\nExamples:\n"
    "  orch worker flows.py --store postgresql://db/runs -m ./model\n"
    "  orch worker reports.py:weekly billing.flows --store /var/lib/orch/runs.db\n"
    "  orch worker flows.py --store postgresql://db/runs --ray-address 10.0.0.1:6379 --workers 8",
)
@click.argument("flows", nargs=-1, required=True)
@store_option
@engine_options
@click.option("--ray-address", metavar="HOST:PORT", help="Join this Ray cluster instead of starting Ray here.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Execute in N processes of Ray instead of this one; they share a PostgreSQL.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=CONCURRENCY,
    show_default=True,
    help="Runs in flight at once, in each process.",
)
@click.option(
    "--lease",
    "lease_s",
    type=click.FloatRange(min=0.1),
    default=LEASE_S,
    show_default=True,
    metavar="SECONDS",
    help="Others take over after a silence of this length.",
)
@json_option
@debug_option
def command(  # noqa: PLR0917 - one parameter an option
    flows: tuple[str, ...],
    store: str | None,
    model: str | None,
    engine: Kind | None,
    base_url: str | None,
    cluster_file: Path | None,
    ray_address: str | None,
    workers: int | None,
    concurrency: int,
    lease_s: float,
    as_json: bool,
    debug: bool,
) -> int:
    """Execute the runs of a store whose workflows are in FLOWS, at the versions that stand there.

    It recovers runs whose process died, and goes on with those that were answered or whose sleep is over. SIGTERM and
    Ctrl-C hand over what it executes. Each of FLOWS is a target of `orch run`; a file stands for all its workflows.
    """
    from orchestrator.cli.engines import EngineChoice
    from orchestrator.cli.streams import deliver_json
    from orchestrator.event_loop import run
    from orchestrator.running.coordinating import Work

    del debug
    url = store_url(store)
    if workers is not None:
        require_shareable(url, flows, ray_address)
    load = partial(compiled_flows, flows, EngineChoice(model, engine, base_url, cluster_file).cluster())
    work = Work(load, url, concurrency=concurrency, lease_s=lease_s)
    executed = run(_work(work, ray_address) if workers is None else _work_on_ray(work, ray_address, workers))
    if as_json:
        deliver_json({"ok": True, "executed": executed})
    else:
        say(f"handed over; runs executed: {executed}")
    return 0


def compiled_flows(flows: Sequence[str], cluster: Cluster) -> list[Compiled]:
    """Every workflow of the targets, for a cluster. Raises what loading, compiling and a missing engine do."""
    from orchestrator.cli.engines import require_engine
    from orchestrator.cli.target import load_targets
    from orchestrator.compiler import compile as compile_workflow

    compiled = [compile_workflow(each.workflow, cluster) for flow in flows for each in load_targets(flow)]
    for each in compiled:
        require_engine(each.plan)
    return compiled


def require_shareable(store: str, flows: Sequence[str], ray_address: str | None) -> None:
    """Raise ``UsageError`` ORCH-U023 for a store, and for flows, that other machines do not have."""
    if not store.startswith(("postgresql://", "postgres://")):
        raise UsageError(
            "ORCH-U023",
            f"the workers of a cluster cannot share `{shown(store)}`",
            why="a file or a memory belongs to one machine",
            fix="keep the runs in a PostgreSQL: --store postgresql://user@host/database; on one machine, "
            "start `orch worker` several times, without --workers",
        )
    here = Path.cwd().resolve()
    for each in flows if ray_address else ():
        path = Path(each.rpartition(":")[0] if each.rpartition(":")[2].isidentifier() and ":" in each else each)
        if path.exists() and not path.resolve().is_relative_to(here):
            message = f"the workers of a cluster get the current folder, and `{each}` is not in it"
            raise UsageError(
                "ORCH-U023", message, fix="change to a folder that holds all of FLOWS, and what they import"
            )


async def _work(work: Work, ray_address: str | None) -> int:
    from orchestrator.running.coordinating import coordinating

    compiled = work.load()
    async with coordinating(work, compiled, _Said(), ray_address=ray_address) as coordinator:
        _on_signals(coordinator.stop)
        say(f"ready: {_names(compiled)}, from {shown(work.store)}")
        await coordinator.run()
        return coordinator.executed


async def _work_on_ray(work: Work, ray_address: str | None, count: int) -> int:
    from orchestrator.running.lending import lent_engines
    from orchestrator.running.ray_workers import RayWorkers, versions_of
    from orchestrator.runtime.ray.session import connect

    compiled, said = work.load(), _Said()
    models = [Path(spec.model) for each in compiled for spec in each.plan.cluster.engines]
    said.starting(f"Ray at {ray_address}" if ray_address else "Ray")
    with connect(ray_address, working_dir=Path.cwd() if ray_address else None, without=models) as session:
        async with lent_engines(compiled, session, said, sharers=count) as engines:
            workers = RayWorkers(replace(work, engines=engines), count, said, versions_of(compiled))
            _on_signals(workers.stop)
            say(f"{count} workers for {_names(compiled)}, from {shown(work.store)}")
            return await workers.run()


def _on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def hand_over() -> None:
        say("handing over: no run is begun any more")
        stop()
        for each in HAND_OVER:
            loop.remove_signal_handler(each)

    for number in HAND_OVER:
        loop.add_signal_handler(number, hand_over)


def _names(compiled: Sequence[Compiled]) -> str:
    return ", ".join(dict.fromkeys(each.program.name for each in compiled))


class _Said:
    """What is being started, on stderr."""

    def starting(self, what: str) -> None:
        """Something that takes a while begins."""
        say(f"starting {what}", dim=True)

    def started(self, what: str, seconds: float) -> None:
        """It is there."""
        say(f"{what} started in {seconds:.1f} s", dim=True)

    def note(self, text: str) -> None:
        """Something that the user should know."""
        say(text, colour="yellow")
