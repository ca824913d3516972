"""``orch worker``: go on with the runs of a store, beside any number of other processes."""

from __future__ import annotations

import gc
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.command import Command
from orchestrator.cli.keeping import store_option, store_url
from orchestrator.cli.options import debug_option, engine_options, json_option

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled
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
    "  orch worker reports.py:weekly billing.flows --store /var/lib/orch/runs.db",
)
@click.argument("flows", nargs=-1, required=True)
@store_option
@engine_options
@click.option("--ray-address", metavar="HOST:PORT", help="Join this Ray cluster instead of starting Ray here.")
@click.option(
    "--concurrency", type=click.IntRange(min=1), default=CONCURRENCY, show_default=True, help="Runs in flight at once."
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
    concurrency: int,
    lease_s: float,
    as_json: bool,
    debug: bool,
) -> int:
    """Execute the runs of a store whose workflows are in FLOWS, at the versions that stand there.

    It recovers runs whose process died, and goes on with those that were answered or whose sleep is over. SIGTERM and
    Ctrl-C hand over what it executes. Each of FLOWS is a target of `orch run`; a file stands for all its workflows.
    """
    from orchestrator.cli.engines import EngineChoice, require_engine
    from orchestrator.cli.screen import say
    from orchestrator.cli.streams import deliver_json
    from orchestrator.cli.target import load_targets
    from orchestrator.compiler import compile as compile_workflow
    from orchestrator.event_loop import run

    del debug
    cluster = EngineChoice(model, engine, base_url, cluster_file).cluster()
    compiled = [compile_workflow(each.workflow, cluster) for flow in flows for each in load_targets(flow)]
    for each in compiled:
        require_engine(each.plan)
    executed = run(_work(compiled, store_url(store), ray_address, concurrency, lease_s))
    if as_json:
        deliver_json({"ok": True, "executed": executed})
    else:
        say(f"handed over; runs executed: {executed}")
    return 0


async def _work(compiled: list[Compiled], store: str, ray_address: str | None, concurrency: int, lease_s: float) -> int:
    import asyncio

    from orchestrator.cli.screen import say
    from orchestrator.redaction import shown
    from orchestrator.running.opened import Opened
    from orchestrator.runtime.coordinator.coordinator import SHORT_SLEEP_S, Coordinator

    loop = asyncio.get_running_loop()
    async with await Opened.on(
        store, _Said(), ray_address=ray_address, longest_sleep_s=SHORT_SLEEP_S, lease_s=lease_s
    ) as opened:
        for each in compiled:
            await opened.start(each)
        gc.freeze()  # compilers and plans stay, and need not be looked through again and again
        coordinator = Coordinator(opened.runtime, compiled, concurrency=concurrency)

        def hand_over() -> None:
            say("handing over: no run is begun any more")
            coordinator.stop()
            for each in HAND_OVER:
                loop.remove_signal_handler(each)

        for number in HAND_OVER:
            loop.add_signal_handler(number, hand_over)
        names = ", ".join(dict.fromkeys(each.program.name for each in compiled))
        say(f"ready: {names}, from {shown(store)}")
        await coordinator.run()
        return coordinator.executed


class _Said:
    """What is being started, on stderr."""

    def starting(self, what: str) -> None:
        """Something that takes a while begins."""
        from orchestrator.cli.screen import say

        say(f"starting {what}", dim=True)

    def started(self, what: str, seconds: float) -> None:
        """It is there."""
        from orchestrator.cli.screen import say

        say(f"{what} started in {seconds:.1f} s", dim=True)

    def note(self, text: str) -> None:
        """Something that the user should know."""
        from orchestrator.cli.screen import say

        say(text, colour="yellow")
