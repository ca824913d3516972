"""Calls of functions that are not compiled, which may change what they are given, or the object that they belong to.

Such a function runs while the workflow is traced. What it changes of an object that the region being traced has not
made would be changed where the region does not run as well. So the objects that it can get at are compared, before and
after; a change is undone and refused.
"""

from __future__ import annotations

import copy
import heapq
import operator
import random
from bisect import insort, insort_left, insort_right
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from io import StringIO
from types import BuiltinMethodType, FunctionType, MethodDescriptorType, MethodType, WrapperDescriptorType
from typing import Any, Final

from orchestrator.dsl.rewrite.owning import changeable_here, refuse_foreign, refuse_others
from orchestrator.dsl.source.location import is_rewritten, is_user_file
from orchestrator.dsl.tracing.known import is_changeable, is_fixed, members
from orchestrator.dsl.tracing.tracer import Tracer, Value, current_tracer
from orchestrator.dsl.types.kinds import MUTATORS

_CONTAINERS: Final = (list, dict, set, deque)
_SPECIAL: Final = frozenset(
    {"__setitem__", "__delitem__", "__iadd__", "__imul__", "__ior__", "__iand__", "__isub__"}
    | {"__setattr__", "__delattr__"}
)
_CHANGING: Final = frozenset(
    {
        heapq.heappush,
        heapq.heappop,
        heapq.heapify,
        heapq.heapreplace,
        heapq.heappushpop,
        insort,
        insort_left,
        insort_right,
    }
    | {operator.setitem, operator.delitem, operator.iadd, operator.iconcat, operator.imul, operator.ior, operator.iand}
    | {operator.isub, operator.ixor, setattr, delattr, random.shuffle}
)
"""Functions of Python that change their first argument."""


def is_changing(called: Any) -> bool:
    """Whether it changes what it is a method of, or its first argument: ``list.append``, ``xs.append``, ``insort``."""
    if isinstance(called, (MethodDescriptorType, WrapperDescriptorType)):
        return called.__name__ in MUTATORS | _SPECIAL
    if isinstance(called, BuiltinMethodType) and isinstance(called.__self__, _CONTAINERS):
        return called.__name__ in MUTATORS | _SPECIAL
    try:
        return called in _CHANGING
    except TypeError:  # not hashable
        return False


def changing(called: Any) -> Callable[..., Any]:
    """The function, which is given what may be changed here, or refuses."""

    def applied(*args: Any, **kwargs: Any) -> Any:
        held = isinstance(called, BuiltinMethodType) and isinstance(called.__self__, _CONTAINERS)
        target = called.__self__ if held else args[0] if args else None
        if isinstance(target, Value):
            return target._tracer.report(
                "ORCH-D052",
                f"`{called.__name__}()` changes `{target._origin.name}`, which is only known when the workflow runs",
                why="a value of a workflow is never changed; a name can be given a changed one",
                fix="write it as a statement of its own on a local name: xs.append(x), d[k] = v",
            )
        return called(*args, **kwargs) if changeable_here(target, f"{called.__name__}()") else None

    return applied


def is_users(called: Any) -> bool:
    """Whether it is a function, method or class of the user's that is not compiled, or an object with such a call."""
    function = called.__func__ if isinstance(called, MethodType) else called
    if isinstance(function, type):
        function = vars(function).get("__init__")
    elif not isinstance(function, FunctionType):
        function = vars(type(function)).get("__call__")
    if not isinstance(function, FunctionType):
        return False
    return not is_rewritten(function.__code__) and is_user_file(function.__code__.co_filename)


def method_of(receiver: Any, called: Any) -> Any:
    """A method of Python's or of a library's, which is watched where a change of its object would be seen."""
    tracer = current_tracer()
    if tracer is None or tracer.scope.outer is None or id(receiver) in tracer.scope.made:
        return called
    if not is_changeable(receiver) or type(receiver).__module__.startswith("orchestrator."):
        return called
    return watched(called)


def watched(called: Any) -> Callable[..., Any]:
    """The function, which is refused what it must not change here."""
    tracer = current_tracer()
    if tracer is None:
        return called  # type: ignore[no-any-return]
    name = getattr(called, "__name__", None) or type(called).__name__
    owner = [] if isinstance(called, (FunctionType, type)) else [getattr(called, "__self__", called)]

    @wraps(called)
    def applied(*args: Any, **kwargs: Any) -> Any:
        with watching(tracer, [*args, *kwargs.values(), *owner], name):
            return called(*args, **kwargs)

    return applied


@contextmanager
def watching(tracer: Tracer, given: list[Any], name: str) -> Iterator[None]:
    """Refuse what is changed in the block, by what has this name, of what it is given."""
    before = [(each, _content(each)) for each in _objects(given)]
    yield
    for each, content in before:
        if not _has(each, content):
            _refuse(tracer, each, content, name)


def _refuse(tracer: Tracer, target: Any, content: Any, name: str) -> None:
    if refuse_foreign(tracer, target, None):
        _put_back(target, content)
    elif tracer.scope.outer is None:
        refuse_others(target, None, in_place=True)
    elif id(target) not in tracer.scope.made:
        _put_back(target, content)
        tracer.report(
            "ORCH-D052",
            f"`{name}()` changes a {type(target).__name__} from outside of {tracer.scope.name}",
            why="that may not run, or run several times; the change would be made once, while the workflow is traced",
            fix="have it return what is new, and give that to the name: xs = xs + added(...)",
        )


def _objects(roots: list[Any]) -> Iterator[Any]:
    seen: set[int] = set()
    todo = [*roots]
    while todo:
        each = todo.pop()
        if isinstance(each, Value) or is_fixed(each) or id(each) in seen:
            continue
        seen.add(id(each))
        if is_changeable(each) and _content(each) is not None:
            yield each
        leads_on = isinstance(each, (*_CONTAINERS, tuple, frozenset, BuiltinMethodType, MethodType, partial))
        if leads_on or (hasattr(each, "__dict__") and not isinstance(each, FunctionType)):
            todo += members(each)


def _content(thing: Any) -> Any:
    """What is in a container, or the attributes of an object."""
    if isinstance(thing, dict):
        return [*thing.items()]
    if isinstance(thing, _CONTAINERS):
        return copy.copy(thing)
    if isinstance(thing, StringIO):
        return None if thing.closed else (thing.getvalue(), thing.tell())
    found = getattr(thing, "__dict__", None)
    return dict(found) if type(found) is dict else None


def _has(thing: Any, content: Any) -> bool:
    """Whether a thing still has what it had; that an object has got a further attribute is no change, as of a cache."""
    if isinstance(thing, set):
        return bool(thing == content)
    if isinstance(thing, (list, deque)):
        return len(thing) == len(content) and all(a is b for a, b in zip(thing, content, strict=True))
    if isinstance(thing, dict):
        pairs = zip(thing.items(), content, strict=False)
        return len(thing) == len(content) and all(key is at and each is it for (key, each), (at, it) in pairs)
    if isinstance(thing, StringIO):
        return not thing.closed and (thing.getvalue(), thing.tell()) == content
    now = vars(thing)
    return all(key in now and now[key] is each for key, each in content.items())


def _put_back(target: Any, content: Any) -> None:
    if isinstance(target, (list, deque)):
        target.clear()
        target.extend(content)
    elif isinstance(target, (dict, set)):
        target.clear()
        target.update(content)
    elif isinstance(target, StringIO):
        if not target.closed:
            target.seek(0)
            target.truncate()
            target.write(content[0])
            target.seek(content[1])
    else:
        vars(target).update(content)
