"""Modules as MLIR text: an exact round trip, locations included.

``to_text(parse(to_text(module))) == to_text(module)``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from orchestrator.errors import Diagnostic, IRError, SourceLoc
from orchestrator.ir._mlir import ir
from orchestrator.ir.walk import MOST_NESTED, literal_bytes

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|//.*|->|([(\[{<])|([)\]}>])')
_MOST_BRACKETS: Final = 4 * MOST_NESTED
"""MLIR's parser overflows the stack, and so ends the process, where brackets are nested some thousands deep."""
_TEXT: Final = "-"
"""What MLIR calls the file of a text."""
_PLACE = re.compile(r'"[^"]*":(\d+):(\d+)')


def to_text(module: Any, *, locations: bool = True) -> str:
    """The module as MLIR text; with ``locations`` each op says which of the user's lines made it."""
    return str(module.operation.get_asm(enable_debug_info=locations))


def parse(text: str, *, file: str = "<text>") -> Any:
    """The module that ``text`` describes, in a context of its own, with nothing wrong in it.

    Raises :class:`IRError` ORCH-I002 with the line and column of the first mistake in ``file``, ORCH-I003
    where the text is nested too deep to be read, and everything that :func:`orchestrator.ir.verify.verify` finds. As in
    MLIR, ops without a location of their own are where they stand in the text.
    """
    from orchestrator.ir.verify import verify

    module = read(text, file=file)
    try:
        verify(module)
    except IRError as error:
        raise IRError.collect([_in_file(each, file) for each in error.diagnostics]) from None
    return module


def parse_file(path: Path) -> Any:
    """As :func:`parse`; what has no location of its own is where it stands in the file."""
    from orchestrator.ir.verify import verify

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise IRError("ORCH-I002", f"the file is no text: {error}", where=SourceLoc(str(path), 1, column=1)) from None
    module = read(text, file=str(path), of_file=True)
    try:
        verify(module)
    except IRError as error:
        raise IRError.collect([_in_file(each, str(path)) for each in error.diagnostics]) from None
    return module


def _is_text(literal: str) -> bool:
    """Whether a string literal, or a comment, holds text; to read any other one from MLIR may end the process."""
    try:
        literal_bytes(literal).decode()
    except UnicodeDecodeError:
        return literal.startswith("//")
    return True


def _in_file(found: Diagnostic, file: str) -> Diagnostic:
    where = found.where
    if where is None:  # of the text as a whole
        return replace(found, where=SourceLoc(file, 1, column=1))
    return replace(found, where=replace(where, file=file)) if where.file == _TEXT else found


def read(text: str, *, file: str = "<text>", of_file: bool = False) -> Any:
    """As :func:`parse`, without a look at what the module means; the text may be that ``of_file`` ``file``."""
    from orchestrator.ir.dialect import new_context

    depth, before = 0, None
    for found in _BRACKETS.finditer(text):
        depth += bool(found[1]) - bool(found[2])
        if depth > _MOST_BRACKETS:
            message = f"brackets are nested more than {_MOST_BRACKETS} deep"
            raise IRError("ORCH-I003", message, where=_place(text, found.start(), file))
        if "\\" in found[0] and not _is_text(found[0]):
            raise IRError("ORCH-I002", "a string is no UTF-8", where=_place(text, found.start(), file))
        if before is not None and found[0] == "{" and not text[before : found.start()].strip():
            raise IRError(
                "ORCH-I002", "an op has properties, which none has here", where=_place(text, before - 1, file)
            )
        before = found.end() if found[0] == "<" else None
    context = new_context()
    try:
        return ir.Module.parseFile(file, context) if of_file else ir.Module.parse(text, context)
    except ir.MLIRError as error:
        first = error.error_diagnostics[0] if error.error_diagnostics else None
        place = _PLACE.search(str(first.location)) if first is not None else None
        line, column = (int(place[1]), int(place[2])) if place else (1, 1)
        message = first.message if first is not None else str(error)
        raise IRError(
            "ORCH-I002",
            f"cannot read the IR, at line {line}, column {column}: {message}",
            where=SourceLoc(file, line, column=column),
        ) from error


def _place(text: str, at: int, file: str) -> SourceLoc:
    """Where a character of the text stands."""
    return SourceLoc(file, text.count("\n", 0, at) + 1, column=at - text.rfind("\n", 0, at))
