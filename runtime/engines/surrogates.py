"""Text that can be encoded: no half of a surrogate pair is left in it.

JSON escapes a character outside the basic plane as two halves (``"\\ud83d\\ude00"``), and servers cut between them;
file names and arguments that are not UTF-8 come as halves too. A pair becomes its character, a lone half U+FFFD.

>>> well_formed("a\\ud83d\\ude00 b\\ud83d") == "a\\U0001f600 b\\ufffd"
True
>>> joiner = Joiner()
>>> [joiner.feed(piece) for piece in ("a\\ud83d", "\\ude00b", "c\\ud83d")] + [joiner.end()] == [
...     "a", "\\U0001f600b", "c", "\\ufffd"]
True
"""

from __future__ import annotations

from typing import Final

FIRST_HALVES: Final = ("\ud800", "\udbff")


def well_formed(text: str) -> str:
    """``text`` with pairs joined and lone halves replaced; the same object where there are none."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class Joiner:
    """Joins halves over the pieces of a stream."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """What can be shown now; a first half at the end waits for the next piece."""
        text = self._half + piece
        self._half = ""
        if text and FIRST_HALVES[0] <= text[-1] <= FIRST_HALVES[1]:
            text, self._half = text[:-1], text[-1]
        return well_formed(text)

    def end(self) -> str:
        """What is left when no piece follows."""
        left, self._half = well_formed(self._half), ""
        return left
