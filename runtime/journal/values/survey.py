"""What values of a type may be: the classes that it names, however deep, and why they cannot all be written.

The type alone decides, so that a workflow whose results could not be kept is refused before anything runs. What says
nothing of its values (``Any``, a protocol, an abstract class) is left to the values.
"""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, Final, ForwardRef, Literal, NamedTuple, get_args

from pydantic import BaseModel

from orchestrator.dsl.models.llm import Chat
from orchestrator.dsl.types.typing import UNIONS, generic_of, is_typed_dict
from orchestrator.errors import qualified
from orchestrator.runtime.journal.lines.secrets import SECRETS
from orchestrator.runtime.journal.values.arrays import is_numpy
from orchestrator.runtime.journal.values.builtin import OWN, WRITES
from orchestrator.runtime.journal.values.classes import kind_of

_WRITTEN: Final = frozenset({*WRITES, *OWN, Chat, PurePath, Path, type(None), bool, object})
_SAYS_NOTHING: Final = (typing.TypeVar, typing.ParamSpec, ForwardRef, str)
_READ_ONCE: Final = (collections.abc.Iterable, collections.abc.Iterator, collections.abc.Generator)
_ABSTRACT: Final = frozenset({"collections.abc", "numbers", "os", "typing"})
"""Modules whose classes only say what their instances can do."""


class Survey(NamedTuple):
    """What was found in a type."""

    classes: tuple[type, ...]
    """The classes that are not Python's."""
    problem: str | None
    """The first thing of which there are values that cannot be written, and why; None if there is none."""


def survey(tp: Any) -> Survey:
    """What there is in a type."""
    try:
        return _survey(tp)
    except TypeError:  # unhashable metadata in an Annotated
        return _survey.__wrapped__(tp)


@lru_cache(maxsize=4096)
def _survey(tp: Any) -> Survey:
    walk = _Walk()
    walk.look(tp, "")
    return Survey(tuple(walk.classes), walk.problem)


class _Walk:
    def __init__(self) -> None:
        self.classes: dict[type, None] = {}
        self.problem: str | None = None
        self._aliases: list[Any] = []
        """Those that have been looked into: one may hold itself."""

    def look(self, tp: Any, field: str) -> None:
        """Look into a type, and if it is of a field, of which that is the name."""
        if tp is Any or isinstance(tp, _SAYS_NOTHING):
            return
        if hasattr(tp, "__metadata__"):
            self.look(get_args(tp)[0], field)
        elif hasattr(tp, "__supertype__"):
            self.look(tp.__supertype__, field)
        elif type(tp).__name__ == "TypeAliasType":
            if not any(tp is each for each in self._aliases):
                self._aliases.append(tp)
                self.look(tp.__value__, field)
        else:
            self._look_at_class(tp, field)

    def _look_at_class(self, tp: Any, field: str) -> None:
        origin, arguments = generic_of(tp)
        if origin is Literal:
            arguments = tuple(map(type, arguments))
        elif origin in (type, collections.abc.Callable):
            self._refuse(field, "a class" if origin is type else "a function")
            return
        elif is_numpy(origin):
            return
        elif origin in _READ_ONCE and field:  # elsewhere it has become a list
            self._refuse(field, "an iterator, which can be read once")
            return
        elif isinstance(origin, type) and origin not in UNIONS:
            self._note(tp if isinstance(tp, type) and origin is not tp else origin, field)
        for each in arguments:
            if each is not Ellipsis:
                self.look(each, field)

    def _note(self, cls: type, field: str) -> None:
        if cls in _WRITTEN or cls in self.classes:
            return
        if is_typed_dict(cls):
            self.classes[cls] = None
        elif issubclass(cls, SECRETS):
            self._refuse(field, f"a `{cls.__name__}`, and of secrets only pydantic's own classes have a name")
            return
        elif kind_of(cls) is not None:
            self.classes[cls] = None
        elif inspect.isabstract(cls) or getattr(cls, "_is_protocol", False) or cls.__module__ in _ABSTRACT:
            return
        else:
            self._refuse(field, f"a `{qualified(cls)}`, of which nobody knows what is in it")
            return
        for name, hint in _hints(cls):
            self.look(hint, f"{cls.__name__}.{name}")

    def _refuse(self, field: str, what: str) -> None:
        if self.problem is None:
            self.problem = f"`{field}` is {what}" if field else f"it is {what}"


def _hints(cls: type) -> Iterator[tuple[str, Any]]:
    """The names and types of what is in the instances of a class."""
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception:  # noqa: BLE001 - of what is not defined; annotations are the user's code
        hints = {}
    if issubclass(cls, BaseModel):
        yield from ((name, each.annotation) for name, each in cls.model_fields.items())
        names: Any = cls.__private_attributes__
    elif is_typed_dict(cls):
        names = hints
    else:
        names = getattr(cls, "__dataclass_fields__", getattr(cls, "_fields", ()))
    yield from ((name, hints[name]) for name in names if name in hints)
