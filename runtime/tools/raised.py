"""What user code raised: what it says, and where it came from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Final

from orchestrator.dsl.source.location import BY_VALUE, is_user_file
from orchestrator.errors import SourceLoc, described
from orchestrator.leaving import passes_through

RAISED_AT: Final = "_orch_raised_at"
"""Attribute of an exception from another process: where it was raised there."""


class TaskExitError(RuntimeError):
    """A task that a tool has started called ``sys.exit``, or raised ``KeyboardInterrupt``."""

    def __init__(self, leaving: BaseException) -> None:
        super().__init__(f"a task raised {described(leaving)}")
        self.leaving = leaving


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
