"""Changing objects in place, as ``xs.append(x)`` and ``d[k] = v`` do.

What a region changes must not be seen by its siblings, nor by anyone where it does not run; and a symbolic value is
never changed at all. So the *name* is given a changed copy, which is a result of the region like any other. That is
Python's meaning as long as nobody else can get at the object; if somebody may (:mod:`.holders`), the change is refused.
Objects that tracing knows are changed as ever where they were made in the region, or there is none, unless a value has
been made of them that would go on saying what they were.
"""

from __future__ import annotations

from typing import Any

from orchestrator.dsl import operations
from orchestrator.dsl.rewrite import values
from orchestrator.dsl.rewrite.calling import method
from orchestrator.dsl.rewrite.deciding import choose
from orchestrator.dsl.rewrite.holders import Slot
from orchestrator.dsl.rewrite.owning import (
    CONTAINERS,
    changeable_here,
    drawable_in_region,
    named,
    refuse_others,
    writable,
)
from orchestrator.dsl.rewrite.plain import IN_PLACE, as_value, binary, is_symbolic
from orchestrator.dsl.rewrite.watching import is_users, watched
from orchestrator.dsl.tracing.known import of_object
from orchestrator.dsl.tracing.sharing import Shares, note, of
from orchestrator.dsl.tracing.tracer import Value, current_tracer
from orchestrator.dsl.types.kinds import class_of


def changed(  # noqa: PLR0917 - what the statement consists of
    name: str | None,
    target: Any,
    method: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    slot: Slot | None = None,
) -> Any:
    """What the local name, or the slot, holds after ``name.method(...)`` stood there as a statement."""
    tracer = current_tracer()
    if not all(map(drawable_in_region, args)):
        return target
    if isinstance(target, Value):
        refuse_others(target, name, slot=slot)
        return _still(target, _changed_value(target, method, args, kwargs))
    if isinstance(target, CONTAINERS):
        if tracer is not None and not _holds(target, method, args, kwargs):
            refuse_others(target, name, slot=slot)
            known = as_value(operations.as_value(target, tracer))
            return _still(known, _changed_value(known, method, args, kwargs))
        target = writable(target, name, slot)
        getattr(target, method)(*args, **kwargs)
        return target
    found = getattr(target, method)
    if type(target).__module__ in _OF_PYTHON and not changeable_here(target, f".{method}()"):
        return target
    (watched(found) if is_users(found) else found)(*args, **kwargs)
    return target


def popped(name: str, target: Any, args: tuple[Any, ...]) -> tuple[Any, Any]:
    """What ``name.pop(...)`` gives, and what the local name then holds."""
    kind = class_of(target._type) if isinstance(target, Value) else type(target)
    is_known = not isinstance(target, Value) and not any(map(is_symbolic, args))
    if kind not in (list, dict) or (current_tracer() is None and is_known):
        return method(target, "pop")(*args), target
    if is_known:
        target = writable(target, name)
        return target.pop(*args), target
    known = as_whole(target)
    taken = values.asked(known, "get", *args) if len(args) > 1 else operations.item(known, *(args or (-1,)))
    return taken, changed(name, target, "pop", args, {})


_OF_PYTHON = ("collections", "array", "builtins")
"""Modules whose other classes are containers too."""


def _holds(target: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a container of Python takes these arguments as they are: it can hold symbolic values, not find them."""
    if isinstance(target, list) and method in ("append", "insert"):
        return method == "append" or not args or not is_symbolic(args[0])
    if isinstance(target, dict) and method == "setdefault":
        return not args or not is_symbolic(args[0])
    if isinstance(target, dict) and method == "update":
        return not any(map(is_symbolic, args))
    return not any(map(is_symbolic, (*args, *kwargs.values())))


def _still(before: Value[Any], after: Any) -> Any:
    """``after``, which is the object that ``before`` was."""
    if isinstance(after, Value):
        made = of(after)
        note(after, Shares(of(before).own | made.own, made.inner, made.twice))
    return after


def _changed_value(target: Value[Any], method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if method == "pop" and class_of(target._type) is dict and len(args) > 1:  # which may do nothing
        is_there = operations.contains(target, args[0])
        return choose(is_there, lambda: _changed_value(target, method, args[:1], kwargs), lambda: target)
    found = values.changed(target, method, args, kwargs)
    if found is not None:
        return found
    return target._tracer.report(
        "ORCH-D052",
        f"`.{method}()` would change `{target._origin.name}`, which is only known when the workflow runs",
        fix="build the new value: xs + [x], xs[1:], {**d, k: v}; or do it in a tool: @tool(effects='pure')",
    )


def augmented(  # noqa: PLR0911 - a case each
    name: str | None, target: Any, operator: str, value: Any, slot: Slot | None = None
) -> Any:
    """What ``target += value`` leaves in the name, or in the slot."""
    tracer = current_tracer()
    if not drawable_in_region(value):
        return target
    if isinstance(target, CONTAINERS) and not isinstance(target, Value):
        if tracer is not None and is_symbolic(value):
            refuse_others(target, name, slot=slot)
            known = operations.as_value(target, tracer)
            return _still(known, binary(operator, known, as_value(value)))
        return IN_PLACE[operator](writable(target, name, slot), value)
    if isinstance(target, Value):
        refuse_others(target, name, slot=slot)
        return _still(target, binary(operator, target, value))
    if isinstance(value, Value) or isinstance(target, str):
        return binary(operator, target, value)
    in_place = f"__{IN_PLACE[operator].__name__}__"
    if hasattr(type(target), in_place) and not changeable_here(target, f"{in_place[3:-2]}="):
        return target
    return IN_PLACE[operator](target, value)


def augmented_item(  # noqa: PLR0917 - what the statement consists of
    name: str, target: Any, key: Any, before: Any, operator: str, value: Any
) -> Any:
    """What the local name holds after ``name[key] += value``; ``before`` is the item."""
    twice = isinstance(target, Value) and of(target).twice
    made = with_item(name, target, key, _augmented_part(name, target, key, before, operator, value))
    if isinstance(made, Value):  # the item is put where it was
        note(made, of(made)._replace(twice=twice))
    return made


def changed_item(  # noqa: PLR0917 - what the statement consists of
    name: str, target: Any, key: Any, before: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """What the local name holds after ``name[key].method(...)``; ``before`` is the item."""
    if not isinstance(before, (Value, *CONTAINERS)):
        getattr(before, method)(*args, **kwargs)
        return target
    if not isinstance(target, Value) and not is_symbolic(key):
        after = changed(None, before, method, args, kwargs, Slot(target, key))
        return target if after is before else with_item(name, target, key, after)
    if _is_at_several_places(name, target, before):
        return target
    twice = isinstance(target, Value) and of(target).twice
    made = with_item(name, target, key, changed(name, before, method, args, kwargs))
    if isinstance(made, Value):
        note(made, of(made)._replace(twice=twice))
    return made


def with_default(name: str, target: Any, key: Any, default: Any) -> Any:
    """What the local name holds after ``name.setdefault(key, default)``, with a default that has just been made."""
    if not isinstance(target, Value) and not is_symbolic(key):
        return changed(name, target, "setdefault", (key, default), {})
    known = as_whole(target)
    made = changed(name, known, "setdefault", (key, default), {})
    if isinstance(made, Value):  # an item that was there is put where it was
        note(made, of(made)._replace(twice=of(known).twice))
    return made


def augment_item(target: Any, key: Any, before: Any, operator: str, value: Any) -> None:
    """``expression[key] += value``."""
    set_item(target, key, _augmented_part(None, target, key, before, operator, value))


def augment_attribute(target: Any, name: str, before: Any, operator: str, value: Any) -> None:
    """``expression.name += value``."""
    if not isinstance(target, Value):
        before = augmented(None, before, operator, value, Slot(target, name))
    set_attribute(target, name, before)


def _augmented_part(  # noqa: PLR0917
    name: str | None, target: Any, key: Any, before: Any, operator: str, value: Any
) -> Any:
    """What is to be at the key. An item that can be changed is still the same, which others may hold."""
    if not isinstance(target, Value) and not is_symbolic(key):
        return augmented(None, before, operator, value, Slot(target, key))
    _is_at_several_places(name, target, before)
    return augmented(name, before, operator, value)


def _is_at_several_places(name: str | None, target: Any, item: Any) -> bool:
    """Whether an item that is to be changed may be in a container more than once, which is reported."""
    tracer = current_tracer()
    whole = of(target) if isinstance(target, Value) or tracer is None else of_object(tracer, target)
    if not isinstance(item, Value) or not of(item).own or not whole.twice or tracer is None:
        return False
    tracer.report(
        "ORCH-D052",
        f"an item of {named(target, name)} is changed, which it may have at several places",
        why="what changes is that place, and the others would go on holding the item as it was",
        fix="put a new one there: xs[i] = xs[i] + [x]",
    )
    return True


def with_item(name: str, target: Any, key: Any, value: Any) -> Any:
    """What the local name holds after ``name[key] = value``."""
    if isinstance(key, slice) and not drawable_in_region(value):
        return target
    if isinstance(key, slice) and _refuses_slice(target, key, value):
        return target
    if isinstance(target, Value) or is_symbolic(key):
        refuse_others(target, name)
        return _still(as_whole(target), operations.with_item(target, key, value))
    if isinstance(target, CONTAINERS):
        target = writable(target, name)
    elif not changeable_here(target, "[...] ="):
        return target
    target[key] = value
    return target


def without_item(name: str, target: Any, key: Any) -> Any:
    """What the local name holds after ``del name[key]``."""
    if isinstance(key, slice) and _refuses_slice(target, key):
        return target
    if isinstance(target, Value) or is_symbolic(key):
        refuse_others(target, name)
        return _still(as_whole(target), operations.without_item(target, key))
    if isinstance(target, CONTAINERS):
        target = writable(target, name)
    elif not changeable_here(target, "del"):
        return target
    del target[key]
    return target


def _refuses_slice(target: Any, key: slice, value: Any = None) -> bool:
    """Report that items of something symbolic are put in the place of others, or left out; whether that is so."""
    tracer = current_tracer()
    symbolic = any(map(is_symbolic, (target, value, key.start, key.stop, key.step)))
    if symbolic and tracer is not None:
        tracer.report(
            "ORCH-D052",
            f"a slice of {named(target, None)} is changed, and not everything in it is known",
            why="a slice may be of any length when the workflow runs",
            fix="build the new list: xs = [*xs[:2], *new, *xs[4:]]",
        )
    return symbolic and tracer is not None


def as_whole(target: Any) -> Value[Any]:
    """A container as a value."""
    return operations.as_value(target)


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
