"""Whether two functions are one: what a tool's name must mean everywhere in a workflow.

A ``def`` in a function that runs several times makes a new function each time. They are one where they come of the same
code and hold the same objects: closure, defaults, the instance of a method.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import CellType, FunctionType, MethodType

_BY_VALUE = (type(None), bool, int, float, complex, str, bytes)


def same_function(first: object, second: object) -> bool:
    """Whether calls of the two do the same, as far as code and captured objects tell."""
    return _same(first, second, set())


def held_by(function: object) -> Iterator[object]:
    """What a function holds on to: the contents of its closure, its defaults, what a partial or method is bound to."""
    if isinstance(function, partial):
        yield from (function.func, *function.args, *function.keywords.values())
    elif isinstance(function, MethodType):
        yield from (function.__func__, function.__self__)
    elif isinstance(function, FunctionType):
        yield from function.__defaults__ or ()
        yield from (function.__kwdefaults__ or {}).values()
        for cell in function.__closure__ or ():
            yield _content(cell)


def _same(first: object, second: object, assumed: set[tuple[int, int]]) -> bool:
    if first is second or (id(first), id(second)) in assumed:
        return True
    if isinstance(first, _BY_VALUE):
        return type(first) is type(second) and first == second
    if not _alike(first, second):
        return False
    assumed.add((id(first), id(second)))  # functions may hold each other
    ours, theirs = list(held_by(first)), list(held_by(second))
    return len(ours) == len(theirs) and all(_same(a, b, assumed) for a, b in zip(ours, theirs, strict=True))


def _alike(first: object, second: object) -> bool:
    """Whether both are functions, partials or methods, which do the same if they hold the same objects."""
    if isinstance(first, FunctionType) and isinstance(second, FunctionType):
        return first.__code__ is second.__code__ and first.__globals__ is second.__globals__
    if isinstance(first, partial) and isinstance(second, partial):
        return first.keywords.keys() == second.keywords.keys()
    return isinstance(first, MethodType) and isinstance(second, MethodType)


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return None
