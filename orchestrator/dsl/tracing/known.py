"""Objects that tracing knows: what can be reached from them, and what stands for them in values.

An object of Python gets a :class:`~.sharing.Thing` when a value is made of it: the value goes on saying what the object
was, so the object must not be changed for others.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from functools import lru_cache, partial
from types import BuiltinMethodType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from orchestrator.dsl.source.location import is_user_file, user_frames
from orchestrator.dsl.source.same import held_by
from orchestrator.dsl.tracing.sharing import FIXED, Shares, Thing, Things, either, of
from orchestrator.dsl.tracing.tracer import Tracer, Value

_NONE: Final[Things] = frozenset()


def is_fixed(thing: object) -> bool:
    """Whether nobody can change an object, or reach another from it."""
    return not isinstance(thing, Value) and isinstance(thing, (*FIXED, type, ModuleType))


_PLAIN: Final = frozenset({str, bytes, int, float, complex, bool, type(None)})


def is_plain(thing: object) -> bool:
    """Whether a container holds nothing but texts and numbers, which is quickly told."""
    if isinstance(thing, dict):
        return _PLAIN.issuperset(map(type, thing)) and _PLAIN.issuperset(map(type, thing.values()))
    return isinstance(thing, (list, tuple, set, frozenset)) and _PLAIN.issuperset(map(type, thing))


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


def is_known_outside(tracer: Tracer, thing: object) -> bool:
    """Whether a container was there before the workflow was traced: in one of its globals, or around it.

    It is asked at each change. So what can be reached from a name is looked through once in a trace, and again where
    the name holds something else, or more or less: what else becomes of it is done by code that is watched.
    """
    found = tracer.outside
    for call in tracer.inlining:
        for root in _roots(call.fn):
            if not isinstance(root, _CONTAINERS) or isinstance(root, Value):
                continue
            if (seen := found.get(id(root))) is None or seen[1] != len(root):
                seen = found[id(root)] = root, len(root), _reached(root)
            if id(thing) in seen[2]:
                return True
    return False


_CONTAINERS: Final = (list, dict, set, tuple)


def _roots(called: Callable[..., Any]) -> Iterator[object]:
    function = getattr(called, "__func__", called)
    if not isinstance(function, FunctionType):
        return
    for name in _names(function.__code__):
        yield function.__globals__.get(name)
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # not bound yet
            yield cell.cell_contents


def _reached(root: object) -> dict[int, object]:
    """The containers that can be reached from one, by identity, which lasts as long as they are held here."""
    found: dict[int, object] = {}
    todo = [root]
    while todo:
        each = todo.pop()
        if isinstance(each, _CONTAINERS) and not isinstance(each, Value) and id(each) not in found:
            found[id(each)] = each
            todo += () if is_plain(each) else members(each)
    return found


@lru_cache(maxsize=256)
def _names(code: CodeType) -> frozenset[str]:
    """The names of globals and attributes in code."""
    inner = (_names(each) for each in code.co_consts if isinstance(each, CodeType))
    return frozenset(code.co_names).union(*inner)


def joined(tracer: Tracer, made: object, contents: Sequence[object]) -> object:
    """``made``, an object that stands for one of several."""
    register(tracer, made, either([of_object(tracer, each) for each in contents]).own)
    return made
