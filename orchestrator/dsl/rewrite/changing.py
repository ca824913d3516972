"""Changing objects in place, as ``xs.append(x)`` and ``d[k] = v`` do.

What a region changes must not be seen by its siblings, nor by anyone where it does not run. So inside a region an
object from outside is never changed: its *name* is given a changed copy, which is a result of the region like any
other. That is Python's meaning as long as nobody else holds the object; if somebody does, it is refused. Objects that
were made inside are changed as ever.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Iterator
from types import FrameType, GeneratorType
from typing import Any

from orchestrator.dsl import operations
from orchestrator.dsl.kinds import class_of
from orchestrator.dsl.lifting import lift
from orchestrator.dsl.location import is_rewritten, is_user_file
from orchestrator.dsl.rewrite import values
from orchestrator.dsl.rewrite.plain import IN_PLACE, as_value, binary, is_symbolic
from orchestrator.dsl.rewrite.sharing import may_be_of, may_share
from orchestrator.dsl.tracer import Tracer, Value, current_tracer
from orchestrator.dsl.typing import type_string

_MADE_UP = re.compile(r"(item|value|part|error|subject)_+")
"""Names of the rewriting."""
_CONTAINERS = (list, dict, set)


def fresh(made: Any) -> Any:
    """An object that has just been made: the region that is being traced may change it."""
    tracer = current_tracer()
    if tracer is not None and tracer.scope.outer is not None:
        tracer.scope.made[id(made)] = made
    return made


def _is_own(tracer: Tracer, target: Any) -> bool:
    """Whether the region being traced made the object, or none is: then there is nobody to hide a change from."""
    return tracer.scope.outer is None or id(target) in tracer.scope.made


def _writable(target: Any, name: str | None = None) -> Any:
    """``target``, or a copy that the region may change."""
    tracer = current_tracer()
    if tracer is None or _is_own(tracer, target):
        return target
    refuse_aliases(target, name)
    return fresh(copy.copy(target))


def changed(target: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a local name holds after ``name.method(...)`` stood there as a statement."""
    if isinstance(target, Value):
        refuse_aliases(target, None)
        return _changed_value(target, method, args, kwargs)
    if isinstance(target, _CONTAINERS):
        if any(map(is_symbolic, (*args, *kwargs.values()))) and not (
            method in ("append", "insert") and isinstance(target, list)
        ):
            tracer = current_tracer()
            if tracer is not None and (method, type(target)) not in _HOLDING:
                return _changed_value(lift(tracer, target), method, args, kwargs)
        target = _writable(target)
    getattr(target, method)(*args, **kwargs)
    return target


_HOLDING = frozenset({("setdefault", dict)})
"""Changes that put a symbolic value into a concrete container, apart from those of lists."""


def _changed_value(target: Value[Any], method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    found = values.changed(target, method, args, kwargs)
    if found is not None:
        return found
    return target._tracer.report(
        "ORCH-D052",
        f"`.{method}()` would change `{target._origin.name}`, which is only known when the workflow runs",
        fix="build the new value: xs + [x], xs[1:], {**d, k: v}; or do it in a tool: @tool(effects='pure')",
    )


def augmented(target: Any, name: str, value: Any) -> Any:
    """What ``target += value`` leaves in the name."""
    if isinstance(target, _CONTAINERS) and not isinstance(target, Value):
        if isinstance(value, Value) or is_symbolic(value):
            return binary(name, as_value(target), as_value(value))
        return IN_PLACE[name](_writable(target), value)
    if isinstance(target, Value):
        refuse_aliases(target, None)
    if isinstance(target, Value) or isinstance(value, Value) or isinstance(target, str):
        return binary(name, target, value)
    return IN_PLACE[name](target, value)


def with_item(target: Any, key: Any, value: Any) -> Any:
    """What a local name holds after ``name[key] = value``."""
    if isinstance(target, Value) or is_symbolic(key):
        refuse_aliases(target, None)
        return operations.with_item(target, key, value)
    if isinstance(target, _CONTAINERS):
        target = _writable(target)
    elif not changeable_here(target, "[...] ="):
        return target
    target[key] = value
    return target


def without_item(target: Any, key: Any) -> Any:
    """What a local name holds after ``del name[key]``."""
    if isinstance(target, Value) or is_symbolic(key):
        refuse_aliases(target, None)
        return operations.without_item(target, key)
    if isinstance(target, _CONTAINERS):
        target = _writable(target)
    elif not changeable_here(target, "del"):
        return target
    del target[key]
    return target


def set_item(target: Any, key: Any, value: Any) -> None:
    """``expression[key] = value``."""
    if not isinstance(target, Value) and not is_symbolic(key):
        if changeable_here(target, "[...] ="):
            target[key] = value
    else:
        _refused(target, "an item is assigned")


def delete_item(target: Any, key: Any) -> None:
    """``del expression[key]``."""
    if not isinstance(target, Value) and not is_symbolic(key):
        if changeable_here(target, "del"):
            del target[key]
    else:
        _refused(target, "an item is deleted")


def set_attribute(target: Any, name: str, value: Any) -> None:
    """``expression.name = value``."""
    if isinstance(target, Value):
        _refused(target, f"`.{name}` is assigned")
    elif changeable_here(target, f".{name} ="):
        setattr(target, name, value)


def delete_attribute(target: Any, name: str) -> None:
    """``del expression.name``."""
    if isinstance(target, Value):
        _refused(target, f"`.{name}` is deleted")
    elif changeable_here(target, f"del .{name}"):
        delattr(target, name)


def _refused(target: Any, what: str) -> None:
    tracer = current_tracer()
    assert tracer is not None
    name = f"`{target._origin.name}`" if isinstance(target, Value) else f"a {type(target).__name__}"
    tracer.report(
        "ORCH-D052",
        f"{what} of {name}, which is only known when the workflow runs",
        why="a value of a workflow is never changed: others may use it",
        fix="build a new one: call(Model, field=value), {**d, key: value}; or do it in a tool: @tool(effects='pure')",
    )


def changeable_here(target: Any, how: str) -> bool:
    """Whether the region that is being traced may change an object; reports it where that is from outside."""
    tracer = current_tracer()
    if tracer is None or _is_own(tracer, target):
        return True
    tracer.report(
        "ORCH-D052",
        f"`{how}` changes a {type(target).__name__} from outside of {tracer.scope.name}",
        why="that may not run, or run several times; the change would be made once, while the workflow is traced",
        fix="keep it in a local name of the workflow, and change that: xs.append(x), d[k] = v",
    )
    return False


def drawable_here(items: Any) -> bool:
    """Whether the region that is being traced may take items of something; an iterator with a name is used up by it."""
    if isinstance(items, GeneratorType) and not is_user_file(items.gi_code.co_filename):
        return True  # a generator expression's, which sees to it itself
    if not isinstance(items, Iterator) or not _holders(items, sys._getframe(1)):
        return True
    return changeable_here(items, "next()")


def refuse_aliases(target: Any, name: str | None) -> None:
    """Report a change of an object that several names hold: they would not all see it."""
    tracer = current_tracer()
    kind = class_of(target._type) if isinstance(target, Value) else type(target)
    if tracer is None or kind not in _CONTAINERS:
        return
    others = _holders(target, sys._getframe(1))
    if name is not None:
        others.discard(name)
    if len(others) > (name is None):
        names = " and ".join(f"`{each}`" for each in sorted(others | ({name} if name else set())))
        tracer.report(
            "ORCH-D052",
            f"{names} hold one {_said(target)}, which {tracer.scope.name} changes",
            why="what changes there is the name, and the others would go on holding the old one",
            fix="copy it first: ys = list(xs)",
        )


def _said(target: Any) -> str:
    return type_string(target._type) if isinstance(target, Value) else type(target).__name__


def _holders(target: Any, frame: FrameType | None) -> set[str]:
    """The names of rewritten functions that hold an object, or a container with it."""
    found: set[str] = set()
    while frame is not None:
        if is_rewritten(frame.f_code):
            for name, held in frame.f_locals.items():
                if _MADE_UP.fullmatch(name):
                    continue
                if held is target:
                    found.add(name)
                elif _contains(held, target):
                    found.add(f"{name}[...]")
                elif _shares(held, target):
                    found.add(name)
        frame = frame.f_back
    return found


def _shares(held: Any, target: Any) -> bool:
    """Whether two values may have an object in common, which a change of one changes for both."""
    if not isinstance(target, Value):
        return False
    if isinstance(held, _CONTAINERS):
        return may_be_of(target._tracer, target, held)
    return isinstance(held, Value) and may_share(target._tracer, target, held)


def _contains(held: Any, target: Any) -> bool:
    kind = type(held)
    members: Any = held.values() if kind is dict else held if kind in (list, tuple) else ()
    return any(each is target for each in members)
