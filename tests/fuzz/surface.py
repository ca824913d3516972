"""What random programs call: tools of every kind of effects, a model, chats, and the combinators.

All of them work in a workflow and in plain Python alike. What the world gets to know of, tools note in ``DONE``; what
the model was asked is in ``ASKED`` where it is plain Python that asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, NamedTuple

import orchestrator
from orchestrator import Static, tool, workflow

__all__ = [
    "BusyError", "Color", "DeniedError", "Item", "Kind", "MissingError", "Static", "color", "fetch", "item", "kind",
    "letters", "look", "maybe", "numbers", "odd", "pay", "peek", "ping", "send", "size", "strict", "table", "words",
]  # fmt: skip


class Done(NamedTuple):
    """Something that the world gets to know of."""

    kind: Literal["reads", "writes"]
    name: str
    given: object
    block: int | None
    """Of a ``parallel()`` of plain Python, in which the order is free."""


DONE: ContextVar[list[Done]] = ContextVar("done")
"""Reads and writes of the run that goes on: one that has failed may have left a thread behind."""
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


_blocks: list[int] = []
_numbers = iter(range(1 << 60))


def _done(kind: Literal["reads", "writes"], name: str, given: object) -> None:
    DONE.get().append(Done(kind, name, given, _blocks[0] if _blocks else None))


@contextmanager
def _in_parallel() -> Iterator[None]:
    """``parallel()`` in plain Python."""
    _blocks.append(next(_numbers))
    try:
        yield
    finally:
        _blocks.pop()


def noted(error: Exception) -> Exception:
    """An exception that a tool raises."""
    RAISED.append(type(error).__name__)
    return error


class Color(Enum):
    """What a text looks like."""

    RED = "red"
    GREEN = "green"
    BLUE = "blue"


@dataclass(frozen=True)
class Item:
    """A model of the user's."""

    name: str
    count: int
    tags: list[str]


@tool(effects="pure", cheap=True)
def odd(text: str) -> bool:
    return len(text) % 2 == 1


@tool(effects="pure", cheap=True)
def size(text: str) -> int:
    return len(text)


@tool(effects="pure", cheap=True)
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


@tool(effects="pure", cheap=True)
def kind(text: str) -> Kind:
    return "bug" if "b" in text.lower() else "question" if "?" in text else "other"


@tool(effects="pure")
def item(text: str) -> Item:
    return Item(text[:5], len(text) % 5, text.split()[:2])


@tool(effects="pure", cheap=True)
def color(text: str) -> Color:
    return list(Color)[len(text) % 3]


@tool(effects="pure")
def letters(text: str) -> set[str]:
    return set(text[:4])


@tool(effects="pure")
def strict(text: str) -> str:
    if len(text) % 3 == 1:
        raise noted(MissingError(f"none of {text}"))
    return text[:5]


@tool(effects="reads")
async def ping(text: str) -> str:
    _done("reads", "ping", text)
    return f"<{text[:4]}>"


@tool(effects="reads")
def peek(text: str) -> str:
    _done("reads", "peek", text)
    return f"[{text[:6]}]"


@tool(effects="idempotent")
def send(text: str) -> str:
    _done("writes", "send", text)
    return text[::-1][:8]


@tool(effects="once")
def pay(amount: int) -> int:
    _done("writes", "pay", amount)
    if amount % 6 == 5:
        raise noted(DeniedError(f"not {amount}"))
    return amount % 10


@tool
def look(text: str) -> str:
    _done("writes", "look", text)
    if len(text) % 5 == 2:
        raise noted(MissingError(text[:4]))
    if len(text) % 7 == 3:
        raise noted(BusyError("busy"))
    return text.upper()[:6]


@tool(effects="idempotent")
def fetch(number: int) -> int:
    _done("writes", "fetch", number)
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


def _framed(text: str, *, times: Static[int] = 1, mark: str = "*") -> str:
    for _ in range(times):
        text = f"{mark[:2]}{text}"
    return text[:20] if times > 1 else text


def _settle(number: int, note: str = "x") -> int:
    try:
        return pay(number) + 1
    except DeniedError:
        send(note)
    return -1


framed, settle = workflow(name="framed")(_framed), workflow(name="settle")(_settle)


def _described(text: str, loud: bool = False) -> str:
    if loud and odd(text):
        return _said(f"describe {text}")
    return next((each for each in words(text) if size(each) > 2), "nothing")


def _said(prompt: str | list[str]) -> str:
    asked = prompt if isinstance(prompt, str) else "|".join(prompt)
    ASKED.append(asked)
    return shout(asked)


class _Conversation:
    """A conversation in plain Python."""

    def __init__(self, *messages: str) -> None:
        self._messages = messages

    def say(self, prompt: str) -> tuple[str, _Conversation]:
        messages = (*self._messages, prompt)
        reply = _said([*messages])
        return reply, _Conversation(*messages, reply)


class _Failed(NamedTuple):
    """A failure as a value."""

    message: str


def _collected(function: Callable[..., Any], *given: Any) -> Any:
    try:
        return function(*given)
    except Exception as error:  # noqa: BLE001 - as `map_` does
        return _Failed(str(error))


def _mapped(function: Callable[..., Any], *lists: Any, on_error: str = "fail") -> Any:
    if on_error == "collect":
        return [_collected(function, *each) for each in zip(*lists, strict=True)]
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


def _slept(seconds: int) -> None:
    _done("writes", "sleep", seconds)


async def slept(seconds: float) -> None:
    """What waits for a sleep of thousands of seconds: it notes it. A run has lost some of a second before it waits."""
    _slept(round(seconds / 1000) * 1000)


COMPILED: dict[str, Any] = {
    "say": orchestrator.llm, "chat": orchestrator.chat, "describe": describe, "map_": orchestrator.map_,
    "branch": orchestrator.branch, "loop": orchestrator.loop, "attempt": orchestrator.attempt,
    "switch": orchestrator.switch, "parallel": orchestrator.parallel, "framed": framed, "settle": settle,
    "user": orchestrator.user, "assistant": orchestrator.assistant,
    "sleep": orchestrator.sleep,
}  # fmt: skip
"""What programs call by these names in a workflow."""
PLAIN: dict[str, Any] = {
    "say": _said, "chat": _Conversation, "describe": _described, "map_": _mapped, "branch": _branched, "loop": _looped,
    "attempt": _attempted, "switch": _switched, "parallel": _in_parallel,
    "framed": _framed, "settle": _settle, "user": str, "assistant": str,
    "sleep": _slept,
}  # fmt: skip
"""The same in plain Python."""
