"""Typed boundaries: the parameters and the result of a tool or workflow, read from its annotations."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from orchestrator.dsl.source.generators import streams, yielded
from orchestrator.dsl.source.location import definition_of, name_of, underlying, user_location
from orchestrator.dsl.types.typing import (
    TypeForm,
    decodable,
    fields_of,
    is_awaitable,
    is_read_once,
    list_of,
    type_string,
)
from orchestrator.errors import Diagnostic

_WHY = "types at the boundary are what the compiler checks and what results are decoded into"
_ONCE = "an iterator is used up by whoever reads it first, and a result is stored and may be read again"
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Boundary:
    """Parameters in order, which of them must be given, the result, and what is wrong with the annotations."""

    params: Mapping[str, TypeForm]
    required: frozenset[str]
    positional: int
    returns: TypeForm
    problems: tuple[Diagnostic, ...]


def boundary_of(function: Callable[..., object], what: str, local_names: Mapping[str, object]) -> Boundary:
    """The boundary of a function, or of a class as its own constructor; ``what`` is "tool" or "workflow"."""
    if isinstance(function, type) and (fields := fields_of(function)) is not None:
        signature = inspect.signature(function)
        required = frozenset(n for n, p in signature.parameters.items() if p.default is p.empty and n in fields)
        return Boundary(fields, required, 0 if hasattr(function, "model_fields") else len(fields), function, ())
    return _function_boundary(function, what, local_names)


def _function_boundary(function: Callable[..., object], what: str, local_names: Mapping[str, object]) -> Boundary:
    where = definition_of(function) or user_location()

    def problem(message: str, fix: str, why: str) -> Diagnostic:
        return Diagnostic("ORCH-D002", message, where, why, fix)

    annotated = underlying(function)
    reason = _unreadable(function, annotated, what)
    if reason is None:
        try:
            signature = inspect.signature(function)
            hints = typing.get_type_hints(annotated, localns=dict(local_names) or None, include_extras=True)
        except (NameError, TypeError, ValueError, AttributeError, SyntaxError) as error:
            message = f"the annotations of {what} `{name_of(function)}` cannot be read: {error}"
            reason = message, "use types visible where it is defined"
    if reason is not None:
        return Boundary({}, frozenset(), 0, Any, (problem(*reason, _WHY),))
    if isinstance(function, type):
        hints["return"] = function
    called = f"{what} `{name_of(function)}`"
    found = [*_parameter_problems(signature, hints, called), *_result_problems(annotated, hints, called)]
    parameters = [p for p in signature.parameters.values() if p.kind in _BY_NAME]
    params = {p.name: decodable(hints.get(p.name, Any)) for p in parameters}
    required = frozenset(p.name for p in parameters if p.default is p.empty)
    positional = sum(p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in parameters)
    problems = tuple(problem(*each) for each in found)
    returns = hints.get("return", Any)
    if streams(annotated) and is_read_once(returns):
        returns = list_of(yielded(returns))
    return Boundary(params, required, positional, decodable(returns), problems)


def _unreadable(function: object, annotated: object, what: str) -> tuple[str, str] | None:
    """Why something has no annotations to read, and what to write instead."""
    name = name_of(function)
    if not callable(function):
        return f"{what} `{name}` is {function!r}, and not a function", "decorate a function"
    if not isinstance(annotated, FunctionType):
        fix = f"call it in a function that has: def f(x: ...) -> ...: return {_as_written(function, name)}(x)"
        return f"{what} `{name}` is a function without annotations", fix
    if annotated.__name__ == "<lambda>":
        return f"a lambda as a {what} has no annotations", "write a `def` with annotations"
    return None


def _as_written(function: object, name: str) -> str:
    """How Python finds a function of C: ``str.upper``, ``math.sqrt``."""
    owner, module = getattr(function, "__objclass__", None), getattr(function, "__module__", None)
    if isinstance(owner, type):
        return f"{owner.__name__}.{name}"
    return name if module in (None, "builtins") else f"{module}.{name}"


def _result_problems(function: Any, hints: Mapping[str, TypeForm], called: str) -> Iterator[tuple[str, str, str]]:
    if streams(function) and called.startswith("workflow"):  # which has an error of its own
        return
    if "return" not in hints:
        yield f"{called} has no return annotation", "write `-> str:`, or its type, or `-> None:`", _WHY
    elif is_awaitable(hints["return"]):
        yield f"{called} returns {type_string(hints['return'])}", "write `async def`, and annotate what it gives", _WHY
    elif streams(function) != is_read_once(hints["return"]):
        got = type_string(hints["return"])
        if streams(function):
            yield (
                f"{called} is a generator and declares {got}",
                "annotate it with what it yields: -> Iterator[...]",
                _WHY,
            )
        else:
            yield f"{called} returns {got}", "return a list, -> list[...], or yield the items", _ONCE


def _parameter_problems(
    signature: inspect.Signature, hints: Mapping[str, TypeForm], called: str
) -> Iterator[tuple[str, str, str]]:
    for number, parameter in enumerate(signature.parameters.values()):
        name = parameter.name
        if parameter.kind is parameter.POSITIONAL_ONLY:
            yield f"{called} takes `{name}` by position only", "take each argument by name: leave out the `/`", _WHY
        elif parameter.kind not in _BY_NAME:
            yield f"{called} takes `{parameter}`", "take each argument by name; a list for a variable number", _WHY
        elif name not in hints and number == 0 and name in ("self", "cls"):
            yield f"{called} is a method without its object", "use it of an object, as in `thing.method`", _WHY
        elif name not in hints:
            message = f"parameter `{name}` of {called} has no annotation"
            yield message, f"write `{name}: str`, or its type", _WHY
