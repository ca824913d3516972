"""How whatever goes wrong in a run becomes an error with a code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from orchestrator.errors import (
    BudgetError,
    Diagnostic,
    Error,
    JournalError,
    OrchError,
    RunError,
    SourceLoc,
    SuspendedError,
    UnsettledError,
    described,
)
from orchestrator.runtime.program.codegen import ResultTypeError
from orchestrator.runtime.tools.raised import raised, raised_at

if TYPE_CHECKING:
    from orchestrator.runtime.journal.stores.base import Head


UNREADABLE: Final = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading the log of a run raises that was damaged, or that somebody else has written: nothing in it is what it
should be."""
SETTLED_AS_FAILED: Final = "ORCH-R027"
UNDECIDED: Final = "ORCH-R104"
_MOST_NAMED: Final = 5
"""Of so many ops the names are said."""


class ReplyError(ValueError):
    """A model's reply that does not fit; counts as a failed attempt."""

    fix = "give it retry=2"


class WrongResultError(ValueError):
    """A tool's result that does not validate."""


_NOT_THERE: Final = "index what is always there, or take it in a tool, which can do without: @tool(effects='pure')"


def of_op(error: BaseException, op: str, where: SourceLoc | None) -> RunError:
    """The coded error for an exception raised by ``op``; coded errors only gain the place they lack."""
    if isinstance(error, OrchError):
        return _placed(error, where)
    if isinstance(error, ReplyError):
        message = f"the reply to `{op}` does not fit its type"
        return RunError("ORCH-R003", message, where=where, why=str(error), fix=error.fix)
    if isinstance(error, (ResultTypeError, WrongResultError)):
        fix = "return what the annotation says, or change the annotation"
        return RunError("ORCH-R002", f"`{op}` returned a wrong result", where=where, why=str(error), fix=fix)
    error = raised(error)
    at = raised_at(error)
    why = None if at is None else f"it was raised at {at}"
    unfound = _NOT_THERE if at is None and isinstance(error, LookupError) else None
    failure = RunError("ORCH-R001", f"`{op}` failed: {described(error)}", where=where, why=why, fix=unfound)
    failure.raised = Error.of("ORCH-R001", error)
    return failure


def raised_here(op: str, error: Error, where: SourceLoc | None) -> RunError:
    """What the workflow itself raises, or raises again."""
    name = error.kind.removeprefix("builtins.")
    message = f"`{op}` raised {name}: {error.message}" if error.message else f"`{op}` raised {name}"
    failure = RunError(error.code, message, where=where)
    failure.raised = error
    return failure


def _placed(error: OrchError, where: SourceLoc | None) -> RunError:
    if isinstance(error, RunError) and error.diagnostics[0].where is not None:
        return error
    kind = type(error) if isinstance(error, RunError) else RunError
    placed = [Diagnostic(d.code, d.message, d.where or where, d.why, d.fix) for d in error.diagnostics]
    made = kind.collect(placed)
    assert isinstance(made, RunError)
    made.raised = error.raised
    if isinstance(error, RunError):
        made.undecided = error.undecided
    if isinstance(error, BudgetError) and isinstance(made, BudgetError):
        made.ledger = error.ledger
    return made


def over_budget(what: str, needed: str, left: str, reserved_tokens: int, where: SourceLoc | None) -> BudgetError:
    """ORCH-R010: raised before the op is started; ``reserved_tokens`` are those of calls that run beside it."""
    message = f"`{what}` was not started: it may need {needed}, and {left} of the budget is left"
    why = "budgets are hard: an op starts only if its worst case still fits"
    fix = "raise the budget, or bound the op with max_tokens"
    if reserved_tokens:
        why += f"; calls that have not ended have reserved {reserved_tokens} tokens"
        fix = "raise the budget, bound the ops with max_tokens, or have fewer of them at once: map_(..., concurrency=1)"
    return BudgetError("ORCH-R010", message, where=where, why=why, fix=fix)


def out_of_time(what: str, seconds: float, where: SourceLoc | None) -> BudgetError:
    """ORCH-R010: the seconds of a budget are over."""
    message = f"`{what}` was stopped: its budget of {seconds:g} s is over"
    return BudgetError("ORCH-R010", message, where=where, fix="raise the budget, or do less")


def timed_out(op: str, timeout_s: float, where: SourceLoc | None, *, has_returned: bool, may_repeat: bool) -> RunError:
    """ORCH-R004."""
    message = f"`{op}` took longer than its timeout of {timeout_s:g} s"
    fix = "raise its timeout, or give it a retry" if may_repeat else "raise its timeout, or have it do less"
    why = "it has returned, and the check of its result goes on" if has_returned else None
    return RunError("ORCH-R004", message, where=where, why=why, fix=fix)


def unsettled(op: str, reason: str, where: SourceLoc | None, *, asked: str | None = None) -> UnsettledError:
    """ORCH-R020. ``asked`` is why the tool's check could not tell either."""
    offer = "" if asked else ", or give the tool a check= that tells, or a key= with which repeating is harmless"
    failure = UnsettledError(
        "ORCH-R020",
        f"nobody knows whether `{op}` happened: {reason}",
        where=where,
        why='its effects are "once", so it is not started again without proof that it did not happen'
        + (f"; its check could not tell: {asked}" if asked else ""),
        fix=f"find out, say so with `await runtime.settle(compiled, run_id, {op!r}, result=...)` (or failed=..., "
        f"did_not_happen=True), and resume the run{offer}",
    )
    failure.undecided = (op,)
    return failure


def again(op: str, where: SourceLoc | None) -> RunError:
    """ORCH-R020: an earlier attempt at the op around has done it."""
    return UnsettledError(
        "ORCH-R020",
        f"`{op}` is not started again: it ran in an earlier attempt at what is around it",
        where=where,
        why='its effects are "once", and nothing says that it may be repeated',
        fix="move the retry inwards, or give the tool a key= or a check=",
    )


def other_inputs(op: str, run_id: str, where: SourceLoc | None) -> RunError:
    """A result in the journal belongs to other inputs than the op is given now."""
    return RunError(
        "ORCH-R100",
        f"run {run_id} does not come to `{op}` with the inputs that it came with before",
        where=where,
        why="what leads there is computed again when a run is resumed, and gave something else: a function that is not "
        "pure although it says so, or an order of a set",
        fix='declare what depends on time, chance or the outside as effects="reads", so that its result is kept; sort '
        "what has no order; then start a new run, or resume it with the code that it started with",
    )


def not_kept(what: str, error: Exception, where: SourceLoc | None) -> RunError:
    """A value from outside cannot be written down."""
    return RunError(
        "ORCH-R101",
        f"{what} cannot be written into the run's journal",
        where=where,
        why=str(error),
        fix="have tools return data: Python's own types, pydantic models, dataclasses; or, where it may be made again, "
        'declare effects="pure"; or run without a store',
    )


def unreadable(run_id: str, error: Exception) -> RunError:
    """The log of a run cannot be read."""
    return RunError(
        "ORCH-R102",
        f"the log of run {run_id} cannot be read",
        why=described(error),
        fix="resume it with the version of orchestrator and the classes that wrote it, or start a new run",
    )


def other_version(workflow: str, run_id: str, began: str, version: str) -> RunError:
    """A run was begun by another program than that of this version."""
    return RunError(
        "ORCH-R021",
        f"run {run_id} started with another version of `{workflow}`",
        why=f"it is pinned to program {began}, this is {version}",
        fix="resume it with the code that it started with, or start a new run",
    )


def other_workflow(workflow: str, run_id: str, given: str) -> RunError:
    """A run is one of another workflow than that which is to go on with it."""
    return RunError(
        "ORCH-R021",
        f"run {run_id} is one of `{workflow}`, and not of `{given}`",
        fix=f"name the file of `{workflow}`; the runs of a workflow go by its name",
    )


def lost_under_another(path: str, run_id: str, version: str) -> RunError:
    """Something that an earlier version had begun is not part of this one."""
    return RunError(
        "ORCH-R020",
        f"nobody knows whether something happened that run {run_id} began under another version of its workflow",
        why=f"it must run at most once, stands at `{path}` in the journal, and this version has no such op",
        fix=f"resume the run with the code of version {version}, or settle it there first",
    )


def not_reached(op: str, run_id: str, reached: Sequence[str]) -> RunError:
    """A run is to be forked at an op that it has not come to, but to others."""
    near = get_close_matches(op, reached, n=_MOST_NAMED, cutoff=0.5)
    near = list(dict.fromkeys([*near, *reached[:_MOST_NAMED]]))[:_MOST_NAMED]
    more = f" and {len(reached) - len(near)} more" if len(reached) > len(near) else ""
    return RunError(
        "ORCH-R105",
        f"run {run_id} has not come to `{op:.200}`",
        why=f"it has come to {', '.join(f'`{each}`' for each in near)}{more}" if near else "it has come to no op yet",
        fix="take the path of an op as `orch runs show` gives it",
    )


def undecided(op: str, run_id: str, where: SourceLoc | None, earlier: int, kept: str | None) -> RunError:
    """An op that has written something under an earlier version would do otherwise now."""
    failure = RunError(
        "ORCH-R104",
        f"run {run_id} needs a decision: `{op}` has written something under an earlier version of the workflow, and "
        "would do otherwise now",
        where=where,
        why=f"{earlier} completed result{'s' * (earlier != 1)} of it or of an op that this version has not got, with "
        "other code or other inputs; what has happened is not made again because the code has changed"
        + ("" if kept is None else f"; to keep it is to take {kept}"),
        fix=f"resume it with `--keep {op}` (in Python, decisions={{{op!r}: 'keep'}}), which goes on with what it gave, "
        f"or with `--again {op}`, which does it again; or with the code of the earlier version",
    )
    failure.undecided = (op,)
    return failure


def settled_failure(op: str, code: str, message: str, raised: Error | None, where: SourceLoc | None) -> RunError:
    """How a tool that must run at most once failed before the run was resumed."""
    failure = RunError(
        code,
        message,
        where=where,
        why=f'the effects of `{op}` are "once", so this is its outcome, and resuming the run does not start it again',
        fix=f"start a new run; or, if it did not happen, say `await runtime.settle(compiled, run_id, {op!r}, "
        "did_not_happen=True)`, or result=... if it did, and resume",
    )
    failure.raised = raised
    return failure


def nothing_to_settle(op: str, run_id: str, unsettled: list[str]) -> RunError:
    """ORCH-R026."""
    known = f"unsettled are {', '.join(f'`{each}`' for each in unsettled)}" if unsettled else "nothing is unsettled"
    return RunError("ORCH-R026", f"`{op:.200}` of run {run_id} cannot be settled", why=known, fix="name one of those")


def not_a_result(op: str, why: str) -> RunError:
    """ORCH-R026."""
    return RunError("ORCH-R026", f"that is no result of `{op}`", why=why, fix="give what the tool returns")


def said_already(code: str, op: str, run_id: str, by: str, at: float) -> RunError:
    """What somebody says of an op of a run comes second."""
    what = f"`{op}` of run {run_id} was {'answered' if code == 'ORCH-R032' else 'settled'} by {by}, {moment(at)}"
    return RunError(code, what, why="what was said first counts", fix="fork the run before it to have it otherwise")


def unknown_run(run_id: str) -> RunError:
    """ORCH-R023."""
    return RunError(
        "ORCH-R023",
        f"the journal knows no run {run_id:.200}",
        fix="a run's id is `RunResult.run_id`; `orch runs list` has those of a store (--store), and memory forgets all "
        "of them when its process ends",
    )


def suspended(
    run_id: str, status: str, why: str, *, questions: Sequence[str] = (), wake_at: float | None = None
) -> SuspendedError:
    """ORCH-R034: what becomes of a run that is not over."""
    fix = "have whoever has its workflow go on with it: `orch runs resume`, `orch worker` or `Runner.resume`"
    if status == "paused":
        fix = "resume it: `orch runs resume` or `notices.resume`"
    elif questions:
        fix = f"answer `{questions[0]}`: `orch runs answer` or `notices.answer`; then {fix}"
    failure = SuspendedError("ORCH-R034", f"run {run_id} is {status}", why=why, fix=fix)
    failure.run_id, failure.status, failure.questions, failure.wake_at = run_id, status, questions, wake_at
    return failure


def unattended(run_id: str, error: BaseException) -> JournalError:
    """ORCH-R108: it could not be told anything any more, nor given back where it only waits."""
    return JournalError(
        "ORCH-R108",
        f"run {run_id} was put aside, because what watches over it failed: {described(error)}",
        why="this is a defect of orchestrator: nothing that was sent to the run would have reached it any more",
        fix="report it with what the process has logged, and resume the run: what is done is not done again",
    )


def cancelled(by: str, at: float) -> RunError:
    """ORCH-R024: somebody has cancelled the run, at this Unix time."""
    return RunError("ORCH-R024", f"the run was cancelled by {by}, {moment(at)}")


def interrupted() -> RunError:
    """ORCH-R035: the run's task was cancelled, by Ctrl-C, a timeout or whoever waited for it."""
    return RunError("ORCH-R035", "the run was interrupted")


def run_over(head: Head) -> RunError:
    """ORCH-R033."""
    fix = None
    if head.status == "cancelled":
        fix = "begin another one with what it has done, `orch runs fork`, or a new one, under another key if it has one"
    return RunError("ORCH-R033", f"run {head.run_id} is over: it is {head.status}", why=head.why, fix=fix)


def moment(at: float) -> str:
    """A Unix time, for people."""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{at:g}"


def run_under_way(run_id: str) -> RunError:
    """ORCH-R022."""
    why = "another execution would start what this one has started"
    return RunError("ORCH-R022", f"run {run_id} is under way", why=why, fix="wait for it, or cancel it first")


def run_exists(run_id: str) -> RunError:
    """ORCH-R029."""
    return RunError(
        "ORCH-R029",
        f"there is a run {run_id} already",
        why="what its `once` tools have done, and their keys, go by its id",
        fix="resume it, or give the new run an id of its own",
    )


def not_a_name(what: str, text: object, fix: str) -> RunError:
    """ORCH-R106."""
    return RunError("ORCH-R106", f"a run cannot have the {what} {text!r:.100}", fix=fix)


def nobody_is_called(name: object, fix: str) -> RunError:
    """ORCH-R106, for whoever tells a run something."""
    return RunError("ORCH-R106", f"nobody is called {name!r:.100}", fix=fix)


def nested_too_deeply() -> RunError:
    """ORCH-R049."""
    why = "a tool gets a copy, so that it changes nobody else's, and tuples are copied from the inside out"
    return RunError("ORCH-R049", "an argument has too many tuples within each other", why=why, fix="use lists instead")


def not_here(workflow: str, why: str, fix: str) -> RunError:
    """ORCH-R045."""
    return RunError("ORCH-R045", f"the workflow `{workflow}` cannot be run here", why=why, fix=fix)


def elsewhere(workflow: str) -> RunError:
    """ORCH-R045."""
    why = "the runtime has runs under way in another event loop, which its engines belong to until they end"
    fix = (
        "make a Runner for each thread, or hand the run over: asyncio.run_coroutine_threadsafe(runtime.run(...), loop)"
    )
    return not_here(workflow, why, fix)


def not_closed(failed: Mapping[str, BaseException]) -> OrchError:
    """ORCH-R065, for each engine that could not be closed; the others are."""
    fix = "see whether a process of it is left"
    return RunError.collect(
        [
            Diagnostic("ORCH-R065", f"the engine `{name}` could not be closed", why=described(error), fix=fix)
            for name, error in failed.items()
        ]
    )


def all_failed(op: str, errors: list[BaseException], where: SourceLoc | None) -> RunError:
    """ORCH-R006, with the reason of each arm."""
    reasons = "; ".join(str(getattr(error, "message", error)) for error in errors)
    return RunError("ORCH-R006", f"every arm of `{op}` failed", where=where, why=reasons)


def first_line(error: ValidationError) -> str:
    """The first problem of a pydantic error, in one line."""
    problem = error.errors(include_url=False)[0]
    place = ".".join(map(str, problem["loc"]))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{place + ': ' if place else ''}{problem['msg']}{more}"


def wrong_prompt(why: str) -> RunError:
    """What a model is to be asked is no prompt."""
    fix = 'give a text, or messages: {"role": "user", "content": "…"}'
    return RunError("ORCH-R080", "a prompt is neither a text nor messages", why=why, fix=fix)


def unreadable_part(path: str, why: str, fix: str | None) -> RunError:
    """A path in a message leads to nothing that can be sent."""
    fix = fix or "pass a path that this process can read; a relative one begins where the process was started"
    return RunError("ORCH-R081", f"the file {path!r} for a model cannot be read", why=why, fix=fix)


def wrong_option(name: str, value: object, expected: str) -> RunError:
    """An option that was only known when the workflow ran."""
    return RunError("ORCH-R082", f"{name}={value!r}", fix=f"{name} is {expected}")
