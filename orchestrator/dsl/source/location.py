"""This module finds where in the user's code an op was written.

Walking raw frames costs about a microsecond; ``inspect.stack`` reads source files and costs milliseconds.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Container, Iterator
from functools import cache, partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType, MethodType, TracebackType
from typing import Final, NamedTuple, TypeVar

from orchestrator.errors import SourceLoc

Error = TypeVar("Error", bound=BaseException)

_PACKAGE = str(Path(__file__).parents[2]) + "/"
_STANDARD_LIBRARY = str(Path(os.__file__).parent) + "/"
_FRONT_END = str(Path(__file__).parents[1]) + "/"
_FROZEN = "<frozen "
BY_VALUE: Final = "<dynamic-code>"
"""What cloudpickle puts in place of a code object's file."""

_boundaries: dict[int, CodeType] = {}
"""Its keys are identities: to hash a code object is to hash all that is in it."""


class Rewritten(NamedTuple):
    """Code that the rewriting made."""

    code: CodeType
    owner: CodeType
    """That of the user's function or lambda whose statements it has."""
    made_up: frozenset[str]
    """Names that are the rewriting's own."""
    around: Rewritten | None
    """What it stands in."""

    def is_within(self, owner: CodeType) -> bool:
        """Whether it stands in a function."""
        return self.owner is owner or (self.around is not None and self.around.is_within(owner))


_rewritten: dict[int, Rewritten] = {}
"""Its keys are the identities of code objects."""


def note_rewritten(
    code: CodeType, bodies: Container[int], made_up: frozenset[str], around: Rewritten | None = None
) -> None:
    """Remember that code, with the code in it, was made out of a function of the user's.

    ``bodies`` are the identities of code that was made of statements of the function around it.
    """
    owner = around.owner if around is not None and id(code) in bodies else code
    noted = _rewritten[id(code)] = Rewritten(code, owner, made_up, around)
    for each in code.co_consts:
        if isinstance(each, CodeType):
            note_rewritten(each, bodies, made_up, noted)


def forget_rewritten(code: CodeType) -> None:
    """Forget such code, with the code in it: what it was made of is gone."""
    _rewritten.pop(id(code), None)
    for each in code.co_consts:
        if isinstance(each, CodeType):
            forget_rewritten(each)


def rewritten(code: CodeType) -> Rewritten | None:
    """What is known of code that the rewriting made; None for any other."""
    return _rewritten.get(id(code))


def is_rewritten(code: CodeType) -> bool:
    """Whether code is that of a rewritten function, or of one in it."""
    return id(code) in _rewritten


def trace_boundary(code: CodeType) -> None:
    """Declare the function that starts a trace: frames outside of it belong to whoever asked for the trace."""
    _boundaries[id(code)] = code


def user_frame() -> FrameType:
    """The frame that wrote the current op.

    This is the innermost frame of user code; an op of a bundled pattern is attributed to the call of the
    pattern. When a bundled workflow itself is traced there is none, and the pattern's own frame is returned.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and id(code := frame.f_code) not in _boundaries:
        if is_user_file(code.co_filename) and "__name__" in frame.f_globals:  # the code of a template engine is of none
            return frame
        frame = frame.f_back
    return _outside_the_front_end(sys._getframe(1))


def user_frames() -> Iterator[FrameType]:
    """The frames of user code in the trace, from the innermost."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and id(code := frame.f_code) not in _boundaries:
        if id(code) in _rewritten or is_user_file(code.co_filename):
            yield frame
        frame = frame.f_back


def _outside_the_front_end(innermost: FrameType) -> FrameType:
    frame: FrameType | None = innermost
    while frame is not None and id(frame.f_code) not in _boundaries:
        if not frame.f_code.co_filename.startswith(_FRONT_END):
            return frame
        frame = frame.f_back
    return innermost


def user_location() -> SourceLoc:
    """File, line and function of :func:`user_frame`."""
    frame = user_frame()
    return SourceLoc(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def raised_in(error: BaseException) -> SourceLoc | None:
    """The innermost line of the user's that an exception came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_user_file(frame.filename)]
    return SourceLoc(frames[-1].filename, frames[-1].lineno or 0, frames[-1].name) if frames else None


def without_own_frames(error: Error) -> Error:
    """An exception whose traceback leads from the user's lines to theirs, without what is between them in here."""
    kept: TracebackType | None = None
    tracebacks = []
    each = error.__traceback__
    while each is not None:
        tracebacks.append(each)
        each = each.tb_next
    for each in reversed(tracebacks):
        if not each.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            kept = TracebackType(kept, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return error.with_traceback(kept)


@cache
def is_user_file(file: str) -> bool:
    """Whether a file belongs to neither this package, nor the standard library, nor an installed one."""
    return not file.startswith((_PACKAGE, _STANDARD_LIBRARY, _FROZEN)) and "/site-packages/" not in file


@cache
def _is_standard(file: str) -> bool:
    return file.startswith((_STANDARD_LIBRARY, _FROZEN)) and "/site-packages/" not in file


def is_asked_by_user(frame: FrameType | None) -> bool:
    """Whether a frame is the user's, or else runs the standard library for the user and not for another package."""
    while frame is not None and _is_standard(frame.f_code.co_filename):
        frame = frame.f_back
    return frame is not None and is_user_file(frame.f_code.co_filename)


def underlying(function: object) -> object:
    """The function behind a partial, a method, a wrapper, a class's constructor or an object that can be called."""
    while not isinstance(function, FunctionType):
        if isinstance(function, partial):
            function = function.func
        elif isinstance(function, MethodType):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            inner = vars(type(function)).get("__call__")
            inner = vars(function).get("__init__") if isinstance(function, type) else inner
            return inner if isinstance(inner, FunctionType) else function
    return function


def name_of(function: object) -> str:
    """What a function is called, also where it has no name of its own."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def is_method(function: object) -> bool:
    """Whether a function takes the object, or class, that it is looked up on."""
    if not isinstance(function, FunctionType):
        return False
    first = function.__code__.co_varnames[:1]
    return (
        function.__code__.co_argcount > 0
        and first in (("self",), ("cls",))
        and first[0] not in function.__annotations__
    )


def definition_of(function: object) -> SourceLoc | None:
    """Where a Python function was defined, or None for anything else."""
    code = getattr(underlying(function), "__code__", None)
    if not isinstance(code, CodeType):
        return None
    return SourceLoc(code.co_filename, code.co_firstlineno, code.co_name)
