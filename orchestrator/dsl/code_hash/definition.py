"""The definition of a function or class in the user's source, read once.

A file may have been edited since Python loaded it, as under a service that is deployed again. Its text is then not that
of the functions which run, so they count as functions without a source.
"""

from __future__ import annotations

import ast
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final
from weakref import ref

from orchestrator.dsl.code_hash.canonical import canonical
from orchestrator.dsl.code_hash.objects import functions_in
from orchestrator.dsl.code_hash.reads import Reads, reads_of
from orchestrator.dsl.location import is_user_file
from orchestrator.dsl.syntax import Source, first_line, function_at, has_source, source_of

_STARTED: Final = time.time()
_known: dict[int, tuple[ref[Any], Definition | None]] = {}
"""By the identity of a code object or class, as code objects of different texts may be equal."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What is the same in every process."""

    text: str
    reads: Reads
    defaults: list[ast.expr]
    """Of the parameters of a function, as they are written."""


def definition_of_function(code: CodeType) -> Definition | None:
    """The definition of a function; None if its source is not to be had."""
    return _once(code, _of_function)


def definition_of_class(cls: type) -> Definition | None:
    """The definition of a class; None if no ``class`` statement is to be had."""
    return _once(cls, _of_class)


def _once(thing: Any, find: Callable[[Any], Definition | None]) -> Definition | None:
    key = id(thing)
    known = _known.get(key)
    if known is None or known[0]() is not thing:
        known = _known[key] = ref(thing, lambda gone: _forget(key, gone)), find(thing)
    return known[1]


def _forget(key: int, gone: ref[Any]) -> None:
    if key in _known and _known[key][0] is gone:
        _known.pop(key, None)


def _of_function(code: CodeType) -> Definition | None:
    node = function_at(code)
    if node is None or not _is_as_loaded(code):
        return None
    defaults = [*node.args.defaults, *(each for each in node.args.kw_defaults if each is not None)]
    return Definition(canonical(node), reads_of(node), defaults)


def _of_class(cls: type) -> Definition | None:
    functions = [each for each in functions_in(cls) if each.__qualname__ == f"{cls.__qualname__}.{each.__name__}"]
    own = [each for each in functions if _is_written(each.__code__.co_filename)]
    if not all(_is_as_loaded(each.__code__) for each in own):
        return None
    of_module = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
    files = [of_module, *(each.__code__.co_filename for each in own)]
    nodes = next((found for file in files if (found := source_of(file).classes.get(cls.__qualname__))), [])
    if len(nodes) > 1:  # in the arms of an `if`
        nodes = [each for each in nodes if _is_at(each, cls, own)] or nodes
    if not nodes:
        return None
    whole = nodes[0] if len(nodes) == 1 else ast.Module([*nodes], [])
    return Definition(canonical(whole), reads_of(whole), [])


def _is_written(file: str) -> bool:
    """Whether it is the user's and has a text; the methods that a dataclass gets are of none, and those of attrs of
    one that it has made up."""
    return is_user_file(file) and has_source(file) and not file.startswith("<attrs ")


def _is_at(node: ast.ClassDef, cls: type, methods: list[FunctionType]) -> bool:
    line = vars(cls).get("__firstlineno__")
    if line is not None:
        return bool(first_line(node) == line)
    return any(node.lineno < each.__code__.co_firstlineno <= (node.end_lineno or 0) for each in methods)


def _is_as_loaded(code: CodeType) -> bool:
    """Whether the text of a file is still what Python has loaded; compared where it is newer than this process."""
    try:
        stamp = Path(code.co_filename).stat()
    except (OSError, ValueError):  # a cell of a notebook
        return True
    if max(stamp.st_mtime, stamp.st_ctime) < _STARTED:
        return True
    source = source_of(code.co_filename)
    if source not in _compiled:
        _compiled.clear()
        _compiled[source] = _codes(source, code.co_filename)
    return code in _compiled[source].get((code.co_firstlineno, code.co_name), ())


_compiled: dict[Source, dict[tuple[int, str], list[CodeType]]] = {}
"""The functions in a file that was looked at closely, the last one."""


def _codes(source: Source, file: str) -> dict[tuple[int, str], list[CodeType]]:
    found: dict[tuple[int, str], list[CodeType]] = defaultdict(list)
    try:
        unfinished = [compile("".join(source.lines), file, "exec", dont_inherit=True)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return found
    while unfinished:
        code = unfinished.pop()
        found[code.co_firstlineno, code.co_name].append(code)
        unfinished += _within(code)
    return found


def _within(code: CodeType) -> Iterator[CodeType]:
    return (each for each in code.co_consts if isinstance(each, CodeType))
