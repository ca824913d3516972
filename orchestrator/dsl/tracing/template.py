"""Prompt templates out of f-strings.

Formatting a symbolic value yields a *marker*. Splitting the finished string at its markers gives the template::

    f"Question: {question}\nSQL:"  ->  parts ("Question: ", "\nSQL:"), holes (question,)

A marker is made of noncharacters, code points that Unicode reserves for use inside a program (U+FDD0 to U+FDDE). It
cannot be forged by data, because data only ever arrives in a hole, when the workflow runs; text that is known while
tracing is trusted code, and each trace draws its own random marker number. It cannot leak into a template either: these
code points are refused outside of a whole marker, so a marker that a string operation has cut is an error and never
text for a model to read.

An operation that would change a value's text must not pass for one that leaves it alone. So a marker also contains a
*canary*: what such operations change. Upper case, collapsed whitespace, expanded tabs, indented lines, escaped quotes,
doubled braces that a second ``format`` halves: each leaves a marker that is no longer whole.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass

_DIGITS = "\ufdd0\ufdd1\ufdd2\ufdd3\ufdd4\ufdd5\ufdd6\ufdd7\ufdd8\ufdd9"
_OPEN, _COLON, _REPR, _CLOSE, _BETWEEN = "\ufdda", "\ufddb", "\ufddc", "\ufddd", "\ufdde"
_RESERVED = re.compile(f"[{_DIGITS}{_OPEN}{_COLON}{_REPR}{_CLOSE}{_BETWEEN}]")
_ESCAPED = ascii(_OPEN)[1:-1]
_LETTERS = "".join(secrets.choice(string.ascii_lowercase) for _ in range(12))
"""They stay where what is no letter of ASCII is dropped or escaped, and occur nowhere else in this process."""
_FORMATS = "{}%$"
_CHANGED = [2 * char if char in _FORMATS else char for char in string.punctuation]
_CANARY = _BETWEEN.join([*string.ascii_letters, *string.digits, *_CHANGED, " ", "\t", "\u2028", "\u00e9", "e\u0301"])
_END = f"{_CANARY}{_CLOSE}"
_MARKER = re.compile(
    f"{_OPEN}(?:{_LETTERS})?([{_DIGITS}]+){_COLON}([{_DIGITS}]+)({_REPR}|{re.escape(_CANARY)}){_CLOSE}"
)
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

    __slots__ = ("_number", "_start")

    def __init__(self) -> None:
        self._number = _encode(secrets.randbits(64))
        self._start = f"{_OPEN}{_LETTERS}{self._number}{_COLON}"

    def of(self, hole: int) -> str:
        """The text that stands for the value with this index."""
        return f"{self._start}{_encode(hole)}{_END}"

    def of_repr(self, hole: int) -> str:
        """The text that stands for ``repr`` of the value: legal anywhere but in a template."""
        return f"{_OPEN}{self._number}{_COLON}{_encode(hole)}{_REPR}{_CLOSE}"

    def named(self, text: str, names: Sequence[str]) -> str:
        """``text`` for a person to read: each marker of this trace is the name of its value, in braces."""

        def name(found: re.Match[str]) -> str:
            return f"{{{names[_hole(found[2])]}}}" if found[1] == self._number else found[0]

        return _MARKER.sub(name, text)

    def split(self, text: str) -> Template:
        """``text`` as a template.

        Raises :class:`CutMarkerError`, :class:`ForeignMarkerError` or :class:`ConvertedMarkerError`.
        """
        part, *others = text.split(self._start)
        parts, holes = [part], []
        for other in others:
            length = len(other) - len(other.lstrip(_DIGITS))
            if not length or not other.startswith(_END, length):
                raise self._reason(text)
            holes.append(_hole(other[:length]))
            parts.append(other[length + len(_END) :])
        if any(map(has_marker, parts)):
            raise self._reason(text)
        return Template(tuple(parts), tuple(holes))

    def _reason(self, text: str) -> ValueError:
        """Why ``text``, which has more in it than whole markers of this trace, is no template."""
        found = list(_MARKER.finditer(text))
        if has_marker(without_markers(text)):
            return CutMarkerError()
        if any(each[1] != self._number for each in found):
            return ForeignMarkerError()
        return ConvertedMarkerError(next(_hole(each[2]) for each in found if each[3] == _REPR))


def has_marker(text: str) -> bool:
    """Whether ``text`` mentions a symbolic value of any trace, be it escaped, as by ``ascii()`` or ``json.dumps()``."""
    if text.isascii():
        return _LETTERS in text or _ESCAPED in text
    return _RESERVED.search(text) is not None or _LETTERS in text or _ESCAPED in text


def without_markers(text: str) -> str:
    """The text around whole markers."""
    return _MARKER.sub("", text)


def _encode(number: int) -> str:
    return str(number).translate(_TO_RESERVED)


def _hole(digits: str) -> int:
    return int(digits.translate(_FROM_RESERVED))


A_MARKER = Markers().of(0)
"""The marker of no trace: an example of a text with a placeholder."""
