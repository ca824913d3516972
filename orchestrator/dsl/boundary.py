"""Typed boundaries: the parameters and the result of a tool or workflow, read from its annotations."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from orchestrator.dsl.location import definition_of
from orchestrator.dsl.typing import TypeForm, decodable, fields_of
from orchestrator.errors import Diagnostic

if TYPE_CHECKING:
    from orchestrator.dsl.tracer import Tracer

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
    problems: list[Diagnostic] = []
    name, where = getattr(function, "__name__", repr(function)), definition_of(function)

    def problem(message: str, fix: str) -> None:
        why = "types at the boundary are what the compiler checks and what results are decoded into"
        problems.append(Diagnostic("ORCH-D002", message, where, why, fix))

    try:
        signature = inspect.signature(function)
        hints = typing.get_type_hints(function, localns=dict(local_names) or None, include_extras=True)
    except (NameError, TypeError, ValueError) as error:
        problem(f"the annotations of {what} `{name}` cannot be read: {error}", "use types visible where it is defined")
        return Boundary({}, frozenset(), 0, Any, tuple(problems))
    params: dict[str, TypeForm] = {}
    for parameter in signature.parameters.values():
        if parameter.kind not in _BY_NAME:
            problem(f"{what} `{name}` takes `{parameter}`", "take each argument by name; a list for a variable number")
            continue
        if parameter.name not in hints:
            message = f"parameter `{parameter.name}` of {what} `{name}` has no annotation"
            problem(message, f"write `{parameter.name}: str`, or its type")
        params[parameter.name] = decodable(hints.get(parameter.name, Any))
    if "return" not in hints:
        problem(f"{what} `{name}` has no return annotation", "write `-> str:`, or its type, or `-> None:`")
    parameters = [p for p in signature.parameters.values() if p.kind in _BY_NAME]
    required = frozenset(p.name for p in parameters if p.default is p.empty)
    positional = sum(p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in parameters)
    return Boundary(params, required, positional, decodable(hints.get("return", Any)), tuple(problems))


def bind(
    tracer: Tracer, boundary: Boundary, callee: str, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> dict[str, object] | None:
    """Arguments by name, in the order of the parameters; None after reporting that they do not fit."""
    names = list(boundary.params)
    given = dict(zip(names[: boundary.positional], args, strict=False))
    problems: list[str] = []
    if len(args) > boundary.positional:
        problems.append(f"takes {boundary.positional} positional arguments, but gets {len(args)}")
    for name in kwargs:
        if name not in boundary.params:
            close = get_close_matches(name, names, n=1)
            problems.append(f"has no parameter `{name}`" + (f", did you mean `{close[0]}`?" if close else ""))
        elif name in given:
            problems.append(f"gets `{name}` twice")
    given.update(kwargs)
    missing = [name for name in names if name in boundary.required and name not in given]
    if missing:
        problems.append(f"needs {', '.join(f'`{name}`' for name in missing)}")
    if problems and not boundary.problems:
        tracer.report(
            "ORCH-D012",
            f"{callee} {'; '.join(problems)}",
            fix=f"its parameters are ({', '.join(names)})",
        )
    return None if problems else {name: given[name] for name in names if name in given}
