"""What random programs call: tools of every kind of effects, a model, chats, and the combinators.

All of them work in a workflow and in plain Python alike. What the world gets to know of, tools note in ``DONE``; what
the model was asked is in ``ASKED`` where it is plain Python that asks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import orchestrator
from orchestrator import tool, workflow

__all__ = [
    "BusyError", "DeniedError", "Item", "Kind", "MissingError", "fetch", "item", "kind", "look", "maybe", "numbers",
    "odd", "pay", "peek", "send", "size", "table", "words",
]  # fmt: skip

DONE: list[tuple[str, str, object]] = []
"""Reads and writes: which of them, by whom, of what."""
RAISED: list[str] = []
"""What tools raised, and models were not asked any more because of it."""
ASKED: list[str] = []

Kind = Literal["bug", "question", "other"]


class DeniedError(ValueError):
    """What tools raise."""


class MissingError(KeyError):
    """The same."""


class BusyError(Exception):
    """The same, of no common base."""


def noted(error: Exception) -> Exception:
    """An exception that a tool raises."""
    RAISED.append(type(error).__name__)
    return error


@dataclass(frozen=True)
class Item:
    """A model of the user's."""

    name: str
    count: int
    tags: list[str]


@tool(effects="pure")
def odd(text: str) -> bool:
    return len(text) % 2 == 1


@tool(effects="pure")
def size(text: str) -> int:
    return len(text)


@tool(effects="pure")
def words(text: str) -> list[str]:
    return text.split()[:4]


@tool(effects="pure")
def numbers(text: str) -> list[int]:
    return [ord(each) % 7 for each in text[:4]]


@tool(effects="pure")
def table(text: str) -> dict[str, int]:
    return {each: len(each) for each in text.split()[:3]}


@tool(effects="pure")
def maybe(text: str) -> str | None:
    return text[:3] if "a" in text else None


@tool(effects="pure")
def kind(text: str) -> Kind:
    return "bug" if "b" in text.lower() else "question" if "?" in text else "other"


@tool(effects="pure")
def item(text: str) -> Item:
    return Item(text[:5], len(text) % 5, text.split()[:2])


@tool(effects="reads")
def peek(text: str) -> str:
    DONE.append(("reads", "peek", text))
    return f"[{text[:6]}]"


@tool(effects="idempotent")
def send(text: str) -> str:
    DONE.append(("writes", "send", text))
    return text[::-1][:8]


@tool(effects="once")
def pay(amount: int) -> int:
    DONE.append(("writes", "pay", amount))
    if amount % 6 == 5:
        raise noted(DeniedError(f"not {amount}"))
    return amount % 10


@tool
def look(text: str) -> str:
    DONE.append(("writes", "look", text))
    if len(text) % 5 == 2:
        raise noted(MissingError(text[:4]))
    if len(text) % 7 == 3:
        raise noted(BusyError("busy"))
    return text.upper()[:6]


@tool(effects="idempotent")
def fetch(number: int) -> int:
    DONE.append(("writes", "fetch", number))
    if number % 4 == 3:
        raise noted(ValueError(f"no {number}"))
    return number % 5 + 1


def shout(prompt: str) -> str:
    """What the model says: something that depends on all of the prompt."""
    return f"{prompt.upper()[:20]}!{len(prompt)}"


@workflow
def describe(text: str, loud: bool = False) -> str:
    """A workflow that others call."""
    if loud and odd(text):
        return orchestrator.llm(f"describe {text}")
    for each in words(text):
        if size(each) > 2:
            return each
    return "nothing"


def _described(text: str, loud: bool = False) -> str:
    if loud and odd(text):
        return _said(f"describe {text}")
    return next((each for each in words(text) if size(each) > 2), "nothing")


def _said(prompt: str) -> str:
    ASKED.append(prompt)
    return shout(prompt)


class _Conversation:
    """A conversation in plain Python."""

    def say(self, prompt: str) -> tuple[str, _Conversation]:
        return _said(prompt), self


def _mapped(function: Callable[..., Any], *lists: Any) -> Any:
    return [function(*each) for each in zip(*lists, strict=True)]


def _branched(test: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    return (then if test else otherwise)()


def _looped(step: Callable[[Any], Any], start: Any, *, until: Callable[[Any], Any], max: int) -> Any:  # noqa: A002
    for _ in range(max):
        if until(start):
            break
        start = step(start)
    return start


def _attempted(function: Callable[[], Any], otherwise: Callable[..., Any]) -> Any:
    try:
        return function()
    except Exception as error:  # noqa: BLE001 - as `attempt` does
        return otherwise(error)


def _switched(subject: Any, cases: dict[Any, Callable[[], Any]], default: Callable[[], Any]) -> Any:
    return cases.get(subject, default)()


COMPILED: dict[str, Any] = {
    "say": orchestrator.llm, "chat": orchestrator.chat, "describe": describe, "map_": orchestrator.map_,
    "branch": orchestrator.branch, "loop": orchestrator.loop, "attempt": orchestrator.attempt,
    "switch": orchestrator.switch,
}  # fmt: skip
"""What programs call by these names in a workflow."""
PLAIN: dict[str, Any] = {
    "say": _said, "chat": _Conversation, "describe": _described, "map_": _mapped, "branch": _branched, "loop": _looped,
    "attempt": _attempted, "switch": _switched,
}  # fmt: skip
"""The same in plain Python."""
