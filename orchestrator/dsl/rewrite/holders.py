"""Who else holds an object that a name is about to be given a changed copy of.

What can see the object is a name of a function that is being called, or something that can be reached from one: a list
in a list, an attribute, a function with its closure and defaults. The names of the rewriting are not looked at, nor is
the name that is changed itself.
"""

from __future__ import annotations

from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from orchestrator.dsl.source.location import Rewritten, rewritten, user_frames
from orchestrator.dsl.tracing.known import is_fixed, is_plain, members, registered
from orchestrator.dsl.tracing.sharing import Things, of
from orchestrator.dsl.tracing.tracer import Tracer, Value


class Slot(NamedTuple):
    """A place in a container or an object, at which the changed object is put again."""

    holder: object
    key: object


class Holders:
    """A search for those that hold an object."""

    def __init__(
        self, tracer: Tracer, target: Any, things: Things, name: str | None, *, in_place: bool, slot: Slot | None = None
    ) -> None:
        self._tracer = tracer
        self._target = target
        self._things = things
        self._name = name
        self._in_place = in_place
        self._slot = slot
        self._owner: Rewritten | None = None
        self._binder: CodeType | None = None
        """The function whose name it is that is changed: the one that changes it, or one around that."""
        self.is_called = False
        """Whether the name that was found is one of a function that has called the one with the change."""

    def found(self) -> str | None:
        """The first name that holds it, as a message says it."""
        is_own = is_same = True
        for frame in user_frames():
            code = rewritten(frame.f_code)
            if self._owner is None and code is not None:
                self._owner, self._binder = code, _binder(code, self._name)
            made_up = code.made_up if code is not None else frozenset()
            is_within = is_same and code is not None and self._binder is not None and code.is_within(self._binder)
            for name, content in frame.f_locals.items():
                if name in made_up or (is_within and name == self._name):
                    continue
                if self._reaches(content):
                    self.is_called = not is_own
                    return f"`{name}`" if is_own else f"`{name}` of `{frame.f_code.co_name}`"
            is_own = is_own and (self._owner is None or frame.f_code is not self._owner.owner)
            is_same = is_same and frame.f_code is not self._binder
        return next((said for pinned, said in self._tracer.pinned if self._reaches(pinned())), None)

    @property
    def is_of_another_function(self) -> bool:
        """Whether the name that is changed belongs to a function around the one that changes it."""
        return self._owner is not None and self._owner.owner is not self._binder

    def _reaches(self, root: object) -> bool:
        seen: set[int] = set()
        todo = [root]
        while todo:
            each = todo.pop()
            if isinstance(each, Value):
                if each is self._target if not self._things else not self._things.isdisjoint(of(each).all):
                    return True
                continue
            if is_fixed(each) or id(each) in seen:
                continue
            seen.add(id(each))
            if each is self._target:
                if not self._in_place:
                    return True
            elif self._things and not self._things.isdisjoint(registered(self._tracer, each)):
                return True
            if not is_plain(each):
                todo += self._members(each)
        return False

    def _members(self, thing: object) -> list[object]:
        if isinstance(thing, FunctionType) and self._name is not None:
            return self._of_function(thing)
        if self._slot is None or (thing is not self._slot.holder and thing is not _attributes(self._slot.holder)):
            return [each for each in members(thing) if not isinstance(each, ModuleType)]
        if isinstance(thing, dict):
            return [each for key, each in thing.items() if key != self._slot.key]
        if isinstance(thing, list):
            place = self._slot.key
            return [each for at, each in enumerate(thing) if at not in (place, place + len(thing))]  # type: ignore[operator]
        return [each for name, each in (_attributes(thing) or {}).items() if name != self._slot.key]

    def _of_function(self, function: FunctionType) -> list[object]:
        """What a function holds; the name that is changed is the same name in the functions within its own."""
        code = rewritten(function.__code__)
        is_within = code is not None and self._binder is not None and code.is_within(self._binder)
        held: list[object] = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if is_within and name == self._name:
                continue
            try:
                held.append(cell.cell_contents)
            except ValueError:  # not bound yet
                continue
        return held


def _binder(code: Rewritten, name: str | None) -> CodeType:
    """The function that a name belongs to."""
    around = code.around
    while name in code.owner.co_freevars and around is not None:
        while around.around is not None and around.owner is code.owner:
            around = around.around
        if around.owner is code.owner:
            break
        code, around = around, around.around
    return code.owner


def _attributes(thing: object) -> dict[str, object] | None:
    found = getattr(thing, "__dict__", None) if not isinstance(thing, (Value, dict, list)) else None
    return found if isinstance(found, dict) else None
