"""From a function to all that is part of its hash, and to what it reads that cannot be; see :mod:`.covered`."""

from __future__ import annotations

import ast
import builtins
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from enum import Enum
from functools import partial
from hashlib import sha256
from inspect import getattr_static
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, Final, TypeAlias, get_args, get_origin

from orchestrator.dsl.code_hash.atoms import atom, atoms
from orchestrator.dsl.code_hash.bytecode import bytecode, names
from orchestrator.dsl.code_hash.canonical import canonical
from orchestrator.dsl.code_hash.definition import Definition, definition_of_class, definition_of_function
from orchestrator.dsl.code_hash.objects import (
    cells_in,
    contents,
    file_of,
    frozen,
    globals_of,
    is_users,
    own_attributes,
    qualified,
)
from orchestrator.dsl.code_hash.reads import Chain
from orchestrator.dsl.source.location import is_user_file, name_of
from orchestrator.dsl.source.syntax import source_of

Token: TypeAlias = "str | Iterator[Token]"
"""A text, or what comes in its place."""

_IGNORED: Final = (logging.Logger, logging.LoggerAdapter)
_SYNCHRONISING: Final = frozenset({"_thread", "threading", "asyncio.locks"})
_READING_FILES: Final = frozenset({"read_text", "read_bytes"})
_FROM_THE_ENVIRONMENT: Final = (os.environ, os.environb, os.getenv, os.getenvb)
_OF_TYPES: Final = frozenset({"typing", "types", "typing_extensions"})
_OF_US: Final = frozenset({"orchestrator.dsl.tool", "orchestrator.dsl.workflow"})
_PLAIN: Final = (list, dict, set, bytearray)
_BUILT_IN: Final = frozenset({"builtins", "_io", "__builtin__"})
_NOT_THIRD: Final = sys.stdlib_module_names | _BUILT_IN | {"orchestrator", "__main__"}
_OF_A_MODULE: Final = frozenset({"__file__", "__name__", "__doc__", "__package__", "__spec__", "__class__"})
_MOST_NESTED: Final = 100


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something that a function reads and that is not part of its hash."""

    reader: str
    name: str
    """It is what the reader calls it; empty where it is the reader itself."""
    what: str

    def __str__(self) -> str:
        return f"`{self.reader}` reads `{self.name}` ({self.what})" if self.name else f"`{self.reader}`: {self.what}"


def digest_of(tokens: Iterator[Token]) -> Any:
    """Of the texts in order. A stack and no recursion: functions may call each other in long chains."""
    digest = sha256()
    unfinished = [tokens]
    while unfinished:
        for token in unfinished[-1]:
            if not isinstance(token, str):
                unfinished.append(token)
                break
            text = token.encode(errors="surrogatepass")  # a name may come from a path that is no text
            digest.update(len(text).to_bytes(8, "little") + text)
        else:
            unfinished.pop()
    return digest


class _Reader:
    """A function or class, and where it finds its names."""

    __slots__ = ("cells", "globals", "name", "rebound")

    def __init__(
        self, name: str, namespace: Mapping[str, Any], cells: Mapping[str, Any], rebound: Set[str] = frozenset()
    ) -> None:
        self.name = name
        self.globals = namespace
        self.cells = cells
        self.rebound = rebound


class Walk:
    """One visit of everything; what is met again is told by its number."""

    def __init__(self, depth: int = 0) -> None:
        self.unseen: dict[Unseen, None] = {}
        self.packages: set[str] = set()
        self._depth = depth
        self._numbers: dict[int, int] = {}
        self._met: list[object] = []
        """Keeps what is numbered from being replaced by another of its address."""

    def function_like(self, value: Any) -> Iterator[Token]:
        """What is called as a tool: its annotations are those of a boundary, and count."""
        yield self.value(value, _Reader(name_of(value), {}, {}), "self", is_boundary=True)

    def value(  # noqa: C901, PLR0912 - one case for each kind of thing
        self, value: Any, reader: _Reader, name: str, rest: Chain = (), *, is_boundary: bool = False
    ) -> Iterator[Token]:
        """What ``value`` adds to the hash of a reader that calls it ``name``, and looks up ``rest`` in it."""
        kind = type(value)  # and not isinstance, which asks a proxy what it stands for
        text = atom(value)
        if text is not None:
            yield text
        elif any(value is each for each in _FROM_THE_ENVIRONMENT):
            self._leave_out(reader, name, "the environment")
        elif value is builtins.open:
            self._leave_out(reader, name, "a file")
        elif issubclass(kind, FunctionType):
            yield self._function(value, reader, is_boundary=is_boundary)
            if rest and rest[0] in vars(value):
                yield self.value(vars(value)[rest[0]], reader, f"{name}.{rest[0]}", rest[1:])
        elif issubclass(kind, type):
            yield self._class(value, reader, name, rest)
        elif issubclass(kind, ModuleType):
            yield self._module(value, reader, name, rest)
        elif issubclass(kind, Enum):
            yield from (self._class(kind, reader, name), str(value._name_))
        elif issubclass(kind, tuple):
            yield from self._items(value, kind, reader, name)
        elif kind is frozenset:
            yield from sorted(atoms(value) or (self._apart(each, reader, name) for each in value))  # it has no order
        elif kind is MappingProxyType:
            for key, each in sorted(value.items(), key=lambda entry: repr(entry[0])):
                yield from (repr(key), self.value(each, reader, f"{name}[{key!r}]"))
        elif issubclass(kind, (partial, MethodType, BuiltinFunctionType, staticmethod, classmethod, property)):
            yield from self._wrapper(value, kind, reader, name)
        elif kind.__module__ in _OF_US:
            yield from (self.value(value.fn, reader, name), repr(getattr(value, "model", None)))
        elif kind.__module__ in _OF_TYPES:
            yield f"{kind.__name__} {getattr(value, '__name__', '')}"
            for each in (get_origin(value), *get_args(value)):
                yield self.value(each, reader, name)
        else:
            yield self._object(value, kind, reader, name)

    def _items(self, value: Any, kind: type, reader: _Reader, name: str) -> Iterator[Token]:
        yield f"tuple {len(value)}"
        if kind is not tuple:
            yield self._class(kind, reader, name)
        texts = atoms(value)
        if texts is not None:
            yield "\0".join(texts)
            return
        for number, each in enumerate(tuple.__iter__(value)):
            yield self.value(each, reader, f"{name}[{number}]")

    def _wrapper(self, value: Any, kind: type, reader: _Reader, name: str) -> Iterator[Token]:
        if issubclass(kind, partial):
            yield from ("partial", self.value(value.func, reader, name), self.value(value.args, reader, name))
            for each in sorted(value.keywords):
                yield from (each, self.value(value.keywords[each], reader, f"{each}="))
        elif issubclass(kind, MethodType):
            yield from ("method", self.value(value.__func__, reader, name))
            yield self.value(value.__self__, _Reader(value.__func__.__name__, {}, {}), "self")
        elif issubclass(kind, BuiltinFunctionType):
            self._of_a_library(value)
            yield qualified(value)
            if not isinstance(value.__self__, (ModuleType, type, type(None))):
                yield self.value(value.__self__, reader, name)
        else:
            yield self.value(value.fget if issubclass(kind, property) else value.__func__, reader, name)

    def _object(self, value: Any, kind: type, reader: _Reader, name: str) -> Iterator[Token]:
        if (again := self._again(value)) is not None:
            yield again
            return
        yield self._class(kind, reader, name)
        own = frozen(value)
        if own is not None:
            for field in sorted(own):
                yield from (field, self.value(own[field], reader, f"{name}.{field}"))
            return
        behind = None if issubclass(kind, _PLAIN) else getattr_static(value, "__wrapped__", None)
        if isinstance(behind, (FunctionType, MethodType)):  # of a decorator
            yield self.value(behind, reader, name)
        elif issubclass(kind, _IGNORED) or kind.__module__ in _SYNCHRONISING:
            return
        elif base := next((each for each in (str, bytes, int, float) if issubclass(kind, each)), None):
            yield self.value(base(value), reader, name)
        elif not is_users(kind) or issubclass(kind, _PLAIN) or own_attributes(value):
            self._leave_out(reader, name, _a(kind))

    def _function(self, function: FunctionType, reader: _Reader, *, is_boundary: bool = False) -> Iterator[Token]:
        if not is_user_file(function.__code__.co_filename):
            self._of_a_library(function)
            yield qualified(function)
            yield from self._wrapped_by_a_library(function, reader)
            return
        if (again := self._again(function)) is not None:
            yield again
            return
        known = definition_of_function(function.__code__)
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        rebound = source_of(function.__code__.co_filename).rebound
        own = _Reader(function.__name__, function.__globals__, cells, rebound)
        if known is None:
            what = "its source is not to be had, so its hash is of its bytecode and changes with the version of Python"
            self._leave_out(own, "", what)
            yield from bytecode(function.__code__, function.__doc__)
            chains: list[Chain] = [(each,) for each in names(function.__code__) if each in function.__globals__]
            yield from self._defaults(function, own, [])
            yield from self._chains([*chains, *((each,) for each in cells)], own)
            return
        yield known.text
        yield from self._defaults(function, own, known.defaults)
        yield from self._reads(known, own)
        if is_boundary:
            yield from self._chains(known.reads.annotations, own, is_certain=False)

    def _wrapped_by_a_library(self, function: FunctionType, reader: _Reader) -> Iterator[Token]:
        """The user's function that a library's decorator has taken."""
        inside = [vars(function).get("__wrapped__"), *contents(function)]
        registry = vars(function).get("registry")  # of functools.singledispatch
        if isinstance(registry, Mapping):
            inside += [registry[each] for each in sorted(registry, key=qualified)]
        for each in inside:
            code = getattr(each, "__code__", None)
            if isinstance(each, (FunctionType, MethodType)) and code is not None and is_user_file(code.co_filename):
                yield self.value(each, reader, "")

    def _defaults(self, function: FunctionType, own: _Reader, written: list[ast.expr]) -> Iterator[Token]:
        values = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        positional = function.__code__.co_varnames[: function.__code__.co_argcount]
        keys = [*positional[len(positional) - len(function.__defaults__ or ()) :], *(function.__kwdefaults__ or {})]
        for number, (name, each) in enumerate(zip(keys, values, strict=True)):
            yield f"default {name}"
            if type(each) in _PLAIN and len(written) == len(values):
                yield canonical(written[number])
                if any(isinstance(part, ast.Name) for part in ast.walk(written[number])):
                    self._leave_out(own, name, f"{_a(type(each))}, its default")
            else:
                yield self.value(each, own, name)

    def _reads(self, known: Definition, own: _Reader) -> Iterator[Token]:
        yield from self._chains(known.reads.chains, own)
        if not _READING_FILES.isdisjoint(known.reads.attributes):
            self._leave_out(own, ", ".join(sorted(_READING_FILES & known.reads.attributes)), "a file")
        for each in known.reads.imports:
            self._import(each, own)

    def _chains(self, chains: list[Chain], own: _Reader, *, is_certain: bool = True) -> Iterator[Token]:
        for root, *rest in chains:
            if root in _OF_A_MODULE:
                continue
            if root in own.rebound and (root in own.cells or root in own.globals):
                self._leave_out(own, root, "a name that a function binds anew")
                continue
            if root in own.cells:
                try:
                    found = own.cells[root].cell_contents
                except ValueError:  # the enclosing function has not bound it yet
                    found = own
            elif root in own.globals:
                found = own.globals[root]
            elif root == "open":
                found = builtins.open
            elif hasattr(builtins, root):
                continue
            else:
                found = own
            if not is_certain and _is_notation(found):
                continue
            if found is not own:
                yield from (root, self.value(found, own, root, tuple(rest)))
            elif is_certain:
                self._leave_out(own, root, "not there yet")

    def _class(self, cls: type, reader: _Reader, name: str, rest: Chain = ()) -> Iterator[Token]:
        if cls.__module__ in _BUILT_IN or not is_users(cls):
            self._of_a_library(cls)
            yield qualified(cls)
            return
        yield self._attribute_of_class(cls, reader, name, rest)
        if (again := self._again(cls)) is not None:
            yield again
            return
        for base in cls.__mro__[1:]:
            if is_users(base):
                yield self._class(base, reader, name)
        own = _Reader(cls.__name__, globals_of(cls), cells_in(cls))
        known = definition_of_class(cls)
        if known is None:
            yield from self._made_class(cls, own)
            return
        yield known.text
        yield from self._reads(known, own)
        yield from self._chains(known.reads.annotations, own, is_certain=False)
        for each, shared in vars(cls).items() if not issubclass(cls, Enum) else ():
            if type(shared) in _PLAIN and not each.startswith("__") and each != "model_config":
                self._leave_out(own, f"{cls.__name__}.{each}", _a(type(shared)))

    def _attribute_of_class(self, cls: type, reader: _Reader, name: str, rest: Chain) -> Iterator[Token]:
        """What the reader takes from the class itself."""
        for base in cls.__mro__ if rest else ():
            if rest[0] in vars(base):
                found = vars(base)[rest[0]]
                if not hasattr(type(found), "__get__") and not issubclass(cls, Enum):
                    yield self.value(found, reader, f"{name}.{rest[0]}", rest[1:])
                return

    def _made_class(self, cls: type, own: _Reader) -> Iterator[Token]:
        """A class that no ``class`` statement has made."""
        yield cls.__name__
        generic = vars(cls).get("__pydantic_generic_metadata__")
        if generic and generic["origin"] is not None:
            for each in (generic["origin"], *generic["args"]):
                yield self.value(each, own, cls.__name__)
        elif issubclass(cls, Enum):
            for each, member in cls.__members__.items():
                yield from (each, self.value(member._value_, own, each))
        elif issubclass(cls, tuple) and hasattr(cls, "_fields"):
            yield from cls._fields
            yield self.value(MappingProxyType(vars(cls).get("_field_defaults", {})), own, "_field_defaults")
        elif issubclass(cls, dict) and hasattr(cls, "__total__"):
            for each, annotation in sorted(cls.__annotations__.items()):
                yield from (each, self.value(annotation, own, each))
        else:
            self._leave_out(own, "", "its source is not to be had, so only its name is part of the hash")

    def _module(self, module: ModuleType, reader: _Reader, name: str, rest: Chain) -> Iterator[Token]:
        is_users = is_user_file(getattr(module, "__file__", None) or os.__file__)
        if not is_users:
            self._of_a_library(module)
            if module is os and rest:
                yield self.value(vars(os).get(rest[0]), reader, f"{name}.{rest[0]}")
            elif module.__name__ in ("io", "builtins") and rest == ("open",):
                self._leave_out(reader, f"{name}.open", "a file")
            return
        if not rest:
            self._leave_out(reader, name, "a module, as a whole")
        elif rest[0] not in vars(module):
            self._leave_out(reader, f"{name}.{rest[0]}", "not there yet")
        elif rest[0] in source_of(module.__file__ or "").rebound:
            self._leave_out(reader, f"{name}.{rest[0]}", "a name that a function binds anew")
        else:
            yield self.value(vars(module)[rest[0]], reader, f"{name}.{rest[0]}", rest[1:])

    def _import(self, statement: ast.Import | ast.ImportFrom, own: _Reader) -> None:
        if isinstance(statement, ast.ImportFrom):
            modules = ["." * statement.level + (statement.module or "")]
        else:
            modules = [each.name for each in statement.names]
        for each in modules:
            top = each.partition(".")[0]
            if top in sys.stdlib_module_names:
                continue
            if top and not is_user_file(file_of(top)):
                self.packages.add(top)
            else:
                self._leave_out(own, each, "a module, imported when it runs: import it at the top of the file")

    def _apart(self, value: object, reader: _Reader, name: str) -> str:
        """A digest of one member of a set, whatever the others are."""
        if self._depth > _MOST_NESTED:
            self._leave_out(reader, name, "sets within sets")
            return ""
        walk = Walk(self._depth + 1)
        digest = digest_of(iter([walk.value(value, reader, name)])).hexdigest()
        self.unseen |= walk.unseen
        self.packages |= walk.packages
        return str(digest)

    def _of_a_library(self, value: Any) -> None:
        module = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        top = module.partition(".")[0] if isinstance(module, str) else ""
        if top and top not in _NOT_THIRD and not is_user_file(file_of(top)):
            self.packages.add(top)

    def _leave_out(self, reader: _Reader, name: str, what: str) -> None:
        self.unseen[Unseen(reader.name, name, what)] = None

    def _again(self, value: object) -> str | None:
        """What stands for something that was met before."""
        if id(value) in self._numbers:
            return f"again {self._numbers[id(value)]}"
        self._numbers[id(value)] = len(self._met)
        self._met.append(value)
        return None


def _is_notation(found: object) -> bool:
    """Whether a name in an annotation only says how a type is written: ``Optional[str]`` is ``str | None``."""
    if isinstance(found, ModuleType):
        return found.__name__ in _OF_TYPES
    return (
        getattr(found, "__module__", None) in _OF_TYPES and type(found).__module__ in _OF_TYPES and not get_args(found)
    )


def _a(kind: type) -> str:
    name = kind.__qualname__ if kind.__module__ in _BUILT_IN else f"{kind.__module__}.{kind.__qualname__}"
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"
