"""Modules as MLIR text: an exact round trip, locations included.

``to_text(parse(to_text(module))) == to_text(module)``.
"""

from __future__ import annotations

import re
from typing import Any

from orchestrator.errors import IRError, SourceLoc
from orchestrator.ir._mlir import ir

_PLACE = re.compile(r'"[^"]*":(\d+):(\d+)')


def to_text(module: Any, *, locations: bool = True) -> str:
    """The module as MLIR text; with ``locations`` each op says which of the user's lines made it."""
    return str(module.operation.get_asm(enable_debug_info=locations))


def parse(text: str, *, file: str = "<text>") -> Any:
    """The module that ``text`` describes, in a context of its own.

    Raises :class:`IRError` ORCH-I002 with the line and column of the first mistake in ``file``.
    """
    from orchestrator.ir.dialect import new_context

    context = new_context()
    try:
        return ir.Module.parse(text, context)
    except ir.MLIRError as error:
        first = error.error_diagnostics[0] if error.error_diagnostics else None
        place = _PLACE.search(str(first.location)) if first is not None else None
        line, column = (int(place[1]), int(place[2])) if place else (1, 1)
        message = first.message if first is not None else str(error)
        raise IRError(
            "ORCH-I002",
            f"cannot read the IR, at line {line}, column {column}: {message}",
            where=SourceLoc(file, line),
        ) from error
