"""The types of values: a grammar for Python's type strings, as in ``!agent.value<"list[Query] | None">``.

::

    type  := part (" | " part)*
    part  := name | name "[" (type | "..." | "[" type, ... "]"), ... "]"
           | "Literal" "[" literal, ... "]" | "Annotated" "[" type, metadata, ... "]"

A name is one of :data:`BUILTINS`, or declared by an ``agent.type`` of the module. Literals are Python's, or members of
an enumeration (``Color.RED``); metadata is anything in balanced brackets.

>>> parse_type("dict[str, int | None]").args[1].args[1].name
'None'
"""

from __future__ import annotations

import ast
import collections.abc
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

BUILTINS: Final[dict[str, type]] = {
    **{
        each.__name__: each
        for each in (object, str, bytes, bytearray, int, float, complex, bool, list, tuple, dict, set, frozenset, type)
    },
    **{name: getattr(collections.abc, name) for name in collections.abc.__all__},
    "None": type(None),
}
"""Classes that every module knows."""
WORDS: Final = frozenset({"Any", "Never", "Chat", "Error"})
"""Types that are no classes: what fits anything, what never is, conversations, and caught failures."""
UNION, GROUP, LITERAL, ANNOTATED, ELLIPSIS = "|", "[]", "Literal", "Annotated", "..."
_MOST_NESTED: Final = 100
_MEMBER: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_QUOTED: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_OPENING, _CLOSING = "[({", "])}"


class TypeSyntaxError(ValueError):
    """A text that is no type; the message says why."""


@dataclass(frozen=True, slots=True)
class Type:
    """``name[args]``. A union is called :data:`UNION`, and the list of a callable's parameters :data:`GROUP`."""

    name: str
    args: tuple[Type, ...] = ()
    texts: tuple[str, ...] = ()
    """The values of a ``Literal``, or the metadata of an ``Annotated``."""

    def __str__(self) -> str:
        inner = [*map(str, self.args), *self.texts]
        if self.name == UNION:
            return " | ".join(inner)
        if self.name == GROUP:
            return f"[{', '.join(inner)}]"
        return f"{self.name}[{', '.join(inner)}]" if inner else self.name

    @property
    def plain(self) -> Type:
        """The type without ``Annotated``, which does not matter for what fits."""
        return self.args[0].plain if self.name == ANNOTATED else self

    @property
    def members(self) -> tuple[Type, ...]:
        """The members of a union, or the type itself."""
        return self.args if self.name == UNION else (self,)

    def names(self) -> Iterator[str]:
        """The names in it that have to be known."""
        if self.name == LITERAL:
            yield from (text.rpartition(".")[0] for text in self.texts if _MEMBER.fullmatch(text))
        elif self.name not in (UNION, GROUP, ANNOTATED, ELLIPSIS):
            yield self.name
        for each in self.args:
            yield from each.names()


ANY, NEVER, NONE, STR, INT, BOOL = map(Type, ("Any", "Never", "None", "str", "int", "bool"))
EMPTY_TUPLE: Final = Type("tuple", (), ("",))


@lru_cache(maxsize=4096)
def parse_type(text: str) -> Type:
    """The type that ``text`` says. Raises :class:`TypeSyntaxError`."""
    reader = _Reader(text)
    found = reader.union(0)
    if reader.at < len(text):
        raise TypeSyntaxError(f"`{text[reader.at :]}` is left over")
    return found


def union_of(members: Sequence[Type]) -> Type:
    """The union, flattened, without repetition and in the order in which type strings are written."""
    flat = {str(each): each for member in members for each in member.members}
    ordered = [flat[name] for name in sorted(flat, key=lambda name: (name == "None", name))]
    return ordered[0] if len(ordered) == 1 else Type(UNION, tuple(ordered)) if ordered else NEVER


def class_of_literal(text: str) -> str:
    """The name of the class that a literal is an instance of."""
    member = text.rpartition(".")[0] if _MEMBER.fullmatch(text) else ""
    value: Any = None if member else ast.literal_eval(text)
    return member or ("None" if value is None else type(value).__name__)


class _Reader:
    """Reads one type string from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0

    def union(self, depth: int) -> Type:
        """Parts with bars between them."""
        if depth > _MOST_NESTED:
            raise TypeSyntaxError(f"it is nested more than {_MOST_NESTED} deep")
        parts = [self._part(depth)]
        while self._takes(" | "):
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else Type(UNION, tuple(parts))

    def _part(self, depth: int) -> Type:
        name = self._name()
        if not self._takes("["):
            return Type(name)
        if name == LITERAL:
            return Type(name, (), tuple(map(_literal, self._texts())))
        if name == ANNOTATED:
            inner = self.union(depth + 1)
            return Type(name, (inner,), tuple(self._texts()) if self._takes(", ") else self._ended())
        if name == "tuple" and self._takes("]"):
            return EMPTY_TUPLE
        args = [self._argument(depth)]
        while self._takes(", "):
            args.append(self._argument(depth))
        self._ended()
        return Type(name, tuple(args))

    def _argument(self, depth: int) -> Type:
        if self._takes(ELLIPSIS):
            return Type(ELLIPSIS)
        if not self._takes("["):
            return self.union(depth + 1)
        if self._takes("]"):
            return Type(GROUP)
        group = [self.union(depth + 1)]
        while self._takes(", "):
            group.append(self.union(depth + 1))
        self._ended()
        return Type(GROUP, tuple(group))

    def _name(self) -> str:
        start = self.at
        while self.at < len(self._text) and self._text[self.at] not in "[],|":
            self.at += 1
        name = self._text[start : self.at]
        if self._text.startswith("|", self.at) and name.endswith(" "):
            name, self.at = name[:-1], self.at - 1
        if not name or name != name.strip():
            raise TypeSyntaxError(f"a name is missing at position {start + 1}")
        return name

    def _texts(self) -> list[str]:
        """Texts up to the closing bracket, split at commas that are in no brackets and no quotes."""
        texts, depth, start = [], 0, self.at
        while self.at < len(self._text):
            quoted = _QUOTED.match(self._text, self.at)
            char = self._text[self.at]
            if quoted:
                self.at = quoted.end()
                continue
            if depth == 0 and char in ",]":
                texts.append(self._text[start : self.at])
                self.at += 1
                if char == "]":
                    return texts
                self._takes(" ")
                start = self.at
                continue
            depth += (char in _OPENING) - (char in _CLOSING)
            self.at += 1
        raise TypeSyntaxError("a bracket is not closed")

    def _ended(self) -> tuple[str, ...]:
        if not self._takes("]"):
            raise TypeSyntaxError(f"a `]` is missing at position {self.at + 1}")
        return ()

    def _takes(self, word: str) -> bool:
        if not self._text.startswith(word, self.at):
            return False
        self.at += len(word)
        return True


def _literal(text: str) -> str:
    """The text of a literal as it is always written."""
    if _MEMBER.fullmatch(text):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = ...
    if not isinstance(value, (str, bytes, int, type(None))):
        raise TypeSyntaxError(f"`{text}` is no literal")
    return repr(value)
