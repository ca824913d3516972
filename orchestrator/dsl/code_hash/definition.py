"""The definition of a function or class in the user's source, read once."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any
from weakref import ref

from orchestrator.dsl.code_hash.canonical import canonical
from orchestrator.dsl.code_hash.described import without_words
from orchestrator.dsl.code_hash.objects import functions_in, globals_of
from orchestrator.dsl.code_hash.reads import Reads, reads_of
from orchestrator.dsl.source.location import is_user_file
from orchestrator.dsl.source.syntax import first_line, function_at, has_source, is_as_loaded, source_of

_known: dict[int, tuple[ref[Any], Definition | None]] = {}
"""Its keys are the identities of code objects and classes, as code objects of different texts may be equal."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What is the same in every process."""

    text: str
    reads: Reads
    defaults: list[ast.expr]
    """These are the defaults of a function's parameters, as they are written."""


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
    if node is None:
        return None
    defaults = [*node.args.defaults, *(each for each in node.args.kw_defaults if each is not None)]
    return Definition(canonical(node), reads_of(node), defaults)


def _of_class(cls: type) -> Definition | None:
    functions = [each for each in functions_in(cls) if each.__qualname__ == f"{cls.__qualname__}.{each.__name__}"]
    own = [each for each in functions if _is_written(each.__code__.co_filename)]
    if not all(is_as_loaded(each.__code__) for each in own):
        return None
    of_module = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
    files = [of_module, *(each.__code__.co_filename for each in own)]
    nodes = next((found for file in files if (found := source_of(file).classes.get(cls.__qualname__))), [])
    if len(nodes) > 1:  # in the arms of an `if`
        nodes = [each for each in nodes if _is_at(each, cls, own)] or nodes
    if not nodes:
        return None
    whole = without_words(nodes[0] if len(nodes) == 1 else ast.Module([*nodes], []), globals_of(cls))
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
