"""The JSON text of values, exactly: what is read equals what was written, and is of the same classes all the way down.

>>> encode(tuple[int, str], (1, "a"), None)
'{"~tuple":[1,"a"]}'
>>> decode(tuple[int, str], loads('{"~tuple":[1,"a"]}'), None)
(1, 'a')

How values become trees is in :mod:`orchestrator.runtime.journal.values.tree`. The declared type says which classes a
short name may mean: ``{"~:Point": ...}`` is the ``Point`` that the type names, wherever that is defined now. Any other
class is written with its module, and found in modules that are loaded; none is ever imported because data says so.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from functools import lru_cache
from types import ModuleType
from typing import Any, Final

from pydantic_core import from_json, to_json

from orchestrator.errors import described, qualified
from orchestrator.runtime.journal.values import arrays
from orchestrator.runtime.journal.values.builtin import OWN, READS, WRITES, is_text
from orchestrator.runtime.journal.values.classes import form_of
from orchestrator.runtime.journal.values.survey import survey
from orchestrator.runtime.journal.values.tree import (
    PLAIN,
    Conversations,
    ExactWriter,
    NotKeptError,
    NotReadError,
    Read,
    Reader,
    Write,
    Writer,
)

_ONLY_TEXTS: Final = frozenset({str})
_DIGITS: Final = 4000
"""Python reads ints with so many digits at once."""
_JSON: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def encode(tp: Any, value: object, chats: Conversations | None) -> str:
    """The text of a value of a type, made at once: UTF-8 has bytes for it, and it has no newline.

    Raises :class:`NotKeptError` for what has none, or holds itself.
    """
    return types_of(tp).text(value, chats)


def decode(tp: Any, data: Any, chats: Conversations | None) -> Any:
    """The value again, from what :func:`loads` gives.

    Raises :class:`NotReadError` for what is no value, or of classes that are not there any more, or are other ones.
    """
    if type(data) in PLAIN:
        return data
    try:
        return Reader(types_of(tp).reads, chats).value(data)
    except NotReadError:
        raise
    except Exception as error:
        raise NotReadError(f"what is stored is no value: {described(error):.200}") from error


def loads(text: str | bytes) -> Any:
    """What stands in a JSON text. Raises ``ValueError``."""
    try:
        return from_json(text, allow_inf_nan=False)
    except (ValueError, TypeError):  # deeper, with longer ints, or half a surrogate pair, which that does not take
        return json.loads(text, parse_int=_int, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _int(digits: str) -> int:
    if len(digits) <= _DIGITS:
        return int(digits)
    made = 0
    for start in range(0, len(digits.lstrip("-")), _DIGITS):
        part = digits.lstrip("-")[start : start + _DIGITS]
        made = made * 10 ** len(part) + int(part)
    return -made if digits[0] == "-" else made


def why_not(tp: Any) -> str | None:
    """Why values of a type cannot all be written, as the type says it; None if they can."""
    return survey(tp).problem


class Types:
    """The forms of the classes that values of one declared type may be of, made when first met."""

    def __init__(self, tp: Any) -> None:
        classes = survey(tp).classes
        short = {each: each.__qualname__.rpartition("<locals>.")[2] for each in classes}
        count = Counter(short.values())
        self.by_name = {f"~:{name}": each for each, name in short.items() if count[name] == 1}
        self.names = {each: name for name, each in self.by_name.items()}
        self.writes = _Writes(self)
        self.reads = _Reads(self)

    def text(self, value: object, chats: Conversations | None) -> str:
        """See :func:`encode`."""
        kind, tree = type(value), value
        try:
            if kind is dict and _is_flat(value):  # type: ignore[arg-type]
                pass  # as most results
            elif kind not in PLAIN:
                tree = self.writes[kind](Writer(self.writes, chats), value, 1)
            elif kind is str and chats is not None and (number := chats.noted(value)) is not None:  # type: ignore[arg-type]
                tree = {"~said": number}
            text = to_json(tree).decode()
            if "NaN" not in text and "Infinity" not in text:
                return text
        except NotKeptError:
            raise
        except ValueError:  # half a surrogate pair
            pass
        except RuntimeError as error:  # it changes its size meanwhile, or its classes are endless
            raise NotKeptError(f"a value could not be read: {error}") from error
        return self._exact_text(value, chats)

    def _exact_text(self, value: object, chats: Conversations | None) -> str:
        """The same where some text or number has no JSON."""
        try:
            text = _JSON.encode(ExactWriter(self.writes, chats).tree(value))
        except NotKeptError:
            raise
        except (ValueError, RuntimeError) as error:
            raise NotKeptError(f"a value has no JSON: {error}") from error
        if not is_text(text):
            raise NotKeptError("a name that is no whole text")
        return text

    def note(self, cls: type, tag: str) -> None:
        """Make the forms of a class. Raises :class:`NotKeptError` if it has none."""
        write, read = form_of(cls, tag, is_lean=cls in OWN)
        self.writes[cls], self.reads[tag] = write, read


def _is_flat(value: dict[Any, Any]) -> bool:
    """Whether a dict is its own tree, and nothing is nested in it."""
    return (
        PLAIN.issuperset(map(type, value.values()))
        and _ONLY_TEXTS.issuperset(map(type, value))
        and next(iter(value), "")[:1] != "~"
    )


class _Writes(dict[type, Write]):
    def __init__(self, types: Types) -> None:
        super().__init__(WRITES)
        self._types = types

    def __missing__(self, cls: type) -> Write:
        tag = OWN.get(cls) or self._types.names.get(cls)
        if tag is None and arrays.is_numpy(cls):
            return arrays.write
        if tag is None:
            tag = f"~{cls.__module__}:{cls.__qualname__}"
            if _found(tag) is not cls:
                raise NotKeptError(
                    f"a value of class `{qualified(cls)}`, which cannot be found by that name: define it at the top of "
                    "a module, or name it in the declared type"
                )
        self._types.note(cls, tag)
        return self[cls]


class _Reads(dict[str, Read]):
    def __init__(self, types: Types) -> None:
        super().__init__(READS | arrays.READS)
        self._types = types

    def __missing__(self, tag: str) -> Read:
        cls = _OWN.get(tag) or self._types.by_name.get(tag) or _found(tag)
        if cls is None:
            module, _, name = tag[1:].partition(":")
            where = f"in `{module}`, as far as that is imported" if module else "in the declared type"
            raise NotReadError(f"there is no class `{name}` {where}")
        try:
            self._types.note(cls, tag)
        except NotKeptError as error:
            raise NotReadError(f"it holds {error}") from None
        return self[tag]


_OWN: Final = {tag: cls for cls, tag in OWN.items()}


def _found(tag: str) -> type | None:
    """The class of a module that is loaded; nothing is imported for it, and no code of the module runs."""
    module, _, name = tag[1:].partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        if not isinstance(found, (ModuleType, type)):
            return None
        found = vars(found).get(part)
    return found if isinstance(found, type) else None


def types_of(tp: Any) -> Types:
    """The forms of what values of a type may be."""
    try:
        return _cached(tp)
    except TypeError:  # unhashable metadata in an Annotated
        return Types(tp)


@lru_cache(maxsize=4096)
def _cached(tp: Any) -> Types:
    return Types(tp)
