"""The conversations of one run, each message stored once, and each long text.

A conversation is the name of its last message. A message is a *node*: a number, the number of the message before it, 0
for none, and what it is. So a turn adds its own messages only, and conversations that begin alike share their nodes. A
text of some length is a node as well, since the same one often is what a tool gives, what is said of it to a model, and
what a loop hands on: a message of which the text is known names that in place of it.

    chats = Chats()
    text = encode(Chat, talk, chats)        # {"~chat": [4, ...]}
    chats.take_fresh()                      # texts of the nodes up to 4 that are not stored yet, parents first

Whoever reads them again adds them to another ``Chats`` before it decodes what names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, NamedTuple
from uuid import uuid4

from orchestrator.dsl.models.messages import Message, ToolCall
from orchestrator.runtime.journal.lines.stored import decode, encode
from orchestrator.runtime.journal.values.tree import NotReadError
from orchestrator.runtime.values.at_run_time import Conversation

WORTH_NAMING: Final = 64
"""A text of fewer characters is written again rather than named."""
WORTH_KEEPING: Final = 256
"""One of so many is kept so that it can be named, though nothing has named it yet."""
_NAMED: Final = re.compile(r'\{"~(?:chat|said|reply)":\[?(\d+)')


class _Node(NamedTuple):
    parent: int
    what: Message | str
    about: int
    """The node that has the text of a message; 0 where it is written with the message."""


class Chats:
    """The messages and long texts of a run."""

    def __init__(self) -> None:
        self._fresh: dict[int, str] = {}
        """The texts of nodes that have not been taken."""
        self._mark = uuid4().int
        """It tells conversations whose node is remembered which tree that is of."""
        self._nodes: dict[int, _Node] = {}
        self._numbers: dict[tuple[int, Message], int] = {}
        self._texts: dict[str, int] = {}
        self._replies: dict[tuple[str, tuple[ToolCall, ...]], int] = {}
        self._last = 0

    def number(self, conversation: Conversation) -> int:
        """The node of its last message, 0 if it has none; adds what is new. Raises ``NotKeptError``."""
        messages, named = conversation.messages, conversation.named
        count = number = 0
        if named is not None and named[0] == self._mark and (named[2] in self._nodes or not named[2]):
            _, count, number = named
        for at in range(count, len(messages)):
            number = self._after(number, messages[at])
        conversation.remember(self._mark, number)
        return number

    def noted(self, text: str) -> int | None:
        """The node of this text; None for a short one. A long one that is in none becomes one."""
        if len(text) < WORTH_NAMING:
            return None
        known = self._texts.get(text)
        return self._add(_Node(0, text, 0)) if known is None and len(text) >= WORTH_KEEPING else known

    def replied(self, text: str, calls: tuple[ToolCall, ...]) -> int | None:
        """The node of a message that says this and makes these calls, if there is one."""
        return self._replies.get((text, calls))

    def _after(self, parent: int, message: Message) -> int:
        if type(message.content) is not str:  # it may equal another text, and be another thing
            return self._add(_Node(parent, message, 0))
        known = self._numbers.get((parent, message))
        if known is not None:
            return known
        about = self._texts.get(message.content, 0) if len(message.content) >= WORTH_NAMING else 0
        return self._add(_Node(parent, message, about))

    def _add(self, node: _Node) -> int:
        number = self._last + 1
        self._fresh[number] = _text(number, node)
        self._put(number, node)
        return number

    def _put(self, number: int, node: _Node) -> None:
        self._nodes[number] = node
        self._last = max(self._last, number)
        what = node.what
        if isinstance(what, str):
            self._texts.setdefault(what, number)
        elif type(what.content) is str:
            self._numbers[node.parent, what] = number
            if what.calls:
                self._replies[what.content, what.calls] = number
            if len(what.content) >= WORTH_NAMING:
                self._texts.setdefault(what.content, number)

    @property
    def has_fresh(self) -> bool:
        """Whether :meth:`take_fresh` gives any."""
        return bool(self._fresh)

    def take_fresh(self) -> list[str]:
        """The texts of the nodes that were added since this was called; each is in front of those that follow it."""
        taken, self._fresh = self._fresh, {}
        return list(taken.values())

    def add(self, data: Any) -> None:
        """Take a node that is stored: the data of one text. Raises ``NotReadError``."""
        try:
            number, parent, held, *more = data
            about = more[0] if more else 0
            if not (type(number) is type(parent) is type(about) is int and 0 <= parent < number > about >= 0):
                raise _no_node()
        except (TypeError, ValueError):
            raise _no_node() from None
        what = decode(Message, held, None)
        if what is None and not parent:
            self._last = max(self._last, number)
            return
        if isinstance(what, Message):
            if parent:
                self.message(parent)
            what = replace(what, content=self.text(about)) if about else what
        elif type(what) is not str or parent or about:
            raise _no_node()
        node = _Node(parent, what, about)
        if self._nodes.get(number, node) != node:
            raise _no_node()
        self._put(number, node)

    def conversation(self, number: int, model: Any, session: Any, engine: Any, shared: Any) -> Conversation:
        """The conversation that ends with a node. Raises ``NotReadError`` if there is none."""
        messages: list[Message] = []
        at = number
        while at:
            messages.append(self.message(at))
            at = self._nodes[at].parent
        made = Conversation(tuple(reversed(messages)), model, session, engine, shared)
        made.remember(self._mark, number)
        return made

    def message(self, number: int) -> Message:
        """The message of a node. Raises ``NotReadError`` if it is none."""
        what = self._node(number).what
        if isinstance(what, str):
            raise _no_node()
        return what

    def text(self, number: int) -> str:
        """The text of a node, which may be that of a message. Raises ``NotReadError`` if there is no such node."""
        what = self._node(number).what
        return what if isinstance(what, str) else what.content

    def keep(self, numbers: Iterable[int]) -> list[str]:
        """The texts of these nodes and of all in front of them, parents first, and one that says which numbers are
        taken: those of nodes that are left out are not given again. All others are forgotten but what has yet to be
        stored; a conversation that goes on from one of them is stored anew."""
        needed = self._needed([*numbers, *self._fresh])
        self._nodes = {number: node for number, node in self._nodes.items() if number in needed}
        self._numbers = {node: number for node, number in self._numbers.items() if number in needed}
        self._texts = {text: number for text, number in self._texts.items() if number in needed}
        self._replies = {reply: number for reply, number in self._replies.items() if number in needed}
        return self._texts_of(needed)

    def needed(self, numbers: Iterable[int]) -> list[str]:
        """The same for another ``Chats``: this one forgets nothing."""
        return self._texts_of(self._needed(numbers))

    def _texts_of(self, numbers: set[int]) -> list[str]:
        texts = [_text(number, self._nodes[number]) for number in sorted(numbers) if number]
        return texts if self._last in numbers or not self._last else [*texts, f"[{self._last},0,null]"]

    def _needed(self, numbers: Iterable[int]) -> set[int]:
        needed, todo = {0}, [*numbers]
        while todo:
            number = todo.pop()
            if number not in needed:
                needed.add(number)
                node = self._node(number)
                todo += (node.parent, node.about)
        return needed

    def _node(self, number: int) -> _Node:
        found = self._nodes.get(number)
        if found is None:
            raise NotReadError(f"message {number} of the run's conversations is not there")
        return found


def _text(number: int, node: _Node) -> str:
    """A node as it is stored: a message of which the text is elsewhere, without it."""
    if isinstance(node.what, str):
        return f"[{number},0,{encode(str, node.what, None)}]"
    if node.about:
        return f"[{number},{node.parent},{encode(Message, replace(node.what, content=''), None)},{node.about}]"
    return f"[{number},{node.parent},{encode(Message, node.what, None)}]"


def mentioned(text: str) -> set[int]:
    """The nodes that the text of a value names."""
    return set(map(int, _NAMED.findall(text)))


def _no_node() -> NotReadError:
    return NotReadError("what is stored is no message of a conversation, or another one of its number")
