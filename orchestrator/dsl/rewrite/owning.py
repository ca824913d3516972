"""What a region may change: objects that it has made, and copies of others that nobody else may see."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from types import GeneratorType
from typing import Any, Final

from orchestrator.dsl.rewrite.holders import Holders, Slot
from orchestrator.dsl.source.location import is_user_file
from orchestrator.dsl.tracing.known import is_known_outside, register, registered
from orchestrator.dsl.tracing.sharing import of
from orchestrator.dsl.tracing.tracer import Tracer, Value, current_tracer
from orchestrator.dsl.types.kinds import class_of
from orchestrator.dsl.types.typing import type_string

CONTAINERS: Final = (list, dict, set)


def fresh(made: Any) -> Any:
    """An object that has just been made: the region that is being traced may change it."""
    tracer = current_tracer()
    if tracer is not None and tracer.scope.outer is not None:
        tracer.scope.made[id(made)] = made
    return made


def stand_in(known: Any, made: Any) -> Any:
    """``made``, an object that has just been made and stands for ``known`` in this region."""
    tracer = current_tracer()
    if tracer is not None:
        register(tracer, made, of(known).own if isinstance(known, Value) else register(tracer, known))
    return fresh(made)


def _is_own(tracer: Tracer, target: Any) -> bool:
    """Whether the region being traced made the object, or none is: then there is nobody to hide a change from."""
    return tracer.scope.outer is None or id(target) in tracer.scope.made


def writable(target: Any, name: str | None, slot: Slot | None = None) -> Any:
    """``target``, or a copy that the region may change."""
    tracer = current_tracer()
    if tracer is None:
        return target
    if refuse_foreign(tracer, target, name):
        return copy.copy(target)
    is_own = _is_own(tracer, target)
    refuse_others(target, name, in_place=is_own, slot=slot)
    return target if is_own else stand_in(target, copy.copy(target))


def refuse_foreign(tracer: Tracer, target: Any, name: str | None) -> bool:
    """Report a change of an object that was there before the workflow was traced; whether it was."""
    if not is_known_outside(tracer, target):
        return False
    kind = type(target).__name__
    tracer.report(
        "ORCH-D052",
        f"{named(target, name)} is changed, and the {kind} is not the workflow's own",
        why="it would be changed once, while the workflow is traced, and not when it runs",
        fix=f"copy it first: {name or 'xs'} = {kind}({name or 'xs'})",
    )
    return True


_AS_STATEMENT = "keep it in a local name of the workflow, and change that: xs.append(x), d[k] = v"


def changeable_here(target: Any, how: str, fix: str = _AS_STATEMENT) -> bool:
    """Whether the region that is being traced may change an object; reports it where that is from outside."""
    tracer = current_tracer()
    if tracer is None:
        return True
    if _is_own(tracer, target):
        return not (refuse_foreign(tracer, target, None) or refuse_others(target, None, in_place=True))
    tracer.report(
        "ORCH-D052",
        f"`{how}` changes a {type(target).__name__} from outside of {tracer.scope.name}",
        why="that may not run, or run several times; the change would be made once, while the workflow is traced",
        fix=fix,
    )
    return False


def drawable_here(items: Any) -> bool:
    """Whether the region that is being traced may take items of something; an iterator with a name is used up by it."""
    tracer = current_tracer()
    if isinstance(items, GeneratorType) and not is_user_file(items.gi_code.co_filename):
        return True  # a generator expression's, which sees to it itself
    if tracer is None or not isinstance(items, Iterator):
        return True
    if Holders(tracer, items, frozenset(), None, in_place=False).found() is None:
        return True
    return changeable_here(items, "next()")


def drawable_in_region(items: Any) -> bool:
    """The same of what would be gone through to its end, which is seen where that may not happen, or several times."""
    tracer = current_tracer()
    is_seen = tracer is not None and tracer.scope.outer is not None and isinstance(items, Iterator)
    return not is_seen or drawable_here(items)


def refuse_others(target: Any, name: str | None, *, in_place: bool = False, slot: Slot | None = None) -> bool:
    """Report a change of an object that others may hold, as they would not see it; whether there are any.

    ``in_place``: it is changed for those that hold the object itself.
    """
    tracer = current_tracer()
    if tracer is None:
        return False
    things = of(target).own if isinstance(target, Value) else registered(tracer, target)
    if not things and (in_place or isinstance(target, Value)):
        return False
    holders = Holders(tracer, target, things, name, in_place=in_place, slot=slot)
    holder = holders.found()
    if holder is None:
        return False
    kind = class_of(target._type) if isinstance(target, Value) else type(target)
    copied = "list" if kind not in CONTAINERS else kind.__name__
    if slot is not None:
        what, fix = f"a {_said(target)} in something", "put a new one in its place: xs[i] = xs[i] + [x]"
    elif name is None:
        what, fix = f"a {_said(target)}", f"copy it where it gets its second name: ys = {copied}(xs)"
    elif holders.is_of_another_function:
        what, fix = f"`{name}`", f"copy it before, in the function that `{name}` belongs to: {name} = {copied}({name})"
    else:
        what, fix = f"`{name}`", f"copy it first: {name} = {copied}({name})"
        fix += f"; to have the caller see it, return it: `return {name}`" if holders.is_called else ""
    tracer.report(
        "ORCH-D052",
        f"{what} is changed, and {holder} may be or hold the same {_said(target)}",
        why="what changes is the name: the other would go on holding what was there before",
        fix=fix,
    )
    return True


def named(target: Any, name: str | None) -> str:
    """What a message calls what is changed."""
    return f"`{name}`" if name is not None else f"a {_said(target)}"


def _said(target: Any) -> str:
    return type_string(target._type) if isinstance(target, Value) else type(target).__name__
