"""Values as trees of what JSON has, and back: walked by what each value *is*, not by what it was declared to be.

What JSON tells apart is written as it is: None, booleans, ints, floats, texts, lists, and dicts of texts. All else is
an object whose first key begins with a tilde and says what it is, ``{"~tuple": [1, 2]}`` or ``{"~:Point": {"x": 1}}``;
a dict with such a key in front is written as ``{"~dict": ...}`` itself. So a value comes back as what it was, also
where its declared type allows several things, or anything.

Nothing of the user's runs on the way: instances are taken apart and put together without their constructors and
validators, as what they hold was checked when it became a value of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, Protocol

DEEPEST: Final = 100
"""So many values may stand in each other. Text that is deeper could not be read everywhere that it is written."""
PLAIN: Final[frozenset[type]] = frozenset({str, int, float, bool, type(None)})
"""Their values are leaves of the tree as they are."""


class NotKeptError(ValueError):
    """A value that cannot be written so that it comes back as what it is; the message says which, and why."""


class NotReadError(ValueError):
    """Data that is no value, or one of classes that are other ones now, or are not there; the message says which."""


class Conversations(Protocol):
    """Where the conversations of a run are (:class:`orchestrator.runtime.journal.lines.chats.Chats`)."""

    def number(self, conversation: Any) -> int:
        """The node of a conversation's last message."""

    def conversation(self, number: int, model: Any, session: Any, engine: Any, shared: Any) -> Any:
        """The conversation that ends there."""

    def noted(self, text: str) -> int | None:
        """The node that has this text, where it pays to name it."""

    def replied(self, text: str, calls: tuple[Any, ...]) -> int | None:
        """The node of a message that says this and makes these calls, if there is one."""

    def text(self, number: int) -> str:
        """The text of a node."""

    def message(self, number: int) -> Any:
        """The message of a node."""


Write = Callable[["Writer", Any, int], Any]
"""It makes the tree of a value at a depth."""
Read = Callable[["Reader", Any], Any]
"""It makes the value of what stands behind a tag."""


class Writer:
    """The making of one tree."""

    __slots__ = ("chats", "forms")
    plain: ClassVar[frozenset[type]] = PLAIN
    exact: ClassVar[bool] = False

    def __init__(self, forms: Mapping[type, Write], chats: Conversations | None) -> None:
        self.forms = forms
        self.chats = chats

    def tree(self, value: Any, depth: int = 0) -> Any:
        """The tree of a value. Raises :class:`NotKeptError`."""
        kind = type(value)
        if kind in self.plain:
            return value
        if depth > DEEPEST:
            raise NotKeptError(f"a value is nested more than {DEEPEST} deep, or holds itself")
        return self.forms[kind](self, value, depth + 1)

    def items(self, values: Iterable[Any], depth: int) -> list[Any]:
        """The trees of several values."""
        plain = self.plain
        return [each if type(each) in plain else self.tree(each, depth) for each in values]

    def fields(self, held: dict[str, Any], depth: int) -> dict[str, Any]:
        """The trees of values by names that are no tags."""
        plain = self.plain
        if plain.issuperset(map(type, held.values())):
            return held
        return {name: each if type(each) in plain else self.tree(each, depth) for name, each in held.items()}


class ExactWriter(Writer):
    """It also marks what JSON has no form for in texts and numbers, such as NaN and halves of surrogate pairs."""

    __slots__ = ()
    plain: ClassVar[frozenset[type]] = frozenset({bool, type(None)})
    exact = True


class Reader:
    """The reading of trees."""

    __slots__ = ("chats", "readers")

    def __init__(self, readers: Mapping[str, Read], chats: Conversations | None) -> None:
        self.readers = readers
        self.chats = chats

    def value(self, data: Any) -> Any:
        """The value of a tree, which keeps nothing of the tree that could be changed."""
        kind = type(data)
        if kind is dict:
            for first in data:
                if first[:1] == "~":
                    return self.readers[first](self, data[first])
                break
            return self.fields(data)
        if kind is list:
            return data.copy() if PLAIN.issuperset(map(type, data)) else self.items(data)
        return data

    def items(self, data: Iterable[Any]) -> list[Any]:
        """The values of several trees."""
        return [each if type(each) in PLAIN else self.value(each) for each in data]

    def fields(self, data: dict[str, Any]) -> dict[str, Any]:
        """The values of trees by names that are no tags."""
        if PLAIN.issuperset(map(type, data.values())):
            return data.copy()
        return {name: each if type(each) in PLAIN else self.value(each) for name, each in data.items()}
