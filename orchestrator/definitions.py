"""What a compiled workflow depends on: everything that tracing it again could find changed.

That is its code, and what it finds under the names in it: tools, workflows, functions and classes, constants and
containers of them, attributes of the user's modules, classes and objects; all of these again for the functions that it
calls, and the environment where code mentions it. The files that it reads are in
:mod:`orchestrator.dsl.source.files_read`.
What it asks of the world in other ways (the clock, names that it makes up) counts as it was the first time.

Libraries count as unchanging: nothing is looked up in them. This is asked at every call of a workflow, so data is
compared by a digest of its bytes, and everything is visited once for each set of names that code mentions.
"""

from __future__ import annotations

import os
import pickle
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from functools import partial
from hashlib import blake2b
from io import BytesIO
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from orchestrator.dsl.code_hash.objects import is_users, own_attributes
from orchestrator.dsl.source.location import is_user_file
from orchestrator.dsl.static import written
from orchestrator.dsl.tool import Tool
from orchestrator.dsl.workflow import Workflow

_CODE: Final = (Tool, Workflow, FunctionType, MethodType, partial)
_OF_THE_ENVIRONMENT: Final = frozenset({"environ", "environb", "getenv", "getenvb"})
_CONSTANTS: Final = frozenset({type(None), bool, int, float, complex, str, bytes})
_SIGNED: Final = frozenset({float, complex})
"""Numbers that may be equal and print differently: 0.0 and -0.0."""
_OF_MAKING: Final = frozenset({"__new__", "__init__", "__post_init__"})
"""Methods that have done their work where there is an object."""
_DATA: Final = frozenset({list, tuple, set, frozenset, dict})


class _Same:
    """Equal for one object only, which it keeps from being replaced by another of its address."""

    __slots__ = ("_object",)

    def __init__(self, value: object) -> None:
        self._object = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._object is other._object

    def __hash__(self) -> int:
        return id(self._object)


class _Names(frozenset[str]):
    """What code mentions; in one walk equal ones are one object, and told apart by identity."""

    __slots__ = ()


class _Look:
    """Something to look at next, as code that mentions ``names`` uses it."""

    __slots__ = ("names", "value")

    def __init__(self, value: object, names: _Names) -> None:
        self.value = value
        self.names = names


_NO_NAMES: Final = _Names()


def definitions_of(workflow: Workflow[..., Any]) -> Iterator[object]:
    """Hashable objects that are equal as long as ``workflow`` and what it uses are unchanged."""
    walk = _Walk()
    unfinished = [walk.of(workflow, _NO_NAMES)]  # a stack and no recursion, as what users nest may be deep
    while unfinished:
        for found in unfinished[-1]:
            if isinstance(found, _Look):
                unfinished.append(walk.of(found.value, found.names))
                break
            yield found
        else:
            unfinished.pop()


class _Walk:
    """One visit of everything. What is met again is told by its number, so that it counts how often and where it is."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}
        self._digests: dict[int, bytes | None] = {}
        self._names: dict[int, _Names] = {}
        self._distinct: dict[_Names, _Names] = {}
        self._names_in_class: dict[tuple[type, int, Set[str]], _Names] = {}

    def of(self, value: Any, names: _Names) -> Iterator[object]:
        """What ``value`` is to code that mentions ``names``."""
        kind = type(value)  # and not isinstance, which asks a proxy what it stands for
        if kind in _CONSTANTS:
            yield kind, repr(value) if kind in _SIGNED else value
            return
        if issubclass(kind, (FunctionType, Tool)):
            names = _NO_NAMES
        met = id(value), id(names)
        if met in self._numbers:
            yield "again", self._numbers[met]
            return
        self._numbers[met] = len(self._numbers)
        yield kind
        yield from self._of_code(value, kind, names) if issubclass(kind, _CODE) else self._of_rest(value, kind, names)

    def _of_code(self, value: Any, kind: type, names: _Names) -> Iterator[object]:
        if issubclass(kind, Tool):
            declared = {each.name: getattr(value, each.name) for each in fields(value)}
            yield _Same(declared.pop("fn"))
            yield _Look(declared.pop("check"), names)
            yield repr({name: each for name, each in declared.items() if name != "local_names"})
        elif issubclass(kind, Workflow):
            yield _Same(getattr(value.fn, "__func__", value.fn))
            yield repr((value.name, value.slo, value.budget, value.model, value.max_depth))
            yield value.rewrite, value.max_items, value.max_iterations
            yield None if value.static is None else str({name: written(each) for name, each in value.static.items()})
            yield _Look(value.fn, names)
        elif issubclass(kind, FunctionType):
            yield from self._of_function(value)
        elif issubclass(kind, MethodType):
            yield _Look(value.__func__, names)
            yield _Look(value.__self__, self._names_of(value.__func__))
        else:
            for part in (value.func, value.args, value.keywords):
                yield _Look(part, names)

    def _of_rest(self, value: Any, kind: type, names: _Names) -> Iterator[object]:
        if issubclass(kind, ModuleType):
            if is_user_file(getattr(value, "__file__", None) or ""):
                yield from _attributes(vars(value), names, names)
        elif issubclass(kind, type):
            yield _Same(value)
            yield from self._of_class(value, self._names_within(value, names))
        elif issubclass(kind, (list, tuple, deque, Set, Mapping, array, bytearray)):
            yield from self._of_data(value, kind, names)
        else:
            yield from self._of_object(value, kind, names)

    def _of_function(self, function: FunctionType) -> Iterator[object]:
        if not is_user_file(function.__code__.co_filename):
            yield _Same(function)
            return
        yield function.__code__
        names = self._names_of(function)
        if not _OF_THE_ENVIRONMENT.isdisjoint(names):
            yield frozenset(os.environ.items())
        yield from _attributes(function.__globals__, names, names)
        yield from _attributes(function.__dict__, names, names)
        yield _Look(function.__defaults__, names)
        yield _Look(function.__kwdefaults__, names)
        for cell in function.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:  # not bound yet
                yield None
            else:
                yield _Look(content, names)

    def _of_data(self, value: Any, kind: type, names: _Names) -> Iterator[object]:
        digest = self._digest(value) if kind in _DATA else None
        if digest is not None:
            yield digest
        elif issubclass(kind, (array, bytearray)):
            yield bytes(value)
        elif issubclass(kind, (list, tuple, deque)):
            items = tuple(value)
            yield len(items)
            for item in items:
                yield _Look(item, names)
        elif issubclass(kind, Set):
            yield frozenset((type(item), item) if type(item) in _CONSTANTS else _Same(item) for item in tuple(value))
        else:
            entries = list(value.items())  # at once, as others may change it
            yield len(entries)
            for key, item in entries:
                yield (type(key), key) if type(key) in _CONSTANTS else _Same(key)
                yield _Look(item, names)

    def _of_class(self, cls: type, names: _Names) -> Iterator[object]:
        """What the user's part of a class has under these names."""
        for base in cls.__mro__:
            if is_users(base):
                yield from _attributes(vars(base), names, names)

    def _of_object(self, value: Any, kind: type, names: _Names) -> Iterator[object]:
        yield _Same(value)
        if (behind := _behind(value)) is not value:
            yield _Look(behind, names)
        names = self._names_within(kind, names, _OF_MAKING)
        yield from self._of_class(kind, names)
        yield from _attributes(own_attributes(value), names | _fields(kind), names)

    def _digest(self, data: object) -> bytes | None:
        """Of plain data: different wherever it is; None where it holds anything else, or is nested very deeply."""
        if id(data) not in self._digests:
            written = BytesIO()
            try:
                _Plain(written, protocol=5).dump(data)
            except (pickle.PicklingError, RecursionError, RuntimeError):  # the last where others change it meanwhile
                self._digests[id(data)] = None
            else:
                self._digests[id(data)] = blake2b(written.getbuffer(), digest_size=16).digest()
        return self._digests[id(data)]

    def _names_of(self, function: Any) -> _Names:
        code = getattr(function, "__code__", None)
        if not isinstance(code, CodeType):
            return _NO_NAMES
        if id(code) not in self._names:
            self._names[id(code)] = self._one(_code_names(code))
        return self._names[id(code)]

    def _names_within(self, cls: type, names: _Names, unused: Set[str] = frozenset()) -> _Names:
        """``names``, and all that the methods mention that are called by them or by operators, ``unused`` ones not."""
        key = cls, id(names), unused
        if key not in self._names_in_class:
            own = [vars(base) for base in cls.__mro__ if is_users(base)]
            operators = {
                name
                for each in own
                for name, method in each.items()
                if name[:2] == "__" and type(method) is FunctionType
            }
            found: Set[str] = names | (operators - unused)
            new = found
            while new:
                new = {
                    mentioned
                    for each in own
                    for name in new & each.keys()
                    for mentioned in self._names_of(_behind(each[name]))
                } - found
                found = found | new
            self._names_in_class[key] = self._one(found) if own else names
        return self._names_in_class[key]

    def _one(self, names: Iterable[str]) -> _Names:
        made = _Names(names)
        return self._distinct.setdefault(made, made)


class _Plain(pickle.Pickler):
    """Writes lists, tuples, sets and dicts of constants at the speed of C, and gives up at anything else."""

    def reducer_override(self, value: object) -> Any:
        raise pickle.PicklingError(type(value).__name__)


def _attributes(own: Mapping[str, object], which: Set[str], names: _Names) -> Iterator[object]:
    """What of ``which`` there is, as code uses it that mentions ``names``."""
    for name in sorted(which & own.keys()):
        yield name
        yield _Look(own[name], names)


def _behind(value: Any) -> Any:
    """The function of a property or a static, cached or otherwise decorated method; else ``value``."""
    kind = type(value)
    if issubclass(kind, property):
        return value.fget
    if issubclass(kind, (staticmethod, classmethod)):
        return value.__func__
    own = {} if issubclass(kind, (FunctionType, type)) else own_attributes(value)
    return own.get("__wrapped__", own.get("func", value))


def _fields(cls: type) -> frozenset[str]:
    """The fields of a model or dataclass, which may be used as a whole."""
    model_fields = getattr(cls, "model_fields", None)
    if isinstance(model_fields, Mapping):
        return frozenset(model_fields)
    return frozenset(each.name for each in fields(cls)) if is_dataclass(cls) else frozenset()


def _code_names(code: CodeType) -> Iterator[str]:
    """The names in code, and texts that may be names of attributes."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_names(constant)
        elif isinstance(constant, str) and constant.isidentifier():
            yield constant
