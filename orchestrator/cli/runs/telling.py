"""What others tell a run: ``orch runs pause``, ``cancel``, ``answer`` and ``settle``. Its code is not needed."""

from __future__ import annotations

import getpass
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from orchestrator.cli.command import Command
from orchestrator.cli.keeping import of_runs, store_option
from orchestrator.cli.options import debug_option, json_option
from orchestrator.cli.runs.opening import with_store
from orchestrator.cli.screen import say
from orchestrator.cli.streams import deliver_json
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.runtime.journal.stores.base import Store

by_option = click.option("--by", metavar="NAME", help="Who says so; default: your name on this machine.")


@click.command(cls=Command, name="pause")
@click.argument("run_id", metavar="ID")
@by_option
@store_option
@json_option
@debug_option
def pause_command(run_id: str, by: str | None, store: str | None, as_json: bool, debug: bool) -> None:
    """Have nobody execute a run until `orch runs resume`."""
    del debug
    from orchestrator.runtime.coordinator import notices

    _tell(store, lambda opened: notices.pause(opened, run_id, by=_who(by)))
    _said(run_id, "it is paused, or will be as soon as whoever executes it can stop", as_json)


@click.command(cls=Command, name="cancel")
@click.argument("run_id", metavar="ID")
@by_option
@store_option
@json_option
@debug_option
def cancel_command(run_id: str, by: str | None, store: str | None, as_json: bool, debug: bool) -> None:
    """End a run, after what it does in the end."""
    del debug
    from orchestrator.runtime.coordinator import notices

    _tell(store, lambda opened: notices.cancel(opened, run_id, by=_who(by)))
    _said(run_id, "whoever executes it, or the next who does, ends it", as_json)


@click.command(cls=Command, name="answer")
@click.argument("run_id", metavar="ID")
@click.argument("pair", metavar="OP=VALUE")
@by_option
@store_option
@json_option
@debug_option
def answer_command(  # noqa: PLR0917 - one parameter an option
    run_id: str, pair: str, by: str | None, store: str | None, as_json: bool, debug: bool
) -> None:
    """Answer a question of a run: OP as `orch runs show` names it; VALUE a text, or JSON where it takes none."""
    del debug
    from orchestrator.cli.inputs import as_given
    from orchestrator.runtime.coordinator import notices

    op, equals, value = as_given(pair).partition("=")
    if not equals:
        raise UsageError("ORCH-U002", f"`{pair}` has no `=`", fix="write the question's name, `=`, and the answer")

    async def told(opened: Store) -> None:
        question = notices.the_question(run_id, await notices.questions(opened, run_id), op)
        await notices.answer(opened, run_id, question.path, question.typed(value), by=_who(by))

    _tell(store, told)
    _said(run_id, "the answer is kept; whoever executes the run goes on with it", as_json)


@click.command(cls=Command, name="settle")
@click.argument("run_id", metavar="ID")
@click.argument("op", metavar="OP")
@click.option("--result", metavar="JSON", help="It has happened, and gave this: a text, or JSON where it gives none.")
@click.option("--failed", metavar="TEXT", help="It has failed, and why.")
@click.option("--did-not-happen", is_flag=True, help="It did not happen: going on with the run starts it.")
@by_option
@store_option
@json_option
@debug_option
def settle_command(  # noqa: PLR0917 - one parameter an option
    run_id: str,
    op: str,
    result: str | None,
    failed: str | None,
    did_not_happen: bool,
    by: str | None,
    store: str | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Say what has become of a once tool of which nobody knows whether it happened: OP as the error names it."""
    del debug
    from orchestrator.runtime.coordinator import notices

    if (result is not None) + (failed is not None) + did_not_happen != 1:
        fix = "say one of --result JSON, --failed TEXT and --did-not-happen"
        raise UsageError("ORCH-U002", f"what has become of `{op}`?", fix=fix)

    async def told(opened: Store) -> None:
        value = None if result is None else await _meant(opened, run_id, op, result)
        await notices.settle(
            opened, run_id, op, result=value, failed=failed, did_not_happen=did_not_happen, by=_who(by)
        )

    _tell(store, told)
    again = of_runs("resume", run_id, store=store)
    _said(
        run_id,
        f"with its workflow's file behind it, this goes on with the run, and without, has a worker do so: {again}",
        as_json,
    )


async def _meant(store: Store, run_id: str, op: str, result: str) -> object:
    """What somebody means who types a result, by the type of what the tool gives."""
    from orchestrator.runtime.coordinator import notices
    from orchestrator.runtime.journal.versions.schema_misfit import meant

    unsettled = await notices.to_settle(store, run_id)
    return meant({"type": "null"} if unsettled is None else notices.the_unsettled(run_id, unsettled, op).schema, result)


def _tell(store: str | None, told: Callable[[Store], Awaitable[object]]) -> None:
    with_store(store, told)


def _said(run_id: str, text: str, as_json: bool) -> None:
    if as_json:
        deliver_json({"ok": True, "run_id": run_id})
    else:
        say(f"{run_id}: {text}")


def _who(by: str | None) -> str:
    if by:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user without a name, as in some containers
        return "a person"
