"""What user code raises to leave, and what happens to it: a Ctrl-C, the handler of a signal, the end of a coroutine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from opcode import opmap
from types import CodeType, FunctionType, TracebackType
from typing import Final

_RAISE: Final = opmap["RAISE_VARARGS"]


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
