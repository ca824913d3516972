"""``orch runs show``: the history of a run, which needs none of its workflow's code."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from orchestrator.cli.command import Command
from orchestrator.cli.keeping import store_option
from orchestrator.cli.options import debug_option, json_option
from orchestrator.cli.runs.listing import head_data
from orchestrator.cli.runs.opening import with_store
from orchestrator.cli.screen import printable
from orchestrator.cli.streams import deliver, deliver_json
from orchestrator.planner.figures import dollars, duration

if TYPE_CHECKING:
    from orchestrator.runtime.journal.reading.timeline import Step, Timeline
    from orchestrator.runtime.journal.stores.base import Head, Store

_MOST_PROBLEMS: Final = 5
_LONGEST: Final = 200
"""Characters of a message that a line shows; ``--json`` has all of them."""


@click.command(cls=Command, name="show")
@click.argument("run_id", metavar="ID")
@store_option
@json_option
@debug_option
def show_command(run_id: str, store: str | None, as_json: bool, debug: bool) -> None:
    """Show what a run did, op by op: where, how long, for how many tokens, what it waited for, what was expected."""
    del debug

    async def read(opened: Store) -> tuple[Head, Timeline]:
        from orchestrator.runtime.journal.reading.timeline import timeline

        head = await head_of(opened, run_id)
        return head, await timeline(opened, run_id)

    head, found = with_store(store, read)
    if as_json:
        deliver_json({"ok": True, "run": head_data(head), **timeline_data(found)})
        return
    began = head.created_at if found.began is None else found.began
    for line in (*head_lines(head, found), *(step_line(each, began) for each in found.steps)):
        deliver(line)


async def head_of(store: Store, run_id: str) -> Head:
    """What is known of a run. Raises ``RunError`` ORCH-R023."""
    from orchestrator.runtime.failures import unknown_run

    head = await store.head(run_id)
    if head is None:
        raise unknown_run(run_id)
    return head


def timeline_data(found: Timeline) -> dict[str, Any]:
    """A history, for JSON."""
    data = asdict(found)
    for step, entry in zip(found.steps, data["steps"], strict=True):
        entry["seconds"] = step.seconds
    return data


def head_lines(head: Head, found: Timeline) -> list[str]:
    """What there is to say of the whole run."""
    began = datetime.fromtimestamp(head.created_at if found.began is None else found.began, UTC)
    lines = [f"{head.run_id}  {_cut(head.workflow)}  {head.status}", f"begun {began:%Y-%m-%d %H:%M:%S} UTC"]
    lines += [f"tenant {_cut(head.tenant)}"] if head.tenant else []
    lines += [f"key {_cut(head.key)}"] if head.key else []
    lines += [f"executed by {head.owner}"] if head.owner and head.status == "running" else []
    lines += [f"why: {_cut(head.why)}"] if head.why else []
    if found.resumed:
        times = f"{found.resumed} time{'s' * (found.resumed != 1)}"
        lines.append(f"gone on with {times}; for {duration(found.down_s)} nobody executed it")
    lines += [f"damaged: {_cut(each)}" for each in found.problems[:_MOST_PROBLEMS]]
    if len(found.problems) > _MOST_PROBLEMS:
        lines.append(f"damaged: {len(found.problems) - _MOST_PROBLEMS} more lines of the log")
    return [_one_line(each) for each in lines]


def step_line(step: Step, began: float) -> str:
    """A step, in a line."""
    status = f"waits for {step.waits_for}" if step.waits_for else step.status
    parts = [f"+{duration(max(step.began - began, 0.0)):<7} {_cut(step.name)}", status]
    parts += [step.place] if step.place else []
    parts += [f"attempt {step.attempts}"] if step.attempts > 1 else []
    if step.seconds is not None:
        expected = "" if step.predicted_s is None else f" (expected {duration(step.predicted_s)})"
        parts.append(f"{duration(step.seconds)}{expected}")
    if step.input_tokens is not None:
        parts.append(f"{step.input_tokens:,} tokens in, {step.output_tokens or 0:,} out")
    if step.cost_usd is not None:
        expected = "" if step.predicted_usd is None else f" (expected {dollars(step.predicted_usd)})"
        parts.append(f"{dollars(step.cost_usd)}{expected}")
    parts += [f"waited {duration(seconds)} for {cause}" for cause, seconds in step.waited_s.items() if seconds > 0]
    parts += [_cut(step.said)] if step.said else []
    return _one_line(" · ".join(parts))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _one_line(text: str) -> str:
    """What stands in a log neither moves the cursor nor makes lines of its own."""
    return printable(text).replace("\n", " ").replace("\t", " ")
