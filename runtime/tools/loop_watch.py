"""Who keeps an event loop from everybody else: async and cheap tools that compute or wait without giving it up.

Nothing can stop such a tool, and while it runs no timeout, budget or other run on its loop goes on. So it is named,
with the line where it is, in the log at once and in the warnings of the runs that it held up. One thread for the
process looks whether the loops of runs still turn.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from time import monotonic, sleep
from types import FrameType, FunctionType
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from orchestrator.dsl.source.location import is_user_file
from orchestrator.errors import SourceLoc

C = TypeVar("C", bound=Callable[..., Any])

BEAT_S: Final = 0.25
BLOCKED_S: Final = 1.0
"""A loop that has not turned for this long is blocked."""

_log: Final = logging.getLogger(__name__)


class Watched(Protocol):
    """A run."""

    warnings: dict[str, None]


class LoopWatch:
    """Watches the event loops of a runtime's runs."""

    def __init__(self) -> None:
        self._loop: _Loop | None = None

    def enter(self, run: Watched) -> None:
        """A run begins on this event loop; :meth:`leave` ends it."""
        loop = asyncio.get_running_loop()
        if self._loop is None or self._loop.is_over or self._loop.loop is not loop:
            self._loop = _Loop(loop)
            _watcher.add(self._loop)
        self._loop.runs[id(run)] = run, set()

    def leave(self, run: Watched) -> None:
        """It has ended."""
        if self._loop is not None:
            self._loop.runs.pop(id(run), None)
            self._loop.call = None  # which knows the run


class _Loop:
    """An event loop with runs on it; made on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.runs: dict[int, tuple[Watched, set[str]]] = {}
        """These are the runs, and which tools they were told of."""
        self.is_over = False
        """There was no run when it turned last, so that it is not watched any more."""
        self._thread = threading.get_ident()
        self._named: set[str] = set()
        """These have been named in the log."""
        self._turned_s = monotonic()
        self.call: FrameType | None = None
        """The call of a tool that it was in at the latest look, if it had not turned for a while."""
        loop.call_later(BEAT_S, self._turn)

    def _turn(self) -> None:
        self._turned_s, self.call = monotonic(), None
        if self.runs:
            self.loop.call_later(BEAT_S, self._turn)
        else:
            self.is_over = True

    def look(self) -> None:
        """Name the tool that blocks its runs, if one does; in the watcher's thread.

        One that is in the same call at two looks: many short calls in one turn of the loop are nobody's fault.
        """
        blocked_s = monotonic() - self._turned_s
        held = _tool_in(sys._current_frames().get(self._thread)) if self.runs and blocked_s >= BLOCKED_S / 2 else None
        before, self.call = self.call, None if held is None else held.call
        if held is None or held.call is not before or blocked_s < BLOCKED_S:
            return
        tool, where = held.tool, held.where
        said = (
            f"the tool `{tool}` has held the event loop for more than {BLOCKED_S:g} s, at {where}, and kept everything "
            "else on it from going on, timeouts too: await what it waits for, or have it in a thread, as a plain `def` "
            'or with isolation="thread" (ORCH-R047)'
        )
        for run, told in list(self.runs.values()):  # now: the loop may end them before it turns
            if tool not in told:
                told.add(tool)
                run.warnings[said] = None
        if tool not in self._named:
            self._named.add(tool)
            _log.warning(said)


def calls_tools(function: C) -> C:
    """Say that what ``function`` calls on the event loop is a tool."""
    assert isinstance(function, FunctionType)
    _callers.add(id(function.__code__))
    return function


_callers: Final[set[int]] = set()
"""Its keys are identities: to hash a code object is to hash all that is in it."""


class _Held(NamedTuple):
    """A tool that runs, the innermost line of the user's, and the frame that has called it."""

    tool: str
    where: SourceLoc
    call: FrameType


def _tool_in(frame: FrameType | None) -> _Held | None:
    """The tool that a stack is in; None if it is in none."""
    where: SourceLoc | None = None
    tool = ""
    while frame is not None and id(frame.f_code) not in _callers:
        code = frame.f_code
        if not code.co_filename.startswith("<") and is_user_file(code.co_filename):
            tool = code.co_name
            where = where or SourceLoc(code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back
    return None if frame is None or where is None else _Held(tool, where, frame)


class _Watcher:
    """The thread that looks."""

    def __init__(self) -> None:
        self._loops: set[_Loop] = set()
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, loop: _Loop) -> None:
        """Watch a loop until it is over."""
        with self._lock:
            self._loops.add(loop)
            if self._thread is None or not self._thread.is_alive():  # a forked process has it no more
                self._thread = threading.Thread(target=self._watch, name="orch-loop-watch", daemon=True)
                self._thread.start()
        self._wanted.set()

    def _watch(self) -> None:
        while True:
            self._wanted.wait()
            sleep(BEAT_S)
            with self._lock:
                self._loops = {each for each in self._loops if not (each.is_over or each.loop.is_closed())}
                loops = tuple(self._loops)
                if not loops:
                    self._wanted.clear()
            for loop in loops:
                loop.look()
            del loops


_watcher: Final = _Watcher()
