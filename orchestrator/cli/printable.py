"""From any Python value to data that is strict JSON, whatever a workflow returned: a result has been paid for.

What JSON has no form for gets one, and a note that says so:

===============================  ==============================================================
NaN, Infinity                    ``null``
bytes that are no UTF-8          base64
a lone surrogate                 U+FFFD
an int of thousands of digits    its digits as a string, because most readers refuse such numbers
a cycle                          ``"[...]"`` or ``"{...}"`` where it closes, as ``repr`` does
more than ``MAX_DEPTH`` levels   a string that holds the rest as JSON
a dict whose keys collide        a list of ``[key, value]``
an object of the user's own      its attributes, or its text where it has none
===============================  ==============================================================
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

Data: TypeAlias = "bool | int | float | str | list[Any] | dict[str, Any] | None"

MAX_DEPTH: Final = 100
"""Levels of lists and objects; readers stop at some hundreds."""
_MAX_INT_BITS: Final = 14_000
"""About 4,200 digits; Python itself reads 4,300."""


@dataclass(frozen=True, slots=True)
class _Json:
    """A piece of JSON text that is ready; ``leaves``: the container that ends with it."""

    text: str
    leaves: int | None = None


@dataclass(slots=True)
class Printable:
    """Makes values printable, and remembers what it had to change.

    >>> shown = Printable()
    >>> shown.of({"share": float("nan"), "kinds": {"b", "a"}}), shown.notes
    ({'share': None, 'kinds': ['a', 'b']}, ('NaN and Infinity are written as null',))
    """

    _notes: dict[str, None] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What had no form in JSON, a sentence for each kind."""
        return tuple(self._notes)

    def of(self, value: object) -> Data:
        """The value as strict JSON data; never raises for what it holds."""
        return self._plain(value, {})

    def _plain(self, value: object, within: dict[int, object]) -> Data:
        opened = self._opened(value)
        if not isinstance(opened, (list, dict)):
            return opened
        if id(value) in within:
            return self._cycle(opened)
        if len(within) == MAX_DEPTH:
            self._note(f"what is nested deeper than {MAX_DEPTH} levels is written as JSON in a string")
            return self._text(value, within)
        within[id(value)] = value
        try:
            if isinstance(opened, dict):
                return {key: self._plain(each, within) for key, each in opened.items()}
            return [self._plain(each, within) for each in opened]
        finally:
            del within[id(value)]

    def _text(self, value: object, within: Mapping[int, object]) -> str:
        """JSON text of any depth: the stack is ours, not Python's."""
        around, parts, stack = dict(within), list[str](), [value]
        while stack:
            each = stack.pop()
            if isinstance(each, _Json):
                parts.append(each.text)
                if each.leaves is not None:
                    del around[each.leaves]
                continue
            opened = self._opened(each)
            if isinstance(opened, (list, dict)) and id(each) in around:
                opened = self._cycle(opened)
            if not isinstance(opened, (list, dict)):
                parts.append(json.dumps(opened, ensure_ascii=False))
                continue
            around[id(each)] = each
            stack.append(_Json("]" if isinstance(opened, list) else "}", leaves=id(each)))
            stack.extend(reversed(_pieces(opened)))
        return "".join(parts)

    def _opened(self, value: object) -> Data:
        """One level: a JSON scalar, or a container whose items are still as they were."""
        kind = type(value)
        if value is None or kind in {bool, str, int, float}:
            return self._scalar(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(bytes(value))
        if hasattr(kind, "__pydantic_serializer__"):
            return self._model(value)
        if isinstance(value, (Mapping, list, tuple, set, frozenset)) or (is_dataclass(value) and kind is not type):
            try:
                return self._container(value)
            except Exception:  # noqa: BLE001 - the methods of a container of the user's own
                return self._as_text(value)
        return self._other(value)

    def _scalar(self, value: Any) -> Data:
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, float):
            return self._float(value)
        return self._int(value) if type(value) is int else value

    def _container(self, value: Any) -> Data:
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, (set, frozenset)):
            return _sorted(value)
        if isinstance(value, (list, tuple)):
            return list(value)
        return {each.name: getattr(value, each.name, None) for each in fields(value)}

    def _string(self, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:
            with suppress(UnicodeError):  # bytes that Python took for text of another encoding: file names, arguments
                return text.encode("utf-8", "surrogateescape").decode()
            self._note("half a character (a lone surrogate) is written as U+FFFD")
            return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text

    def _int(self, value: int) -> int | str:
        if value.bit_length() <= _MAX_INT_BITS:
            return value
        self._note("an integer of thousands of digits is written as a string")
        return f"{Decimal(value):f}"

    def _float(self, value: float) -> float | None:
        if math.isfinite(value):
            return value
        self._note("NaN and Infinity are written as null")
        return None

    def _bytes(self, value: bytes) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError:
            self._note("bytes that are no UTF-8 text are written in base64")
            return base64.b64encode(value).decode()

    def _cycle(self, opened: list[Any] | dict[str, Any]) -> str:
        self._note("what holds itself is cut where the circle closes")
        return "[...]" if isinstance(opened, list) else "{...}"

    def _mapping(self, value: Mapping[Any, Any]) -> Data:
        names = [self._key(key) for key in value]
        if len(set(names)) == len(names):
            return dict(zip(names, value.values(), strict=True))
        self._note("a dict whose keys would be one in JSON is written as a list of [key, value]")
        return [list(item) for item in value.items()]

    def _key(self, key: object) -> str:
        """The key as ``json.dumps`` writes it, where it writes one."""
        if isinstance(key, tuple) and type(key) is tuple:
            return json.dumps(self.of(key), ensure_ascii=False)
        plain = self._opened(key)
        return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, default=_described)

    def _model(self, value: object) -> Data:
        """By the model's own serializers and aliases; by its fields where those fail."""
        from pydantic_core import to_jsonable_python

        try:
            return self._opened(to_jsonable_python(value))
        except Exception:  # noqa: BLE001 - whatever a serializer of the user's raises, the result was paid for
            fields: Mapping[str, Any] = getattr(type(value), "__pydantic_fields__", {})
            given = vars(value) | (getattr(value, "__pydantic_extra__", None) or {})
            return {
                getattr(fields.get(name), "serialization_alias", None) or name: each for name, each in given.items()
            }

    def _other(self, value: object) -> Data:
        """Dates, enums and other types of the standard library; arrays and tables; objects of the user's own."""
        from pydantic_core import to_jsonable_python

        for convert in (to_jsonable_python, _as_lists):
            try:
                return self._opened(convert(value))
            except Exception:  # noqa: BLE001 - not of such a type, or the type's own code fails
                continue
        own = _attributes(value)
        if own and type(value).__str__ is object.__str__ and type(value).__repr__ is object.__repr__:
            self._note(f"an object of type {type(value).__name__} is written as its attributes")
            return self._mapping(own)
        return self._as_text(value)

    def _as_text(self, value: object) -> str:
        self._note(f"an object of type {type(value).__name__} is written as its text")
        return self._string(_described(value))

    def _note(self, said: str) -> None:
        self._notes[said] = None


def _as_lists(value: Any) -> object:
    """What arrays (numpy, torch) and tables (pandas, Arrow, Polars) say of themselves. Raises ``TypeError``."""
    for name in ("tolist", "to_pylist", "to_dicts", "to_dict", "to_list"):
        found = getattr(value, name)() if callable(getattr(value, name, None)) else None
        if type(found) in {list, dict, int, float, str, bool}:
            return found
    raise TypeError(type(value).__name__)


def _attributes(value: object) -> dict[str, object]:
    """The attributes that an object has by ``__dict__`` and ``__slots__``."""
    slots = (getattr(kind, "__slots__", ()) for kind in type(value).__mro__)
    names = [name for each in slots for name in ([each] if isinstance(each, str) else each)]
    found = {name: getattr(value, name) for name in names if hasattr(value, name) and not name.startswith("__")}
    return found | getattr(value, "__dict__", {})


def _pieces(opened: list[Any] | dict[str, Any]) -> list[object]:
    """What stands between a container's own brackets, the opening one included."""
    if isinstance(opened, list):
        pieces: list[object] = [_Json("[")]
        for number, each in enumerate(opened):
            pieces += [_Json(", "), each] if number else [each]
        return pieces
    pieces = [_Json("{")]
    for number, (key, each) in enumerate(opened.items()):
        pieces += [_Json(f"{', ' if number else ''}{json.dumps(key, ensure_ascii=False)}: "), each]
    return pieces


def _sorted(values: Iterable[Any]) -> list[Any]:
    """A set in an order that is the same in every process, where its items have one."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=_described)


def _described(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the user's own `__str__`
        return f"<{type(value).__name__} without a text>"
