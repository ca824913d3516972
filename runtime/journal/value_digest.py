"""A digest that equal values of the same types share, in any process and however they came about.

A value is taken apart as pickling it would: lists, sets (in whatever order they are) and dicts into what they hold,
models into their fields, and any other object into what it is made of. What cannot be taken apart, such as a lock, and
what lies very deep, counts by its class only, and a secret by being one. So different values may have the same digest,
but equal ones that are made anew, in another attempt of a tool, never differ by an address or an order of hashes.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from hashlib import blake2b
from types import BuiltinFunctionType, FunctionType
from typing import Any, Final

from pydantic import BaseModel

from orchestrator.runtime.journal.lines.secrets import SECRETS
from orchestrator.runtime.values.at_run_time import Conversation

DEEPEST: Final = 100
PLAIN_DEPTH: Final = 8
PLAIN_PARTS: Final = 1000
"""Up to here plain data is digested as one; beyond it might be visited for ever, as its parts may be shared."""
_ATOMS: Final = frozenset({str, int, float, complex, bool, bytes, type(None)})
_CONTAINERS: Final = frozenset({list, tuple, dict})
_TEXT: Final = frozenset({str})
_NAMED: Final = (type, FunctionType, BuiltinFunctionType)


def value_digest(value: object) -> str:
    """The digest of a value; nothing raises, and what the user's ``__reduce__`` raises is left out."""
    digest = _plain(value)
    return (_Digests().taken_apart(value, 0) if digest is None else digest).hex()


def _plain(value: object) -> bytes | None:
    """The digest of plain data; None of what is not, is of more than 2 GiB, or is changed by another thread."""
    kind = type(value)
    if kind not in _ATOMS and kind not in _CONTAINERS:
        return None
    try:
        plain = _ordered(value, PLAIN_DEPTH, [PLAIN_PARTS])
        return blake2b(b"plain" + marshal.dumps(plain, 2), digest_size=16).digest()  # 3 tells shared from equal parts
    except Exception:  # noqa: BLE001 - it is taken apart then
        return None


class _Digests:
    """Those of the parts of one value."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, bytes]] = {}
        """Its keys are identities; objects are kept, so that no other has theirs. In an object it is its class's."""

    def of(self, value: Any, depth: int) -> bytes:
        digest = _plain(value)
        return self.taken_apart(value, depth) if digest is None else digest

    def taken_apart(self, value: Any, depth: int) -> bytes:
        kind = type(value)
        if issubclass(kind, SECRETS):  # a digest of it would let who has a guess know that it is right
            return _digest([b"secret"])
        if issubclass(kind, _NAMED):
            return _digest([b"named", _name(value)])
        if id(value) in self._known:
            return self._known[id(value)][1]
        own = _digest([b"class", _name(kind)])
        self._known[id(value)] = value, own
        if depth < DEEPEST:
            try:
                own = _digest([own, *self._parts(value, kind, depth + 1)])
            except Exception:  # noqa: BLE001 - it cannot be taken apart, or another thread changes it
                return own
            self._known[id(value)] = value, own
        return own

    def _parts(self, value: Any, kind: type, depth: int) -> Iterable[bytes]:
        if kind is list or kind is tuple:
            return [self.of(each, depth) for each in value]
        if issubclass(kind, (set, frozenset)):
            return sorted(self.of(each, depth) for each in value)
        if kind is dict:
            return sorted(self._pair(each, depth) for each in value.items())
        if issubclass(kind, BaseModel):
            return [self.of(value.__dict__, depth), self.of(value.__pydantic_extra__, depth)]
        if kind is Conversation:  # its session is another in another attempt
            return [self._messages(value, depth), self.of(value.model, depth)]
        return self._reduced(value.__reduce_ex__(4), depth)

    def _messages(self, conversation: Conversation, depth: int) -> bytes:
        """What is known of it is a part of what went before."""
        count, digest = conversation.digested
        for message in conversation.messages[count:]:
            digest = _digest([digest, self.of(message, depth)])
        object.__setattr__(conversation, "digested", (len(conversation.messages), digest))
        return digest

    def _reduced(self, made: str | tuple[Any, ...], depth: int) -> list[bytes]:
        if isinstance(made, str):
            return [self.of(made, depth)]
        function, arguments, state, items, entries = (*made, None, None, None)[:5]
        parts = [self.of(each, depth) for each in (function, arguments, state, *(items or ()))]
        return parts + [self._pair(each, depth) for each in entries or ()]

    def _pair(self, entry: tuple[object, object], depth: int) -> bytes:
        key, value = entry
        return _digest([self.of(key, depth), self.of(value, depth)])


def _ordered(value: Any, depth: int, left: list[int]) -> Any:
    """Plain data, with its dicts in the order of their keys: what most results are made of.

    Raises ``TypeError`` where anything in it is not, or there is too much of it.
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    left[0] -= 1
    if not depth or left[0] < 0 or kind not in _CONTAINERS:
        raise TypeError
    if kind is dict:
        if not _TEXT.issuperset(map(type, value)):
            raise TypeError
        ordered = dict(sorted(value.items()))  # no two keys are alike, so no values are compared
        if _ATOMS.issuperset(map(type, value.values())):
            return ordered
        return {key: _ordered(each, depth - 1, left) for key, each in ordered.items()}
    if _ATOMS.issuperset(map(type, value)):
        return value
    if len(value) > left[0] and len(value) - sum(map(_ATOMS.__contains__, map(type, value))) > left[0]:
        raise TypeError  # before any is looked into
    return kind([each if type(each) in _ATOMS else _ordered(each, depth - 1, left) for each in value])


def _name(named: Any) -> bytes:
    return f"{named.__module__}.{named.__qualname__}".encode(errors="surrogatepass")


def _digest(parts: Iterable[bytes]) -> bytes:
    """Of parts of which at most the last one may have any length."""
    return blake2b(b"".join(parts), digest_size=16).digest()
