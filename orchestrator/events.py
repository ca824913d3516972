"""What a stream of a run consists of.

>>> for event in stream(answer, "How many?", model="./model"):                          # doctest: +SKIP
...     match event:
...         case Text(delta=delta):
...             print(delta, end="")
...         case Partial(value=value):
...             print(value)

``op`` is the op's id, which is the ``name=`` it was given; ``path`` is that of one execution of it, ``turns[3]/llm_1``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.runtime.engines.base import Usage


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of a reply in words: pieces of one sample of one attempt, put together, are what has arrived of it."""

    op: str
    delta: str
    path: str
    sample: int = 0
    attempt: int = 1
    """A later attempt begins the reply anew."""


@dataclass(frozen=True, slots=True)
class Partial:
    """What a structured reply (``returns=``) says so far: JSON values, which nobody has validated yet.

    The last field, and a text in it, may be incomplete; the validated value comes with :class:`Done`.
    """

    op: str
    value: object
    path: str
    sample: int = 0
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Started:
    """An op that is not computed at once (a model call, a tool, a question, a loop around such) starts."""

    op: str
    path: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Done:
    """It has a result: the value, or a tuple where it has several, as a loop over two does."""

    op: str
    value: object
    path: str
    usage: Usage | None = None
    """Tokens of a model call."""
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt failed. It is tried again after ``retry_in_s``, or not at all if that is None."""

    op: str
    path: str
    code: str
    message: str
    attempt: int = 1
    retry_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """So many items of a map are done."""

    op: str
    done: int
    items: int
    path: str


@dataclass(frozen=True, slots=True)
class Item:
    """What a tool that is a generator has yielded; the list of all of it comes with :class:`Done`."""

    op: str
    value: object
    path: str
    number: int
    """From 1; a later attempt begins anew."""


Event = Text | Partial | Started | Item | Done | Failed | Progress
"""What iterating over a stream gives."""
