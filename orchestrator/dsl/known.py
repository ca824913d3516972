"""Objects that tracing knows: what can be reached from them, and what stands for them in values.

An object of Python gets a :class:`~orchestrator.dsl.sharing.Thing` when a value is made of it: the value goes on saying
what the object was, so the object must not be changed for others.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from functools import partial
from types import BuiltinMethodType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from orchestrator.dsl.location import is_user_file, user_frames
from orchestrator.dsl.same import held_by
from orchestrator.dsl.sharing import FIXED, Shares, Thing, Things, either, of
from orchestrator.dsl.tracer import Tracer, Value

_NONE: Final[Things] = frozenset()


def is_fixed(thing: object) -> bool:
    """Whether nobody can change an object, or reach another from it."""
    return not isinstance(thing, Value) and isinstance(thing, (*FIXED, type, ModuleType))


def members(thing: object) -> Collection[object]:
    """What can be reached from an object in one step, as far as a workflow can get at it."""
    if isinstance(thing, dict):
        return [*thing.values(), *(key for key in thing if not isinstance(key, FIXED))]
    if isinstance(thing, (list, tuple, set, frozenset)):
        return thing
    if isinstance(thing, (FunctionType, MethodType, partial)):
        return list(held_by(thing))
    if isinstance(thing, BuiltinMethodType):
        return (thing.__self__,)
    kind = type(thing)
    module = kind.__module__
    if module in ("builtins", "itertools", "collections", "_collections") or _is_users(kind):
        return [each for each in gc.get_referents(thing) if not isinstance(each, type)]
    return ()


def _is_users(kind: type) -> bool:
    if is_dataclass(kind) or hasattr(kind, "model_fields"):
        return not kind.__module__.startswith("orchestrator.")
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return file is not None and is_user_file(file)


def is_changeable(thing: object) -> bool:
    """Whether an object can be changed itself."""
    return not isinstance(thing, (*FIXED, tuple, frozenset, type, ModuleType, FunctionType, MethodType, partial))


def registered(tracer: Tracer, known: object) -> Things:
    """What stands for an object in values; nothing if no value has been made of it."""
    found = tracer.things.get(id(known))
    return found[1] if found is not None else _NONE


def register(tracer: Tracer, known: object, things: Things | None = None) -> Things:
    """Say what stands for an object in values, by default something new."""
    found = tracer.things.get(id(known))
    if found is None or things is not None:
        found = tracer.things[id(known)] = known, things or frozenset((Thing(tracer.scope, known),))
    return found[1]


def of_object(tracer: Tracer, known: object) -> Shares:
    """What a value made of an object shares: the object, and whatever can be reached from it."""
    if isinstance(known, Value):
        return of(known)
    inner: set[Thing] = set()
    twice = False
    seen: set[int] = {id(known)}
    todo = [*_members_that_matter(known)]
    while todo:
        each = todo.pop()
        if isinstance(each, Value):
            found = of(each)
            twice = twice or found.twice or not inner.isdisjoint(found.all)
            inner |= found.all
        elif id(each) in seen:
            twice = twice or is_changeable(each)
        else:
            seen.add(id(each))
            if is_changeable(each):
                inner |= register(tracer, each)
            todo += _members_that_matter(each)
    return Shares(register(tracer, known) if is_changeable(known) else _NONE, frozenset(inner), twice)


def _members_that_matter(thing: object) -> Iterator[object]:
    return (each for each in members(thing) if isinstance(each, Value) or not isinstance(each, (*FIXED, type)))


def known_objects() -> dict[int, object]:
    """The objects that can be changed and that names of the user hold now, by identity."""
    found: dict[int, object] = {}
    seen: set[int] = set()
    todo = [each for frame in user_frames() for each in frame.f_locals.values()]
    while todo:
        each = todo.pop()
        if isinstance(each, (Value, *FIXED, type, ModuleType)) or id(each) in seen:
            continue
        seen.add(id(each))
        if is_changeable(each):
            found[id(each)] = each
        todo += members(each)
    return found


def known_outside(called: Callable[..., Any]) -> Mapping[int, object]:
    """The containers that were there before a workflow was traced, by identity: of its globals, and from around it."""
    function = getattr(called, "__func__", called)
    found: dict[int, object] = {}
    if not isinstance(function, FunctionType):
        return found
    todo: list[object] = [function.__globals__.get(name) for name in _names(function.__code__)]
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # not bound yet
            todo.append(cell.cell_contents)
    while todo:
        each = todo.pop()
        if isinstance(each, (list, dict, set, tuple)) and not isinstance(each, Value) and id(each) not in found:
            found[id(each)] = each
            todo += members(each)
    return found


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)


def joined(tracer: Tracer, made: object, contents: Sequence[object]) -> object:
    """``made``, an object that stands for one of several."""
    register(tracer, made, either([of_object(tracer, each) for each in contents]).own)
    return made
