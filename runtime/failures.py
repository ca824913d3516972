"""The runtime's error codes, and how whatever goes wrong in a run becomes one of them."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
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

CODES: Final[dict[str, str]] = {
    "ORCH-R001": "an op raised an exception",
    "ORCH-R002": "a tool returned something else than it declares",
    "ORCH-R003": "a model's reply does not fit the declared type",
    "ORCH-R004": "an op took longer than its timeout",
    "ORCH-R005": "a map or a generator got more items than its limit, or a map lists of different lengths",
    "ORCH-R006": "every arm of a race failed",
    "ORCH-R007": "the inputs of the workflow are wrong",
    "ORCH-R008": "the runtime has no engine for a model call",
    "ORCH-R009": "an op is placed on Ray, but the runtime has no Ray",
    "ORCH-R010": "the next op would have broken a budget",
    "ORCH-R011": "a budget in dollars, and an engine whose price is unknown",
    "ORCH-R020": "a tool that must run at most once was started, and nobody knows whether it happened",
    "ORCH-R021": "a run is resumed with another program",
    "ORCH-R022": "the run is under way",
    "ORCH-R023": "the journal does not know the run",
    "ORCH-R024": "somebody has cancelled the run",
    "ORCH-R026": "there is nothing to settle, or what is said of it does not fit",
    "ORCH-R027": "an attempt without an outcome has failed, as a person says",
    "ORCH-R028": "a budget given to a run is none",
    "ORCH-R029": "there is a run of this id already",
    "ORCH-R030": "a human's answer is needed, and nobody is there to ask",
    "ORCH-R031": "an answer is none of the choices",
    "ORCH-R032": "a run has no such open question",
    "ORCH-R033": "a run is over, so nothing can be said to it, or somebody has cancelled it, so it does not go on",
    "ORCH-R034": "a run waits for an answer or a moment, or was paused or handed over",
    "ORCH-R035": "a run was interrupted, and can be gone on with",
    "ORCH-R040": "a blocking tool or a validator got no thread",
    "ORCH-R041": "the process of a tool ended while it was working",
    "ORCH-R042": "a tool needs more memory than it may take",
    "ORCH-R043": "something cannot be sent to the process of a tool, or back",
    "ORCH-R044": "no process could be started for a tool",
    "ORCH-R045": "a workflow was called where it cannot run",
    "ORCH-R046": "an async tool does not end when it is cancelled",
    "ORCH-R047": "a tool blocks the event loop",
    "ORCH-R048": "the journal failed",
    "ORCH-R049": "a value is nested too deeply to be handed to a tool",
    "ORCH-R050": "the workflow raised an exception",
    "ORCH-R051": "no case of a switch is for a value",
    "ORCH-R055": "a loop is not over after as many turns as it may take",
    "ORCH-R060": "too many programs wait for an engine",
    "ORCH-R061": "the options of admission are wrong",
    "ORCH-R062": "no replica of an engine is left that could take a call",
    "ORCH-R063": "the last replica in service was to be drained",
    "ORCH-R064": "an engine has no replica",
    "ORCH-R065": "an engine could not be closed",
    "ORCH-R080": "a model was to be asked something that is neither a text nor messages",
    "ORCH-R081": "a file for a model cannot be read",
    "ORCH-R082": "an option of a model call turned out to be none that it may be",
    "ORCH-R090": "a value that a run refers to is missing or damaged",
    "ORCH-R091": "the place for large values cannot be opened",
    "ORCH-R092": "a secret is needed that this process has not got",
    "ORCH-R093": "the store of runs cannot be opened",
    "ORCH-R094": "a file or a database is no store of runs of this version",
    "ORCH-R095": "rows of a run are damaged",
    "ORCH-R096": "a file is none of a run, is damaged, or has no place here",
    "ORCH-R097": "a store of runs cannot be read or written",
    "ORCH-R100": "a resumed run comes to an op with other inputs than before",
    "ORCH-R101": "a value from outside cannot be written into a run's journal",
    "ORCH-R102": "the log of a run cannot be read",
    "ORCH-R103": "a run was taken over by another process",
    "ORCH-R104": "an op that has written something would do otherwise under this version, and somebody has to decide",
    "ORCH-R105": "a run is to be forked at an op that it has not come to",
    "ORCH-R106": "a run cannot have this id, key or tenant",
    "ORCH-R108": "what watches over a run that is executed has failed",
    "ORCH-R110": "the URL of a PostgreSQL cannot be read",
    "ORCH-R111": "a newer version of orchestrator has changed the tables of runs",
    "ORCH-R112": "the tables of runs cannot be made",
}


SETTLED_AS_FAILED: Final = "ORCH-R027"
UNDECIDED: Final = "ORCH-R104"
_LONGEST_SHOWN: Final = 100
"""Characters of a name that is none."""


class LostAttemptError(RunError):
    """The process that did the work is gone, and how the work ended with it (ORCH-R041)."""


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


def not_reached(op: str, run_id: str) -> RunError:
    """A run is to be forked at an op that it has not come to."""
    return RunError(
        "ORCH-R105",
        f"run {run_id} has not come to `{op}`",
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
    return RunError("ORCH-R026", f"`{op}` of run {run_id} cannot be settled", why=known, fix="name one of those")


def unknown_run(run_id: str) -> RunError:
    """ORCH-R023."""
    return RunError(
        "ORCH-R023",
        f"the journal knows no run {run_id}",
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
    shown = repr(text) if len(repr(text)) <= _LONGEST_SHOWN else f"{repr(text)[:_LONGEST_SHOWN]}…"
    return RunError("ORCH-R106", f"a run cannot have the {what} {shown}", fix=fix)


def too_many_written_off(tenant: str | None, calls: int) -> RunError:
    """ORCH-R040: raised before the tool is started."""
    return RunError(
        "ORCH-R040",
        f"{calls} calls of blocking tools or validators were given up"
        f"{f' by tenant {tenant}' if tenant else ''} and still run",
        why="a thread cannot be stopped, and there is a limit to how many are left behind",
        fix="have them end by themselves, with timeouts of their own calls, "
        'or declare the tools @tool(isolation="process"), which can be killed',
    )


def no_thread(why: str) -> RunError:
    """ORCH-R040."""
    return RunError(
        "ORCH-R040",
        "no thread could be started for a blocking tool or a validator",
        why=why,
        fix="raise the limit of `ulimit -u`",
    )


def how_it_ended(code: int) -> str:
    """An exit code, or minus a signal, for people."""
    if code >= 0:
        return f"it ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "a signal"
    hint = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
    return f"it was killed by {name} ({-code}){hint}"


def process_died(op: str, code: int) -> RunError:
    """ORCH-R041: nobody knows how far the tool got."""
    return lost(op, how_it_ended(code))


def lost(op: str, why: str) -> RunError:
    """ORCH-R041."""
    message = f"the process of `{op}` ended while it was working"
    return LostAttemptError("ORCH-R041", message, why=why, fix="have the tool return, or raise an exception")


def out_of_memory(op: str, memory_bytes: int | None) -> RunError:
    """ORCH-R042."""
    limit = "more memory than there is" if memory_bytes is None else f"more than its {memory_bytes / 2**20:g} MiB"
    return RunError("ORCH-R042", f"`{op}` needs {limit}", fix="raise its memory=, or have it work in smaller pieces")


def not_sendable(what: str, why: str, where: SourceLoc | None) -> RunError:
    """ORCH-R043."""
    return RunError(
        "ORCH-R043",
        f"{what} cannot be sent between processes",
        where=where,
        why=why,
        fix="exchange plain data (numbers, texts, lists, models), and define the tool at the top of a module",
    )


def no_process(op: str, why: str) -> RunError:
    """ORCH-R044."""
    return RunError("ORCH-R044", f"no process could be started for `{op}`", why=why, fix="see what else runs here")


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
