"""Where in the user's code an op was written.

Walking raw frames costs about a microsecond; ``inspect.stack`` reads source files and costs milliseconds.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from types import CodeType, FrameType

from orchestrator.errors import SourceLoc

_PACKAGE = str(Path(__file__).parent.parent) + "/"
_STANDARD_LIBRARY = str(Path(os.__file__).parent) + "/"
_FRONT_END = str(Path(__file__).parent) + "/"

_boundaries: set[CodeType] = set()


def trace_boundary(code: CodeType) -> None:
    """Declare the function that starts a trace: frames outside of it belong to whoever asked for the trace."""
    _boundaries.add(code)


def user_frame() -> FrameType:
    """The frame that wrote the current op.

    This is the innermost frame of user code; an op of a bundled pattern is attributed to the call of the
    pattern. When a bundled workflow itself is traced there is none, and the pattern's own frame is returned.
    """
    frame: FrameType | None = sys._getframe(1)
    nearest = frame
    while frame is not None and frame.f_code not in _boundaries:
        file = frame.f_code.co_filename
        if is_user_file(file):
            return frame
        if nearest is None or (nearest.f_code.co_filename.startswith(_FRONT_END) and not file.startswith(_FRONT_END)):
            nearest = frame
        frame = frame.f_back
    assert nearest is not None
    return nearest


def user_location() -> SourceLoc:
    """File, line and function of :func:`user_frame`."""
    frame = user_frame()
    return SourceLoc(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


@cache
def is_user_file(file: str) -> bool:
    """Whether a file belongs to neither this package, nor the standard library, nor an installed one."""
    return not file.startswith((_PACKAGE, _STANDARD_LIBRARY)) and "/site-packages/" not in file


def definition_of(function: object) -> SourceLoc | None:
    """Where a Python function was defined, or None for anything else."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return None
    return SourceLoc(code.co_filename, code.co_firstlineno, code.co_name)
