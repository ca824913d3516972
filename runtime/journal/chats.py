"""The conversations of one run, each message stored once.

A conversation is the name of its last message. A message is a *node*: a number, the number of the message before it, 0
for none, and what it is. So a turn adds its own messages only, and conversations that begin alike share their nodes.

    chats = Chats()
    text = encode(Chat, talk, chats)        # {"~chat": [4, ...]}
    chats.take_fresh()                      # texts of the nodes up to 4 that are not stored yet, parents first

Whoever reads them again adds them to another ``Chats`` before it decodes what names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from uuid import uuid4

from orchestrator.dsl.models.messages import Message
from orchestrator.runtime.journal.stored import decode, encode
from orchestrator.runtime.journal.values.tree import NotReadError
from orchestrator.runtime.values import Conversation

WORTH_NAMING: Final = 64
"""A reply of fewer characters is written again rather than named."""
_NAMED: Final = re.compile(r'\{"~(?:chat|said|reply)":\[?(\d+)')


class Chats:
    """The messages of a run."""

    def __init__(self) -> None:
        self._fresh: dict[int, str] = {}
        """The texts of nodes that have not been taken."""
        self._mark = uuid4().int
        """It tells conversations whose node is remembered which tree that is of."""
        self._nodes: dict[int, tuple[int, Message]] = {}
        self._numbers: dict[tuple[int, Message], int] = {}
        self._said: dict[tuple[str, tuple[Any, ...]], int] = {}
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

    def _after(self, parent: int, message: Message) -> int:
        known = self._numbers.get((parent, message))
        if known is not None and type(message.content) is str:
            return known
        number = self._last + 1
        self._fresh[number] = self._text(number, parent, message)
        self._put(number, parent, message)
        return number

    def _put(self, number: int, parent: int, message: Message) -> None:
        self._nodes[number] = parent, message
        self._last = max(self._last, number)
        if type(message.content) is not str:  # it may equal another text, and be another thing
            return
        self._numbers[parent, message] = number
        if message.role == "assistant" and _length(message.content, message.calls) >= WORTH_NAMING:
            self._said[message.content, message.calls] = number

    @staticmethod
    def _text(number: int, parent: int, message: Message | None) -> str:
        return f"[{number},{parent},{encode(Message, message, None)}]"

    def take_fresh(self) -> list[str]:
        """The texts of the nodes that were added since this was called; each is in front of those that follow it."""
        taken, self._fresh = self._fresh, {}
        return list(taken.values())

    def add(self, node: Any) -> None:
        """Take a node that is stored: the data of one text. Raises ``NotReadError``."""
        try:
            number, parent, data = node
        except (TypeError, ValueError):
            raise _no_message() from None
        message = decode(Message, data, None)
        if type(number) is not int or type(parent) is not int or not 0 <= parent < number:
            raise _no_message()
        if message is None and not parent:
            self._last = max(self._last, number)
            return
        if not isinstance(message, Message) or self._nodes.get(number, (parent, message)) != (parent, message):
            raise _no_message()
        if parent and parent not in self._nodes:
            raise NotReadError(f"message {number} follows message {parent}, which is not there")
        self._put(number, parent, message)

    def conversation(self, number: int, model: Any, session: Any, engine: Any, shared: Any) -> Conversation:
        """The conversation that ends with a node. Raises ``NotReadError`` if there is none."""
        messages: list[Message] = []
        at = number
        while at:
            at, message = self._node(at)
            messages.append(message)
        made = Conversation(tuple(reversed(messages)), model, session, engine, shared)
        made.remember(self._mark, number)
        return made

    def message(self, number: int) -> Message:
        """The message of a node. Raises ``NotReadError`` if there is none."""
        return self._node(number)[1]

    def said(self, text: str, calls: tuple[Any, ...] = ()) -> int | None:
        """The node of a reply that says this and calls these; None where it is unknown, or too short to be named."""
        if not calls and len(text) < WORTH_NAMING:
            return None
        return self._said.get((text, calls))

    def keep(self, numbers: Iterable[int]) -> list[str]:
        """The texts of these nodes and of all in front of them, parents first, and one that says which numbers are
        taken: those of nodes that are left out are not given again. All others are forgotten but what has yet to be
        stored; a conversation that goes on from one of them is stored anew."""
        needed = self._needed([*numbers, *self._fresh])
        self._nodes = {number: node for number, node in self._nodes.items() if number in needed}
        self._numbers = {node: number for node, number in self._numbers.items() if number in needed}
        self._said = {said: number for said, number in self._said.items() if number in needed}
        texts = [self._text(number, *node) for number, node in sorted(self._nodes.items())]
        return texts if self._last in needed or not self._last else [*texts, self._text(self._last, 0, None)]

    def _needed(self, numbers: Iterable[int]) -> set[int]:
        needed: set[int] = set()
        for each in numbers:
            at = each
            while at and at not in needed:
                needed.add(at)
                at = self._node(at)[0]
        return needed

    def _node(self, number: int) -> tuple[int, Message]:
        found = self._nodes.get(number)
        if found is None:
            raise NotReadError(f"message {number} of the run's conversations is not there")
        return found


def mentioned(text: str) -> set[int]:
    """The nodes that the text of a value names."""
    return set(map(int, _NAMED.findall(text)))


def _no_message() -> NotReadError:
    return NotReadError("what is stored is no message of a conversation, or another one of its number")


def _length(text: str, calls: Iterable[Any]) -> int:
    return len(text) + sum(len(each.arguments) for each in calls)
