"""The methods of texts that give something: each function takes the text first, and is the method of its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final


def _text(method: Callable[[str], str]) -> Callable[..., str]:
    def of_text(text: str) -> str:
        return method(text)

    return of_text


def _test(method: Callable[[str], bool]) -> Callable[..., bool]:
    def of_text(text: str) -> bool:
        return method(text)

    return of_text


def center(text: str, width: int, fillchar: str = " ") -> str:
    return text.center(width, fillchar)


def count(text: str, sub: str, start: int | None = None, end: int | None = None) -> int:
    return text.count(sub, start, end)


def cut(text: str, length: int, end: str = "") -> str:
    """No method of Python's: at most ``length`` characters, of a longer text the first, with ``end`` for the last."""
    if length < 0:
        raise ValueError(f"a text of {length} characters")
    return text if len(text) <= length else text[: max(length - len(end), 0)] + end[:length]


def encode(text: str, encoding: str = "utf-8", errors: str = "strict") -> bytes:
    return text.encode(encoding, errors)


def endswith(text: str, suffix: str | tuple[str, ...], start: int | None = None, end: int | None = None) -> bool:
    return text.endswith(suffix, start, end)


def expandtabs(text: str, tabsize: int = 8) -> str:
    return text.expandtabs(tabsize)


def find(text: str, sub: str, start: int | None = None, end: int | None = None) -> int:
    return text.find(sub, start, end)


def format_(text: str, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] = {}) -> str:
    return text.format(*args, **kwargs)


def index(text: str, sub: str, start: int | None = None, end: int | None = None) -> int:
    return text.index(sub, start, end)


def join(text: str, items: Iterable[str]) -> str:
    return text.join(items)


def ljust(text: str, width: int, fillchar: str = " ") -> str:
    return text.ljust(width, fillchar)


def lstrip(text: str, chars: str | None = None) -> str:
    return text.lstrip(chars)


def partition(text: str, sep: str) -> tuple[str, str, str]:
    return text.partition(sep)


def removeprefix(text: str, prefix: str) -> str:
    return text.removeprefix(prefix)


def removesuffix(text: str, suffix: str) -> str:
    return text.removesuffix(suffix)


def replace(text: str, old: str, new: str, count: int = -1) -> str:
    return text.replace(old, new, count)


def rfind(text: str, sub: str, start: int | None = None, end: int | None = None) -> int:
    return text.rfind(sub, start, end)


def rindex(text: str, sub: str, start: int | None = None, end: int | None = None) -> int:
    return text.rindex(sub, start, end)


def rjust(text: str, width: int, fillchar: str = " ") -> str:
    return text.rjust(width, fillchar)


def rpartition(text: str, sep: str) -> tuple[str, str, str]:
    return text.rpartition(sep)


def rsplit(text: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    return text.rsplit(sep, maxsplit)


def rstrip(text: str, chars: str | None = None) -> str:
    return text.rstrip(chars)


def split(text: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    return text.split(sep, maxsplit)


def splitlines(text: str, keepends: bool = False) -> list[str]:
    return text.splitlines(keepends)


def startswith(text: str, prefix: str | tuple[str, ...], start: int | None = None, end: int | None = None) -> bool:
    return text.startswith(prefix, start, end)


def strip(text: str, chars: str | None = None) -> str:
    return text.strip(chars)


def zfill(text: str, width: int) -> str:
    return text.zfill(width)


_SHAPED = ("capitalize", "casefold", "lower", "swapcase", "title", "upper")
_TESTED = (
    "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric", "isprintable",
    "isspace", "istitle", "isupper",
)  # fmt: skip
_WRITTEN = (
    center, count, encode, endswith, expandtabs, find, index, join, ljust, lstrip, partition, removeprefix,
    removesuffix, replace, rfind, rindex, rjust, rpartition, rsplit, rstrip, split, splitlines, startswith, strip,
    zfill,
)  # fmt: skip

METHODS: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: _text(getattr(str, name)) for name in _SHAPED},
    **{name: _test(getattr(str, name)) for name in _TESTED},
    **{function.__name__: function for function in _WRITTEN},
    "format": format_,
}
"""It has the functions by the name of the method that they stand for."""
