"""How values of Python's own classes, pydantic's and ours are written: by class, and read by tag."""

from __future__ import annotations

import datetime
import ipaddress
import pathlib
import re
import uuid
from base64 import b64decode, b64encode
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final
from zoneinfo import ZoneInfo

import pydantic_core

from orchestrator.dsl.logprobs import Logprobs, TokenLogprob
from orchestrator.dsl.models.messages import Message, Reply, ToolCall
from orchestrator.dsl.models.parts import Part
from orchestrator.errors import Error
from orchestrator.runtime.journal.lines.secrets import WRITTEN, sealed, unsealed
from orchestrator.runtime.journal.values.tree import (
    Conversations,
    NotKeptError,
    NotReadError,
    Read,
    Reader,
    Write,
    Writer,
)
from orchestrator.runtime.values.at_run_time import Conversation

_ONLY_TEXTS: Final = frozenset({str})
_MOST_DIGITS_BITS: Final = 13_000
"""An int of more bits may have more digits than Python reads."""
_FACTORIES: Final[dict[str, Callable[[], Any] | None]] = {
    "": None, **{each.__name__: each for each in (int, float, str, bool, list, dict, set, tuple, bytes)}
}  # fmt: skip
"""What a ``defaultdict`` may make, by name."""


# What JSON has


def is_text(value: str) -> bool:
    """Whether it is whole characters, which UTF-8 has bytes for."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(_w: Writer, value: str, _depth: int) -> Any:
    return value if is_text(value) else {"~text": value.encode("utf-8", "surrogatepass").hex()}


def _int(_w: Writer, value: int, _depth: int) -> Any:
    return value if value.bit_length() < _MOST_DIGITS_BITS else {"~int": hex(value)}


def _float(_w: Writer, value: float, _depth: int) -> Any:
    return value if value - value == 0.0 else {"~float": str(value)}


def _list(w: Writer, value: list[Any], depth: int) -> Any:
    return value if w.plain.issuperset(map(type, value)) else w.items(value, depth)


def _dict(w: Writer, value: dict[Any, Any], depth: int) -> Any:
    if not _ONLY_TEXTS.issuperset(map(type, value)) or (w.exact and not all(map(is_text, value))):
        return {"~dict": _pairs(w, value, depth)}
    for first in value:
        if first[:1] == "~":
            return {"~dict": _pairs(w, value, depth)}
        break
    return w.fields(value, depth)


def _pairs(w: Writer, value: dict[Any, Any], depth: int) -> list[Any]:
    """Keys and values in turn."""
    return w.items([each for pair in value.items() for each in pair], depth)


def _of_pairs(r: Reader, held: list[Any]) -> dict[Any, Any]:
    flat = r.items(held)
    return dict(zip(flat[::2], flat[1::2], strict=True))


# Dates and times


def _zone(zone: datetime.tzinfo | None) -> Any:
    """A fixed offset in days, seconds and microseconds, with its name if it has one; pydantic's in seconds; a key."""
    kind = type(zone)
    if zone is None:
        return None
    if kind is datetime.timezone:
        offset = zone.utcoffset(None)
        name = str(zone)
        return [*_parts(offset), *([] if name == str(datetime.timezone(offset)) else [name])]  # type: ignore[arg-type]
    if kind is pydantic_core.TzInfo:
        return zone.__reduce__()[1][0]
    if isinstance(zone, ZoneInfo) and kind is ZoneInfo and zone.key is not None:
        return zone.key
    raise NotKeptError(f"the time zone {zone!r:.100} is neither a `ZoneInfo` nor a fixed offset")


def _of_zone(held: Any) -> datetime.tzinfo | None:
    if held is None:
        return None
    if isinstance(held, str):
        return ZoneInfo(held)
    if isinstance(held, int):
        return pydantic_core.TzInfo(held)
    return datetime.timezone(datetime.timedelta(*held[:3]), *held[3:])


def _moment(tag: str) -> Write:
    def write(_w: Writer, value: datetime.datetime | datetime.time, _depth: int) -> Any:
        if value.tzinfo is None and not value.fold:
            return {tag: value.isoformat()}
        return {tag: [value.replace(tzinfo=None).isoformat(), _zone(value.tzinfo), value.fold]}

    return write


def _of_moment(parsed: Callable[[str], Any]) -> Read:
    def read(_r: Reader, held: Any) -> Any:
        if isinstance(held, str):
            return parsed(held)
        text, zone, fold = held
        return parsed(text).replace(tzinfo=_of_zone(zone), fold=fold)

    return read


def _parts(value: datetime.timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


# Others


def _set(tag: str) -> Write:
    return lambda w, value, depth: {tag: w.items(value, depth)}


def _of_items(make: Callable[[list[Any]], Any]) -> Read:
    return lambda r, held: make(r.items(held))


def _as_text(tag: str) -> Write:
    """A value whose text its class reads again."""
    return lambda w, value, depth: {tag: w.tree(str(value), depth)}


def _of_text(make: Callable[[str], Any]) -> Read:
    return lambda r, held: make(r.value(held))


def _named(tag: str) -> Write:
    """The same where several classes have one tag."""
    return lambda w, value, depth: {tag: [type(value).__name__, w.tree(str(value), depth)]}


def _of_named(classes: Iterable[type]) -> Read:
    known: dict[str, Any] = {each.__name__: each for each in classes}
    return lambda r, held: known[held[0]](r.value(held[1]))


def _bytes(tag: str) -> Write:
    return lambda _w, value, _depth: {tag: b64encode(value).decode()}


def _deque(w: Writer, value: deque[Any], depth: int) -> Any:
    return {"~deque": [w.items(value, depth), value.maxlen]}


def _defaultdict(w: Writer, value: defaultdict[Any, Any], depth: int) -> Any:
    name = next((name for name, made in _FACTORIES.items() if made is value.default_factory), None)
    if name is None:
        raise NotKeptError(f"a `defaultdict` that makes its values by {value.default_factory!r:.100}")
    return {"~defaultdict": [name, _pairs(w, value, depth)]}


def _reply(w: Writer, value: Reply, depth: int) -> Any:
    """A reply, by the message that was made of it where that is known, or by its text."""
    said, known = w.items([value.text, value.calls], depth), None
    if w.chats is not None and value.calls:
        known = w.chats.replied(value.text, tuple(value.calls))
        said = said if known is None else [known]
    elif w.chats is not None and type(value.text) is str and (known := w.chats.noted(value.text)) is not None:
        said[0] = {"~said": known}
    return {"~reply": [*said, *w.items([value.problem, value.is_final], depth)]}


def _of_reply(r: Reader, held: list[Any]) -> Reply:
    *said, problem, is_final = held
    if len(said) == 1:
        message = conversations(r).message(said[0])
        return Reply(message.content, list(message.calls), r.value(problem), is_final)
    return Reply(*r.items([*said, problem, is_final]))


def _said(r: Reader, held: int) -> str:
    return conversations(r).text(held)


def _conversation(w: Writer, value: Conversation, depth: int) -> Any:
    if w.chats is None:
        raise NotKeptError("a conversation, where there is no place for its messages")
    number = w.chats.number(value)
    return {"~chat": [number, *w.items([value.model, value.session, value.engine, value.shared], depth)]}


def _of_conversation(r: Reader, held: list[Any]) -> Any:
    number, *rest = r.items(held)
    return conversations(r).conversation(number, *rest)


def conversations(r: Reader) -> Conversations:
    """Those of a reader. Raises :class:`NotReadError` if it has none."""
    if r.chats is None:
        raise NotReadError("a conversation, of which the messages are not there")
    return r.chats


_PATHS: Final = (pathlib.PosixPath, pathlib.PurePosixPath, pathlib.WindowsPath, pathlib.PureWindowsPath)
_ADDRESSES: Final = (
    ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network,
    ipaddress.IPv4Interface, ipaddress.IPv6Interface,
)  # fmt: skip
_URLS: Final = (pydantic_core.Url, pydantic_core.MultiHostUrl)

WRITES: Final[dict[type, Write]] = {
    str: _text,
    int: _int,
    float: _float,
    list: _list,
    dict: _dict,
    tuple: _set("~tuple"),
    set: _set("~set"),
    frozenset: _set("~frozenset"),
    bytes: _bytes("~bytes"),
    bytearray: _bytes("~bytearray"),
    complex: lambda w, value, depth: {"~complex": w.items((value.real, value.imag), depth)},
    range: lambda w, value, depth: {"~range": w.items((value.start, value.stop, value.step), depth)},
    datetime.date: _as_text("~date"),
    datetime.datetime: _moment("~datetime"),
    datetime.time: _moment("~time"),
    datetime.timedelta: lambda _w, value, _depth: {"~timedelta": _parts(value)},
    Decimal: _as_text("~decimal"),
    Fraction: lambda w, value, depth: {"~fraction": w.items((value.numerator, value.denominator), depth)},
    uuid.UUID: _as_text("~uuid"),
    re.Pattern: lambda w, value, depth: {"~pattern": w.items((value.pattern, value.flags), depth)},
    deque: _deque,
    OrderedDict: lambda w, value, depth: {"~ordered": _pairs(w, value, depth)},
    defaultdict: _defaultdict,
    Reply: _reply,
    Conversation: _conversation,
    **dict.fromkeys(WRITTEN, lambda _w, value, _depth: {"~secret": sealed(value)}),
    **dict.fromkeys(_PATHS, _named("~path")),
    **dict.fromkeys(_ADDRESSES, _named("~address")),
    **dict.fromkeys(_URLS, _named("~url")),
}
"""How values of these very classes are written."""

READS: Final[dict[str, Read]] = {
    "~text": lambda _r, held: bytes.fromhex(held).decode("utf-8", "surrogatepass"),
    "~int": lambda _r, held: int(held, 16),
    "~float": lambda _r, held: float(held),
    "~dict": _of_pairs,
    "~tuple": _of_items(tuple),
    "~set": _of_items(set),
    "~frozenset": _of_items(frozenset),
    "~bytes": lambda _r, held: b64decode(held, validate=True),
    "~bytearray": lambda _r, held: bytearray(b64decode(held, validate=True)),
    "~complex": lambda r, held: complex(*r.items(held)),
    "~range": lambda r, held: range(*r.items(held)),
    "~date": _of_text(datetime.date.fromisoformat),
    "~datetime": _of_moment(datetime.datetime.fromisoformat),
    "~time": _of_moment(datetime.time.fromisoformat),
    "~timedelta": lambda _r, held: datetime.timedelta(*held),
    "~decimal": _of_text(Decimal),
    "~fraction": lambda r, held: Fraction(*r.items(held)),
    "~uuid": _of_text(uuid.UUID),
    "~pattern": lambda r, held: re.compile(*r.items(held)),
    "~deque": lambda r, held: deque(r.items(held[0]), held[1]),
    "~ordered": lambda r, held: OrderedDict(_of_pairs(r, held)),
    "~defaultdict": lambda r, held: defaultdict(_FACTORIES[held[0]], _of_pairs(r, held[1])),
    "~reply": _of_reply,
    "~said": _said,
    "~chat": _of_conversation,
    "~secret": lambda _r, held: unsealed(held),
    "~path": _of_named(_PATHS),
    "~address": _of_named(_ADDRESSES),
    "~url": _of_named(_URLS),
}
"""How they are read."""

OWN: Final[dict[type, str]] = {
    Error: "~error",
    Message: "~message",
    Part: "~part",
    ToolCall: "~call",
    Logprobs: "~logprobs",
    TokenLogprob: "~logprob",
}
"""Dataclasses of ours, whose tags stay when they are moved."""
