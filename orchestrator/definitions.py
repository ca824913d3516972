"""What a compiled workflow depends on: everything that tracing it again could find changed.

That is its code, and what it finds under the names in it: tools, workflows, functions and classes, constants and
containers of them, attributes of the user's modules and objects; all of these again for the functions it calls. The
files that it reads are in :mod:`orchestrator.dsl.files_read`. What it asks of the world in other ways (the environment,
the clock) counts as it was the first time.

Libraries count as unchanging: nothing is looked up in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from orchestrator.dsl.code_hash import code_hash
from orchestrator.dsl.location import is_user_file
from orchestrator.dsl.tool import Tool
from orchestrator.dsl.workflow import Workflow

_CONSTANTS: Final = (type(None), bool, int, float, complex, str, bytes)


class _Same:
    """Equal for one object only, which it keeps from being replaced by another of its address."""

    __slots__ = ("_object",)

    def __init__(self, value: object) -> None:
        self._object = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._object is other._object

    def __hash__(self) -> int:
        return id(self._object)


def definitions_of(workflow: Workflow[..., Any]) -> Iterator[object]:
    """Hashable objects that are equal as long as ``workflow`` and what it uses are unchanged."""
    return _of(workflow, frozenset(), set())


def _of(value: object, names: Set[str], seen: set[int]) -> Iterator[object]:
    """What ``value`` is to code that mentions ``names``."""
    if isinstance(value, _CONSTANTS):
        yield (type(value), value)
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tool):
        declared = {each.name: getattr(value, each.name) for each in fields(value)}
        yield _Same(declared.pop("fn"))
        yield from _of(declared.pop("check"), names, seen)
        yield repr({name: each for name, each in declared.items() if name != "local_names"})
    elif isinstance(value, Workflow):
        yield repr((value.name, value.slo, value.budget, value.model))
        yield from _of(value.fn, names, seen)
    elif isinstance(value, FunctionType):
        yield from _of_function(value, seen)
    elif isinstance(value, MethodType):
        yield from _of_function(value.__func__, seen)
        yield from _of(value.__self__, _names(value.__func__), seen)
    elif isinstance(value, partial):
        for part in (value.func, value.args, value.keywords):
            yield from _of(part, names, seen)
    else:
        yield from _of_object(value, names, seen)


def _of_function(function: Any, seen: set[int]) -> Iterator[object]:
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType) or not is_user_file(code.co_filename):
        return
    yield code_hash(function)
    names = _names(function)
    for name in sorted(names & function.__globals__.keys()):
        yield name
        yield from _of(function.__globals__[name], names, seen)
    for cell in function.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:  # not bound yet
            continue
        yield from _of(content, names, seen)


def _of_object(value: object, names: Set[str], seen: set[int]) -> Iterator[object]:
    yield type(value)
    if isinstance(value, (list, tuple)):
        items = tuple(value)
        if all(type(item) in _CONSTANTS for item in items):  # a large one in little time
            yield (*map(type, items), *items)
            return
        for item in items:
            yield from _of(item, names, seen)
    elif isinstance(value, Set):
        yield frozenset(item if isinstance(item, _CONSTANTS) else _Same(item) for item in tuple(value))
    elif isinstance(value, Mapping):
        for key, item in list(value.items()):  # at once, as others may change it
            yield key if isinstance(key, _CONSTANTS) else _Same(key)
            yield from _of(item, names, seen)
    elif isinstance(value, ModuleType):
        if is_user_file(getattr(value, "__file__", None) or ""):
            yield from _attributes(value, names & vars(value).keys(), names, seen)
    else:
        yield _Same(value)
        if not isinstance(value, type):
            own = getattr(value, "__dict__", {})
            yield from _attributes(value, _fields(value) or names & own.keys(), names, seen)


def _attributes(value: object, which: Set[str], names: Set[str], seen: set[int]) -> Iterator[object]:
    for name in sorted(which):
        yield name
        yield from _of(getattr(value, name, None), names, seen)


def _fields(value: object) -> frozenset[str]:
    """The fields of a model or dataclass, which may be used as a whole."""
    model_fields = getattr(type(value), "model_fields", None)
    if isinstance(model_fields, Mapping):
        return frozenset(model_fields)
    return frozenset(each.name for each in fields(value)) if is_dataclass(value) else frozenset()


def _names(function: Any) -> frozenset[str]:
    code = getattr(function, "__code__", None)
    return frozenset(_code_names(code)) if isinstance(code, CodeType) else frozenset()


def _code_names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_names(constant)
