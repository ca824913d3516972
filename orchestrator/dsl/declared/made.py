"""Functions that a library makes of the tools of a workflow, with types of their own.

``react`` reads the calls of a model by such a one. They are at no place where they could be found again, so a text says
who made them, and of which of its tools; whoever reads it has them made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Final
from weakref import WeakKeyDictionary


@dataclass(frozen=True, slots=True)
class Made:
    """Who made a function, and of what: ``maker(tools, hidden)`` gives the tool that calls it."""

    maker: str
    """Where that is found: ``module:name``."""
    of: tuple[str, ...]
    """Names of tools of the same workflow."""
    hidden: tuple[str, ...]
    """Parameters of theirs that are not seen."""
    types: Mapping[str, type]
    """What was made with it, by name."""


_made: Final[WeakKeyDictionary[Callable[..., Any], Made]] = WeakKeyDictionary()


def is_made_by(fn: Callable[..., Any], made: Made) -> None:
    """Note how ``fn`` was made."""
    _made[fn] = made


def made_of(fn: Callable[..., Any]) -> Made | None:
    """How a function was made; None for one that somebody wrote."""
    return _made.get(fn) if isinstance(fn, FunctionType) else None
