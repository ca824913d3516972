"""Effect tokens: who waits for whom where no value says so.

An op with ordered effects gives a token as its last result, and takes the tokens of the ops that it waits for behind
its other operands. A write waits for the write before it and the reads since, a read for the write before it; what
computes or asks a model has no token. Tokens carry no data and never cross the border of a region: inside, order starts
anew, and the op around it stands for what is inside::

    %0, %t0 = "agent.tool"(%q) {effects = "once", …}        : (…) -> (!agent.value<"str">, !agent.token)
    %1, %t1 = "agent.tool"(%q, %t0) {effects = "reads", …}  : (…, !agent.token) -> (!agent.value<"int">, !agent.token)

``agent.done`` makes a token of values: it is there when they are. ``after=`` adds one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

TOKEN: Final = "!agent.token"
DONE: Final = "agent.done"
"""The op that makes a token of values."""


def is_token(value: Any) -> bool:
    """Whether a value is one."""
    return getattr(value.type, "data", "") == "token"


def operands(op: Any) -> list[Any]:
    """What an op computes with: its operands but for the tokens at the end."""
    return _data(list(op.operands))


def results(op: Any) -> list[Any]:
    """What an op computes: its results but for the token at the end."""
    return _data(list(op.results))


def tokens(values: Sequence[Any]) -> list[Any]:
    """The tokens at the end of operands or results."""
    return list(values)[len(_data(list(values))) :]


def _data(values: list[Any]) -> list[Any]:
    end = len(values)
    while end and is_token(values[end - 1]):
        end -= 1
    return values[:end]
