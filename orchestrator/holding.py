"""A context variable that has a value within a block.

Every op of a run passes through some of these. A ``contextlib.contextmanager`` would be a generator for each, which
takes several times as long to make, enter and leave.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Generic, TypeVar

T = TypeVar("T")


class Holding(Generic[T]):
    """``with Holding(variable, value):``; afterwards the variable has the value that it had before."""

    __slots__ = ("_token", "_value", "_variable")

    def __init__(self, variable: ContextVar[T], value: T) -> None:
        self._variable = variable
        self._value = value
        self._token: Token[T]

    def __enter__(self) -> None:
        self._token = self._variable.set(self._value)

    def __exit__(self, *_: object) -> None:
        self._variable.reset(self._token)
