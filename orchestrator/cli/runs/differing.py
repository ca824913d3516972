"""``orch runs diff``: two runs, op by op."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from orchestrator.cli.command import Command
from orchestrator.cli.keeping import store_option
from orchestrator.cli.options import debug_option, json_option
from orchestrator.cli.runs.opening import with_store
from orchestrator.cli.runs.showing import head_of
from orchestrator.cli.screen import printable
from orchestrator.cli.streams import deliver, deliver_json
from orchestrator.planner.figures import dollars

if TYPE_CHECKING:
    from orchestrator.runtime.journal.reading.timeline import Step, Timeline
    from orchestrator.runtime.journal.stores.base import Store


@dataclass(frozen=True, slots=True)
class Difference:
    """An op that is not the same in both runs."""

    op: str
    what: str
    """``only in the first``, ``only in the second``, ``other inputs``, ``other result`` or how each ended."""
    first_usd: float | None
    second_usd: float | None


@click.command(cls=Command, name="diff", epilog="Example:  orch runs diff mail-17 mail-18")
@click.argument("first", metavar="ID")
@click.argument("second", metavar="ID")
@store_option
@json_option
@debug_option
def diff_command(first: str, second: str, store: str | None, as_json: bool, debug: bool) -> None:
    """Compare two runs op by op: what only one of them did, was given otherwise, or gave otherwise, and what each cost.

    Ops are compared by the names that they had in their runs; what a finished loop or map no longer needs is compared
    too.
    """
    del debug

    async def read(opened: Store) -> tuple[Timeline, Timeline]:
        return await _history(opened, first), await _history(opened, second)

    one, other = with_store(store, read)
    found = list(differences(one, other))
    same = len({step.name for step in one.steps} & {step.name for step in other.steps}) - sum(
        not each.what.startswith("only") for each in found
    )
    if as_json:
        deliver_json({"ok": True, "same": same, "differences": [asdict(each) for each in found]})
        return
    deliver(f"{same} op{'s' * (same != 1)} the same; {_usd(one)} and {_usd(other)}")
    for each in found:
        deliver(printable(f"{each.op} · {each.what}").replace("\n", " "))


async def _history(store: Store, run_id: str) -> Timeline:
    from orchestrator.runtime.journal.reading.timeline import timeline

    await head_of(store, run_id)
    return await timeline(store, run_id)


def differences(one: Timeline, other: Timeline) -> Iterator[Difference]:
    """In the order of the first run, and then what only the second one did."""
    others = {step.name: step for step in other.steps}
    known = {step.name for step in one.steps}
    for step in one.steps:
        again = others.get(step.name)
        what = "only in the first" if again is None else _what(step, again)
        if what is not None:
            yield Difference(step.name, what, step.cost_usd, None if again is None else again.cost_usd)
    for step in other.steps:
        if step.name not in known:
            yield Difference(step.name, "only in the second", None, step.cost_usd)


def _what(step: Step, again: Step) -> str | None:
    if step.status != again.status:
        return f"{step.status} in the first, {again.status} in the second"
    if step.inputs is not None and again.inputs is not None and step.inputs != again.inputs:
        return "other inputs" if step.gave != again.gave else "other inputs, the same result"
    return None if step.gave == again.gave else "other result"


def _usd(found: Timeline) -> str:
    return dollars(sum(step.cost_usd or 0.0 for step in found.steps))
