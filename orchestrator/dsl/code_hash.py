"""A hash of what a tool does, equal in every process, so that a redeploy re-executes only what changed.

It covers the bytecode, names and constants of the function and of the code nested in it, its defaults and closure, and
the functions and constants of its own module that it names. Comments, line numbers and the tool's docstring do not
count. What it uses from other modules counts by name only: its behaviour is that module's version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType
from typing import Any, TypeAlias

_Token: TypeAlias = "str | Iterator[_Token]"
"""A text, or what comes in its place."""
_CONSTANTS = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))


def code_hash(function: Callable[..., object], *context: str) -> str:
    """16 hex digits for ``function``; ``context`` adds what else matters, like the declared effects."""
    digest = hashlib.sha256()
    for token in (*context, *_flat(_callable(function, set()))):
        digest.update(token.encode(errors="surrogatepass"))  # a module's name may come from a path that is no text
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _flat(tokens: Iterator[_Token]) -> Iterator[str]:
    """The texts in order. A stack and no recursion: functions may call each other in long chains."""
    unfinished = [tokens]
    while unfinished:
        for token in unfinished[-1]:
            if not isinstance(token, str):
                unfinished.append(token)
                break
            yield token
        else:
            unfinished.pop()


def _callable(value: object, seen: set[int]) -> Iterator[_Token]:
    """Tokens of a function, or of the function behind a bound method, a partial, a decorator object or an instance."""
    if isinstance(value, partial):
        yield _callable(value.func, seen)
        yield _object((value.args, value.keywords), seen)
        return
    yield _name(value)
    for attribute in ("__func__", "__wrapped__"):
        if not isinstance(value, FunctionType):
            value = getattr(value, attribute, value)
    if not isinstance(value, FunctionType):
        value = vars(type(value)).get("__call__")
    if isinstance(value, FunctionType) and id(value) not in seen:
        seen.add(id(value))
        yield _function(value, seen)


def _function(function: FunctionType, seen: set[int]) -> Iterator[_Token]:
    code = function.__code__
    has_docstring = function.__doc__ is not None and code.co_consts[:1] == (function.__doc__,)
    yield from _code(code, (None, *code.co_consts[1:]) if has_docstring else code.co_consts)
    yield _object((function.__defaults__, function.__kwdefaults__), seen)
    for cell in function.__closure__ or ():
        try:
            yield _object(cell.cell_contents, seen)
        except ValueError:  # the enclosing function has not bound it yet
            yield "unbound"
    for name in _names(code):
        value = function.__globals__.get(name)
        local = isinstance(value, FunctionType) and value.__module__ == function.__module__
        if local or (name in function.__globals__ and isinstance(value, _CONSTANTS)):
            yield name
            yield _object(value, seen)


def _code(code: CodeType, constants: tuple[object, ...]) -> Iterator[str]:
    yield f"{code.co_name} {code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_freevars}"
    for constant in constants:
        yield from _constant(constant)


def _constant(constant: object) -> Iterator[str]:
    if isinstance(constant, CodeType):
        yield from _code(constant, constant.co_consts)
    elif isinstance(constant, tuple):
        for item in constant:
            yield from _constant(item)
    elif isinstance(constant, frozenset):
        yield from sorted(map(repr, constant))  # its iteration order differs between processes
    else:
        yield repr(constant)


def _object(value: object, seen: set[int]) -> Iterator[_Token]:
    """A default, closure cell or global: constants by value, functions by code, anything else by type."""
    if isinstance(value, _CONSTANTS):
        yield repr(value)
    elif isinstance(value, (tuple, list, dict)):
        if id(value) in seen:
            yield "within itself"
            return
        seen.add(id(value))
        yield _items(value, seen)
        seen.discard(id(value))
    elif isinstance(value, type):
        yield _name(value)
    else:
        yield _callable(value, seen)


def _items(value: tuple[object, ...] | list[object] | dict[Any, object], seen: set[int]) -> Iterator[_Token]:
    if not isinstance(value, dict):
        for item in value:
            yield _object(item, seen)
        return
    for key in sorted(value, key=str):
        yield str(key)
        yield _object(value[key], seen)


def _name(value: object) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}"


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
