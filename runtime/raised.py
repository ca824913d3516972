"""What user code raised: whether it is that code's failure, what it says, and where it came from."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from opcode import opmap
from types import CodeType, FunctionType, TracebackType
from typing import Final

from orchestrator.dsl.location import is_user_file
from orchestrator.errors import SourceLoc, described

RAISED_AT: Final = "_orch_raised_at"
"""Attribute of an exception from another process: where it was raised there."""
BY_VALUE: Final = "<dynamic-code>"
"""What cloudpickle puts in place of a code object's file."""
_RAISE: Final = opmap["RAISE_VARARGS"]


class TaskExitError(RuntimeError):
    """A task that a tool has started called ``sys.exit``, or raised ``KeyboardInterrupt``."""

    def __init__(self, leaving: BaseException) -> None:
        super().__init__(f"a task raised {described(leaving)}")
        self.leaving = leaving


def passes_through(error: BaseException) -> bool:
    """Whether ``error`` is no failure of the code that it came out of, but something that happens to it.

    A real Ctrl-C and the closing of a coroutine arrive between two instructions, and so does what a signal's handler
    raises; what user code raises itself comes from a ``raise``, and is its failure, whatever it is. (Cancellation is
    told by the task that was cancelled.)
    """
    if not isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)):
        return False
    traces = list(_traces(error))
    if not isinstance(error, SystemExit) and not (traces and _is_at_a_raise(traces[-1])):
        return True
    handlers = _signal_handlers()
    return any(trace.tb_frame.f_code in handlers for trace in traces)


def _is_at_a_raise(trace: TracebackType) -> bool:
    return trace.tb_lasti >= 0 and trace.tb_frame.f_code.co_code[trace.tb_lasti] == _RAISE


def _traces(error: BaseException) -> Iterator[TracebackType]:
    """From the outermost frame to the one that raised."""
    trace = error.__traceback__
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _signal_handlers() -> list[CodeType]:
    """Those in Python, such as asyncio's for Ctrl-C, which raises at the second one."""
    found = []
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        while isinstance(handler, partial):
            handler = handler.func
        function = getattr(handler, "__func__", handler)
        if isinstance(function, FunctionType):
            found.append(function.__code__)
    return found


def raised(error: BaseException) -> BaseException:
    """What user code raised: coroutines turn a ``StopIteration``, and tasks a ``SystemExit``, into something else."""
    if isinstance(error, TaskExitError):
        return error.leaving
    cause = error.__cause__
    if type(error) is RuntimeError and isinstance(cause, StopIteration) and "raised StopIteration" in str(error):
        return cause
    return error


def user_line(trace: TracebackType | None, sent_from: str | None = None) -> SourceLoc | None:
    """The innermost line of a traceback that is the user's; ``sent_from`` is the file of code that came by value."""
    found: SourceLoc | None = None
    while trace is not None:
        code = trace.tb_frame.f_code
        file = sent_from or BY_VALUE if code.co_filename == BY_VALUE else code.co_filename
        if not file.startswith("<") and is_user_file(file):
            found = SourceLoc(file, trace.tb_lineno, code.co_name)
        trace = trace.tb_next
    return found


def raised_at(error: BaseException) -> SourceLoc | None:
    """Where user code raised ``error``, maybe in another process."""
    known = getattr(error, RAISED_AT, None)
    return known if isinstance(known, SourceLoc) else user_line(error.__traceback__)


async def faults_of(works: Iterable[Callable[[], Awaitable[object]]]) -> list[BaseException | None]:
    """Do all of them beside each other, and say what each raised; None for one that did not."""
    return list(await asyncio.gather(*(_fault_of(work) for work in works)))


async def _fault_of(work: Callable[[], Awaitable[object]]) -> BaseException | None:
    try:
        await work()
    except BaseException as error:
        task = asyncio.current_task()
        is_cancelled = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling()
        if is_cancelled or passes_through(error):
            raise
        return error
    return None
