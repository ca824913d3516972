"""Exceptions on their way from one process to another.

Pickling an exception keeps its type only if its constructor takes what ``args`` holds, which those of many libraries do
not, and if everything it holds can be pickled. So whoever sends one tries, and otherwise sends what can be sent: the
type and its state, without calling the constructor, or at last the names of its type and bases, under which ``retry``
finds it, and its text. The traceback travels as text.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.dsl.source.location import BY_VALUE
from orchestrator.errors import SourceLoc
from orchestrator.runtime.tools.raised import RAISED_AT, user_line

Dumps = Callable[[Any], bytes]
"""``cloudpickle.dumps``, of whichever distribution the other process has too."""

MOST_CHARS: Final = 20_000
"""A text, and a traceback, may have so many characters."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception without the exception."""

    text: str
    types: tuple[tuple[str, str], ...]
    """Module and qualified name of its type and that type's bases, most special first."""
    pickled: bytes | None
    """The exception, or its type and state (:class:`_Parts`); None where neither could be pickled."""
    trace: str
    where: tuple[str, int, str | None] | None
    """File, line and function of the user's code."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """What an exception is made of."""

    cls: type[BaseException]
    args: tuple[Any, ...]
    state: dict[str, Any]

    def whole(self) -> BaseException:
        """The exception, made without its constructor."""
        made = self.cls.__new__(self.cls)
        made.args = self.args
        made.__dict__.update(self.state)
        return made


def packed(error: BaseException, dumps: Dumps, sent_from: str | None = None) -> Raised:
    """``error`` in a form that always arrives; ``sent_from`` is the file of the code that came here by value."""
    where = user_line(error.__traceback__, sent_from)
    trace = "".join(traceback.format_exception(error))[-MOST_CHARS:]
    return Raised(
        _text(error),
        tuple((cls.__module__, cls.__qualname__) for cls in type(error).__mro__ if cls is not object),
        _pickled(error, dumps),
        trace.replace(BY_VALUE, sent_from or BY_VALUE),
        None if where is None else (where.file, where.line, where.function),
    )


def unpacked(found: Raised) -> BaseException:
    """The exception: of its own type wherever that can be had here."""
    error = _loaded(found.pickled) if found.pickled is not None else None
    if error is None:
        error = _stand_in(found)
    if found.where is not None:
        setattr(error, RAISED_AT, SourceLoc(*found.where))
    error.add_note(f"In the process that it comes from:\n{found.trace}")
    return error


def _pickled(error: BaseException, dumps: Dumps) -> bytes | None:
    """The exception if it survives, else its parts if they do."""
    parts = _Parts(type(error), tuple(_sendable(each, dumps) for each in error.args), {})
    state = {name: value for name, value in error.__dict__.items() if _sendable(value, dumps) is value}
    for candidate in (error, _Parts(parts.cls, parts.args, state)):
        try:
            data = dumps(candidate)
            again = _loaded(data)
        except Exception:  # noqa: BLE001 - pickling runs the user's code, which may raise anything
            continue
        if type(again) is type(error) and _text(again) == _text(error):
            return data
    return None


def _sendable(value: object, dumps: Dumps) -> object:
    """``value`` itself, or what it looks like if it cannot be pickled."""
    try:
        pickle.loads(dumps(value))
    except Exception:  # noqa: BLE001 - pickling runs the user's code, which may raise anything
        return repr(value)
    return value


def _loaded(data: bytes) -> BaseException | None:
    try:
        found = pickle.loads(data)
        whole = found.whole() if isinstance(found, _Parts) else found
    except Exception:  # noqa: BLE001 - loading runs the user's code; the names are enough
        return None
    return whole if isinstance(whole, BaseException) else None


def _stand_in(found: Raised) -> BaseException:
    """An exception with the names of the original's types and with its text."""
    import builtins

    base: type[BaseException] = Exception
    for module, name in found.types:
        builtin = getattr(builtins, name, None) if module == "builtins" else None
        if isinstance(builtin, type) and issubclass(builtin, BaseException):
            base = builtin
            break
    cls: type[BaseException] = base
    for module, name in reversed(found.types):
        if module != "builtins":
            cls = type(name.rpartition(".")[2], (cls,), {"__module__": module, "__qualname__": name})
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__str__": _told}
    return _Parts(type(cls.__name__, (cls,), names), (found.text,), {}).whole()


def _told(self: BaseException) -> str:
    return str(self.args[0])


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MOST_CHARS]
    except BaseException as second:  # noqa: BLE001 - `__str__` is the user's code, and may end what it likes
        return f"(its text cannot be made: {type(second).__name__})"
