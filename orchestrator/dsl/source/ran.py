"""Which functions of the user ran in a trace, and what their names held."""

from __future__ import annotations

import builtins
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, FrameType, FunctionType
from typing import Any, Final, NamedTuple

_IN_ANOTHER: Final = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})


class Ran(NamedTuple):
    """A function that ran: its arguments, where they are known, and its names at its end, from the inside out."""

    code: CodeType
    before: Mapping[str, object]
    after: ChainMap[str, Any]


class Runs:
    """The functions that ran; of one that ran several times, the last time."""

    __slots__ = ("_called", "_frames")

    def __init__(self) -> None:
        self._frames: dict[int, FrameType] = {}
        self._called: dict[int, Ran] = {}

    def note(self, frame: FrameType) -> None:
        """Remember a frame; it keeps its local names beyond its end."""
        while frame.f_code.co_name in _IN_ANOTHER and frame.f_back is not None:
            frame = frame.f_back
        self._frames[id(frame.f_code)] = frame

    def note_call(self, function: object, arguments: Sequence[object]) -> None:
        """Remember a function that may do nothing by which its frame would be noted."""
        if isinstance(function, FunctionType):
            names = function.__code__.co_varnames[: function.__code__.co_argcount]
            self._called[id(function.__code__)] = as_called(function, dict(zip(names, arguments, strict=False)))

    def __iter__(self) -> Iterator[Ran]:
        for key, ran in self._called.items():
            if key not in self._frames:
                yield ran
        for key, frame in self._frames.items():
            before = self._called[key].before if key in self._called else {}
            yield Ran(frame.f_code, before, ChainMap(dict(frame.f_locals), frame.f_globals, vars(builtins)))

    def forget(self) -> None:
        """Let go of the frames, and of all that their names hold."""
        self._frames.clear()
        self._called.clear()


def as_called(function: FunctionType, arguments: dict[str, object]) -> Ran:
    """A function at its start, with these arguments by name."""
    around: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            around[name] = cell.cell_contents
        except ValueError:  # the enclosing function has not bound it yet
            continue
    return Ran(function.__code__, arguments, ChainMap(arguments, around, function.__globals__, vars(builtins)))
