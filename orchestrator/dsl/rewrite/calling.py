"""Methods and functions that rewritten code calls, and f-strings: Python's own on concrete arguments, else ops."""

from __future__ import annotations

import random as chance
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from io import StringIO
from types import BuiltinFunctionType
from typing import Any, Final

from orchestrator.dsl import operations
from orchestrator.dsl.observing import now, random
from orchestrator.dsl.placeholders.meaning import LAYOUT
from orchestrator.dsl.placeholders.unasked import READERS
from orchestrator.dsl.rewrite.comprehending import list_of
from orchestrator.dsl.rewrite.owning import changeable_here, drawable_here, drawable_in_region, fresh
from orchestrator.dsl.rewrite.plain import is_symbolic, part
from orchestrator.dsl.rewrite.watching import changing, is_changing, is_users, method_of, watched
from orchestrator.dsl.sleeping import sleep
from orchestrator.dsl.tool import call
from orchestrator.dsl.tracing.tracer import Value, current_tracer
from orchestrator.dsl.types.kinds import MUTATORS
from orchestrator.dsl.types.typing import fields_of, type_string
from orchestrator.errors import Error


def method(receiver: Any, name: str) -> Any:
    """``receiver.name``, to be called."""
    if isinstance(receiver, Value):
        if name in MUTATORS and operations.method(receiver, name) is None and not _has_field(receiver, name):
            return _refusing_change(receiver, name)
    elif name == "gather" and receiver is sys.modules.get("asyncio"):  # which costs too much to import here
        return _gathered
    elif name in MUTATORS and isinstance(receiver, (list, dict, set, deque)):
        fix = "give it a line of its own, on a local name: last = xs.pop()"
        if not changeable_here(receiver, f".{name}()", fix):
            return _nothing
    if current_tracer() is None:
        return getattr(receiver, name)
    if isinstance(receiver, (Value, str, list, tuple, dict, set, frozenset)):
        found = operations.method(receiver, name)
        return method_of(receiver, getattr(receiver, name)) if found is None else _drawing(found)
    found = getattr(receiver, name)
    made = found if isinstance(receiver, StringIO) else _native(found)
    return _going_through(method_of(receiver, found) if made is found else made)


def own_attribute(receiver: Any, name: str) -> Any:
    """``receiver._name``: a placeholder has some of its own, which are nothing of the value's."""
    if not isinstance(receiver, Value):
        return getattr(receiver, name)
    if not name.startswith("__"):
        return operations.field(receiver, name)
    if receiver._type is Any and receiver._ssa is None:  # of what has been reported
        return receiver
    tp = type_string(receiver._type)
    return receiver._tracer.report(
        "ORCH-D011",
        f"`.{name}` of {tp} `{receiver._origin.name}`, which is only known when the workflow runs",
        why="it would be that of the placeholder: the workflow is traced before any model or tool has answered",
        fix="take it in a tool: @tool(effects='pure')",
    )


def class_name(value: Any, ask: Any = None) -> Any:
    """``type(value).__name__``, or ``value.__class__.__name__``."""
    if isinstance(value, Value) and ask in (type, None):
        if value._type is Error:
            return value._tracer.builtin("class_name", {"error": value}, str)
        return own_attribute(value, "__class__")
    return (value.__class__ if ask is None else function(ask)(value)).__name__


def _has_field(value: Value[Any], name: str) -> bool:
    return value._type is Any or name in (fields_of(value._type) or ())


def _refusing_change(receiver: Value[Any], name: str) -> Any:
    def refused(*args: Any, **kwargs: Any) -> Any:
        return receiver._tracer.report(
            "ORCH-D052",
            f"`.{name}()` changes `{receiver._origin.name}`, which others may hold, and its result is used",
            why="a value of a workflow is never changed; a name can be given a changed one",
            fix="give it a line of its own, on a local name: last = xs.pop()"
            if name == "pop"
            else "write it as a statement of its own on a local name, or build the new value: xs + [x]; of an item "
            "d[k] = d.get(k, []) + [x]",
        )

    return refused


def _nothing(*_: Any, **__: Any) -> None:
    """Do nothing: it is called in the place of a change that has been reported."""


def _gathered(*awaitables: Any, **_: Any) -> list[Any]:
    return list(awaitables)


def function(called: Any) -> Any:
    """A function of Python or its library, which is given symbolic arguments as well, or refuses them."""
    return _native(called) if any(called is each for each in _LOOKING) else _going_through(_native(called))


_LOOKING: Final = (isinstance, iter, next, type, id, callable, hasattr, getattr, repr, str, bool)
"""Functions that leave an iterator as it is, or see to it themselves."""


def _going_through(called: Any) -> Any:
    """A function, which may use up an iterator that it is given: refused where that would be seen."""
    tracer = current_tracer()
    if tracer is None or tracer.scope.outer is None or isinstance(called, Value):
        return called

    def applied(*args: Any, **kwargs: Any) -> Any:
        if not all(isinstance(each, StringIO) or drawable_in_region(each) for each in args):
            return _nothing()
        made = called(*args, **kwargs)
        return fresh(made) if isinstance(made, Iterator) else made

    return applied


def _native(called: Any) -> Any:  # noqa: PLR0911 - a case each
    if current_tracer() is None or isinstance(called, Value):  # which says itself that it cannot be called
        return called
    if isinstance(called, type) and fields_of(called) is not None:
        return _building(called)
    if called is map or called is filter:
        return _mapping if called is map else _filtering
    if called is next:
        return _next
    if (durable := _durable(called)) is not None:
        return durable
    if not operations.has_builtin(called):
        if is_changing(called):
            return changing(called)
        if is_users(called):
            return _making(watched(called)) if isinstance(called, type) else watched(called)
        if isinstance(called, partial):
            return watched(called)
        return _refusing(called) if _reads(called) else _making(called) if isinstance(called, type) else called

    def applied(*args: Any, **kwargs: Any) -> Any:
        if any(map(_asks, args)) or any(map(_asks, kwargs.values())):
            return operations.builtin_call(called, args, kwargs)
        made = called(*args, **kwargs)
        return fresh(made) if isinstance(made, Iterator) else made

    return applied


def _durable(called: Any) -> Any:
    """What a function of Python's that waits, draws or tells the time is as an op; None for any other."""
    if called is time.sleep:
        return sleep
    if called is getattr(sys.modules.get("asyncio"), "sleep", time):  # which costs too much to import here
        return _sleeping
    if called is time.time:
        return _time
    if isinstance(called, BuiltinFunctionType) and called == datetime.now:  # another one each time it is asked for
        return _now
    return random if called is chance.random else None


def _time() -> Any:
    """``time.time()``."""
    return method(now(), "timestamp")()


def _now(tz: Any = None) -> Any:
    """``datetime.now(UTC)``; what else it is called with has been refused (:mod:`.lint`)."""
    return now() if tz is UTC else datetime.now(tz)


def _sleeping(delay: Any, result: Any = None) -> Any:
    """``asyncio.sleep(...)``, to which less than nothing is nothing."""
    sleep(function(max)(delay, 0))
    return result


def _making(made: Callable[..., Any]) -> Callable[..., Any]:
    """A class, whose objects the region that makes them may change."""
    return lambda *args, **kwargs: fresh(made(*args, **kwargs))


def _drawing(found: Callable[..., Any]) -> Callable[..., Any]:
    """A method of Python's, which may go through what it is given."""

    def applied(*args: Any, **kwargs: Any) -> Any:
        return found(*args, **kwargs) if all(map(drawable_in_region, args)) else _nothing()

    return applied


def _building(model: type) -> Callable[..., Any]:
    """A model or dataclass, which is built of symbolic values when the workflow runs."""

    def built(*args: Any, **kwargs: Any) -> Any:
        if any(map(operations.holds_symbolic, (*args, *kwargs.values()))):
            return call(model, *args, **kwargs)
        return model(*args, **kwargs)

    return built


def _next(items: Any, *default: Any) -> Any:
    """``next(...)``: a generator expression is a list here, of which this is the first."""
    if not drawable_here(items):
        return _nothing()
    return _refusing(next)(iter(items) if isinstance(items, list) else items, *default)


def _mapping(applied: Any, *sources: Any) -> Any:
    """``map(f, xs)``."""
    applied = function(applied)
    if not any(map(_asks, sources)):
        return map(applied, *sources)
    if len(sources) == 1:
        return list_of(sources[0], None, applied)
    pairs = operations.builtin_call(zip, sources, {})
    return list_of(pairs, None, lambda item: applied(*(part(item, at, len(sources)) for at in range(len(sources)))))


def _filtering(applied: Any, source: Any) -> Any:
    """``filter(f, xs)``."""
    applied = None if applied is None else function(applied)
    if not _asks(source):
        return filter(applied, source)
    return list_of(source, applied if applied is not None else lambda item: item, lambda item: item)


def _reads(called: Any) -> bool:
    """Whether a function looks into what it is given, so that it would answer for the placeholder."""
    kind = type(called)
    module = getattr(called, "__module__", None) or kind.__module__
    if module == "builtins":
        return called in _OF_VALUES
    return str(module).lstrip("_").partition(".")[0] in READERS and getattr(called, "__name__", "") not in LAYOUT


_OF_VALUES: Final = (
    print,
    hash,
    type,
    id,
    iter,
    next,
    callable,
    ascii,
    vars,
    dir,
    open,
    eval,
    exec,
    bytes,
    bytearray,
    complex,
)


def _refusing(called: Callable[..., Any]) -> Callable[..., Any]:
    def refused(*args: Any, **kwargs: Any) -> Any:
        writes = called is print and isinstance(kwargs.get("file"), StringIO)  # where a prompt is put together
        if writes or not any(map(operations.holds_symbolic, (*args, *kwargs.values()))):
            made = (watched(called) if writes else called)(*args, **kwargs)
            return fresh(made) if called is iter or isinstance(called, type) else made
        tracer = current_tracer()
        assert tracer is not None
        name = getattr(called, "__qualname__", repr(called))
        return tracer.report(
            "ORCH-D006",
            f"{name}() is given something that is only known when the workflow runs",
            why="it would answer for the placeholder: the workflow is traced before any model or tool has answered",
            fix="call it in a tool that takes the values: @tool(effects='pure')",
        )

    return refused


def _asks(argument: Any) -> bool:
    """Whether a builtin function needs more of an argument than Python has."""
    if isinstance(argument, (list, tuple, set, frozenset)):
        return any(map(is_symbolic, argument))
    return is_symbolic(argument) or isinstance(argument, operations.SymbolicRange)


def formatted(value: Any, conversion: int, spec: Any) -> Any:
    """``{value!r:spec}`` in an f-string."""
    if not isinstance(value, (Value, str)) and operations.holds_symbolic(value):
        value = operations.as_value(value)
    convert = _CONVERSIONS.get(conversion)
    if convert is not None and not (convert is str and not spec and is_symbolic(value)):
        value = function(convert)(value)
    if is_symbolic(value) or is_symbolic(spec):
        return operations.builtin_call(format, (value, spec), {}) if spec else value
    return format(value, spec)


_CONVERSIONS: Final[Mapping[int, Callable[[Any], str]]] = {ord("s"): str, ord("r"): repr, ord("a"): ascii}
