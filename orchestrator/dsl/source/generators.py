"""Tools that are generators: a call yields items, and its result in a workflow is the list of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_args

from orchestrator.dsl.source.location import underlying
from orchestrator.dsl.types.typing import TypeForm, plain


def is_kind_of(test: Callable[[Any], bool], function: Any) -> bool:
    """Whether ``inspect``'s test holds for a function, or for what is behind a method, partial or callable object."""
    return test(function) or test(underlying(function))


def streams(function: Any) -> bool:
    """Whether a function is a generator, sync or async."""
    return is_kind_of(inspect.isgeneratorfunction, function) or streams_async(function)


def streams_async(function: Any) -> bool:
    """Whether a function is an async generator."""
    return is_kind_of(inspect.isasyncgenfunction, function)


def yielded(returns: TypeForm) -> TypeForm:
    """The type of the items, by the annotation of the result: of ``Iterator[str]``, ``str``."""
    return (get_args(plain(returns)) or (Any,))[0]
