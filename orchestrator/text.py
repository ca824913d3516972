"""Operations on texts, for values that are only known when a workflow runs::

    from orchestrator import llm, text, workflow

    @workflow
    def headline(article: str) -> str:
        head = text.cut(article, 2000, "…")
        return text.title(text.strip(llm(f"A headline for:\\n{head}")))

In a workflow each is a pure op; of texts that are known while it is traced, and outside of one, it is Python's own. The
methods of ``str`` do the same where the workflow's source is compiled: ``article[:2000]``, ``llm(...).strip()``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from inspect import signature
from typing import Any, TypeVar

from orchestrator.dsl.operations.methods import bound
from orchestrator.dsl.operations.operands import holds_symbolic
from orchestrator.dsl.pure import texts
from orchestrator.dsl.tracing.tracer import current_tracer

__all__ = [
    "cut", "endswith", "find", "format", "join", "lower", "removeprefix", "removesuffix", "replace", "split",
    "splitlines", "startswith", "strip", "title", "upper",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])


def _operation(function: F) -> F:
    """``function``, and on symbolic operands the op of its name."""
    name, parameters = function.__name__, signature(function)

    @wraps(function)
    def operation(*args: Any, **kwargs: Any) -> Any:
        if current_tracer() is None or not any(map(holds_symbolic, (*args, *kwargs.values()))):
            return function(*args, **kwargs)
        given = parameters.bind(*args, **kwargs)
        given.apply_defaults()
        receiver, *others = given.args
        return bound(receiver, name, f"str.{name}")(*others, **given.kwargs)

    return operation  # type: ignore[return-value]


@_operation
def cut(value: str, length: int, end: str = "") -> str:
    """At most ``length`` characters, of a longer text the first, with ``end`` for the last: ``cut(doc, 100, "…")``."""
    return texts.cut(value, length, end)


@_operation
def upper(value: str) -> str:
    """The text in upper case."""
    return value.upper()


@_operation
def lower(value: str) -> str:
    """The text in lower case."""
    return value.lower()


@_operation
def title(value: str) -> str:
    """The text with a capital at the beginning of each word."""
    return value.title()


@_operation
def strip(value: str, chars: str | None = None) -> str:
    """The text without white space, or these characters, at its ends."""
    return value.strip(chars)


@_operation
def replace(value: str, old: str, new: str, count: int = -1) -> str:
    """The text with ``new`` in place of ``old``, at most ``count`` times."""
    return value.replace(old, new, count)


@_operation
def removeprefix(value: str, prefix: str) -> str:
    """The text without ``prefix``, if it begins with it."""
    return value.removeprefix(prefix)


@_operation
def removesuffix(value: str, suffix: str) -> str:
    """The text without ``suffix``, if it ends with it."""
    return value.removesuffix(suffix)


@_operation
def startswith(value: str, prefix: str | tuple[str, ...]) -> bool:
    """Whether the text begins with ``prefix``, or with one of several."""
    return value.startswith(prefix)


@_operation
def endswith(value: str, suffix: str | tuple[str, ...]) -> bool:
    """Whether the text ends with ``suffix``, or with one of several."""
    return value.endswith(suffix)


@_operation
def find(value: str, sub: str) -> int:
    """Where ``sub`` first begins in the text; -1 if it is not there."""
    return value.find(sub)


@_operation
def split(value: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    """The parts between ``sep``, by default between white space; at most ``maxsplit`` are split off."""
    return value.split(sep, maxsplit)


@_operation
def splitlines(value: str) -> list[str]:
    """The lines of the text."""
    return value.splitlines()


@_operation
def join(separator: str, items: Iterable[str]) -> str:
    """The texts in a list, with ``separator`` between them."""
    return separator.join(items)


@_operation
def format(template: str, *args: object, **kwargs: object) -> str:  # noqa: A001 - the method's name
    """The template with its replacement fields filled, as ``str.format`` does."""
    return template.format(*args, **kwargs)
