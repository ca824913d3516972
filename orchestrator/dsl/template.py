"""Prompt templates out of f-strings.

Formatting a symbolic value yields a *marker*: a noncharacter, digits, a noncharacter. Splitting the finished string at
its markers gives the template::

    f"Question: {question}\nSQL:"  ->  parts ("Question: ", "\nSQL:"), holes (question,)

Markers cannot be forged by data, because data only ever arrives in a hole, when the workflow runs; text that is known
while tracing is trusted code, and each trace draws its own random marker number. They cannot leak into a template
either: the two noncharacters (U+FDD0, U+FDD1, which Unicode reserves for use inside a program) are refused outside of a
whole marker, so a marker that a string operation has cut is an error and not text for a model to read.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
_MARKER = re.compile(f"{_OPEN}([0-9]+):([0-9]+)(r?){_CLOSE}")


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

    __slots__ = ("_number",)

    def __init__(self) -> None:
        self._number = str(secrets.randbits(64))

    def of(self, hole: int) -> str:
        """The text that stands for the value with this index."""
        return f"{_OPEN}{self._number}:{hole}{_CLOSE}"

    def of_repr(self, hole: int) -> str:
        """The text that stands for ``repr`` of the value: legal anywhere but in a template."""
        return f"{_OPEN}{self._number}:{hole}r{_CLOSE}"

    def split(self, text: str) -> Template:
        """``text`` as a template.

        Raises :class:`CutMarkerError`, :class:`ForeignMarkerError` or :class:`ConvertedMarkerError`.
        """
        if _OPEN not in text and _CLOSE not in text and self._number not in text:
            return Template((text,), ())
        pieces = _MARKER.split(text)
        parts = tuple(pieces[0::4])
        if any(_OPEN in part or _CLOSE in part or self._number in part for part in parts):
            raise CutMarkerError
        if any(number != self._number for number in pieces[1::4]):
            raise ForeignMarkerError
        for hole, converted in zip(pieces[2::4], pieces[3::4], strict=True):
            if converted:
                raise ConvertedMarkerError(int(hole))
        return Template(parts, tuple(int(hole) for hole in pieces[2::4]))


def has_marker(text: str) -> bool:
    """Whether ``text`` mentions a symbolic value of any trace."""
    return _OPEN in text or _CLOSE in text
