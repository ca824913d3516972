"""Prompt templates out of f-strings.

Formatting a symbolic value yields a *marker*. Splitting the finished string at its markers gives the template::

    f"Question: {question}\nSQL:"  ->  parts ("Question: ", "\nSQL:"), holes (question,)

A marker consists only of noncharacters, code points that Unicode reserves for use inside a program (U+FDD0 to U+FDDD).
It cannot be forged by data, because data only ever arrives in a hole, when the workflow runs; text that is known while
tracing is trusted code, and each trace draws its own random marker number. It cannot leak into a template either: these
code points are refused outside of a whole marker, so a marker that a string operation has cut is an error and never
text for a model to read.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

_DIGITS = "\ufdd0\ufdd1\ufdd2\ufdd3\ufdd4\ufdd5\ufdd6\ufdd7\ufdd8\ufdd9"
_OPEN, _COLON, _REPR, _CLOSE = "\ufdda", "\ufddb", "\ufddc", "\ufddd"
_RESERVED = re.compile(f"[{_DIGITS}{_OPEN}{_COLON}{_REPR}{_CLOSE}]")
_ESCAPED = ascii(_OPEN)[1:-1]
_MARKER = re.compile(f"{_OPEN}([{_DIGITS}]+){_COLON}([{_DIGITS}]+)({_REPR}?){_CLOSE}")
_TO_RESERVED = str.maketrans("0123456789", _DIGITS)
_FROM_RESERVED = str.maketrans(_DIGITS, "0123456789")


class CutMarkerError(ValueError):
    """Part of a marker is left in the text."""


class ForeignMarkerError(ValueError):
    """A marker of another trace."""


class ConvertedMarkerError(ValueError):
    """A marker that went through ``repr``; ``hole`` is its index."""

    def __init__(self, hole: int) -> None:
        super().__init__(hole)
        self.hole = hole


@dataclass(frozen=True, slots=True)
class Template:
    """``len(holes) + 1`` literal parts around the indices of the values that fill the holes."""

    parts: tuple[str, ...]
    holes: tuple[int, ...]


class Markers:
    """The markers of one trace."""

    __slots__ = ("_prefix",)

    def __init__(self) -> None:
        self._prefix = f"{_OPEN}{_encode(secrets.randbits(64))}{_COLON}"

    def of(self, hole: int) -> str:
        """The text that stands for the value with this index."""
        return f"{self._prefix}{_encode(hole)}{_CLOSE}"

    def of_repr(self, hole: int) -> str:
        """The text that stands for ``repr`` of the value: legal anywhere but in a template."""
        return f"{self._prefix}{_encode(hole)}{_REPR}{_CLOSE}"

    def split(self, text: str) -> Template:
        """``text`` as a template.

        Raises :class:`CutMarkerError`, :class:`ForeignMarkerError` or :class:`ConvertedMarkerError`.
        """
        if not has_marker(text):
            return Template((text,), ())
        pieces = _MARKER.split(text)
        parts = tuple(pieces[0::4])
        if any(map(has_marker, parts)):
            raise CutMarkerError
        if any(f"{_OPEN}{number}{_COLON}" != self._prefix for number in pieces[1::4]):
            raise ForeignMarkerError
        holes = tuple(int(hole.translate(_FROM_RESERVED)) for hole in pieces[2::4])
        for hole, converted in zip(holes, pieces[3::4], strict=True):
            if converted:
                raise ConvertedMarkerError(hole)
        return Template(parts, holes)


def has_marker(text: str) -> bool:
    """Whether ``text`` mentions a symbolic value of any trace, be it escaped, as by ``ascii()`` or ``json.dumps()``."""
    return _ESCAPED in text or (not text.isascii() and _RESERVED.search(text) is not None)


def _encode(number: int) -> str:
    return str(number).translate(_TO_RESERVED)
