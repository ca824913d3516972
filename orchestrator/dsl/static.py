"""Static parameters: what a workflow is compiled for, rather than run with.

``verbose: Static[bool]`` is a plain ``bool`` while the workflow is traced, so ``if verbose:`` is Python's own and
decides which ops there are. Each value is compiled, and kept, on its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import EnumMeta
from itertools import product
from math import prod
from typing import Annotated, Final, TypeVar

from orchestrator.dsl.declared.boundary import Boundary
from orchestrator.dsl.tracing.constants import (
    LossyConstantError,
    constant_json,
    constant_type,
    is_symbolic,
    named,
    shown,
)
from orchestrator.dsl.types.typing import TypeForm, literals_of, plain, type_string
from orchestrator.errors import described

T = TypeVar("T")
MOST_VARIANTS: Final = 16
"""So many variants of one workflow are checked when nothing says for which values."""


class _Static:
    def __repr__(self) -> str:
        return "Static"


_STATIC: Final = _Static()
Static = Annotated[T, _STATIC]
"""``verbose: Static[bool]``: a parameter of a workflow whose value is known while it is traced."""


def static_parameters(boundary: Boundary) -> dict[str, TypeForm]:
    """The types of the static parameters of a workflow with this boundary."""
    return {name: plain(tp) for name, tp in boundary.params.items() if _is_static(tp)}


def _is_static(tp: TypeForm) -> bool:
    return _STATIC in getattr(tp, "__metadata__", ())


def static_values(
    parameters: Mapping[str, TypeForm], defaults: Mapping[str, object], given: Mapping[str, object], workflow: str
) -> tuple[dict[str, object], list[str]]:
    """The values of static parameters, given or by default, and what is wrong with them; ``workflow`` is its name."""
    unknown = given.keys() - parameters.keys()
    problems = [f"workflow `{workflow}` has no static parameter `{name}`" for name in sorted(unknown)]
    values: dict[str, object] = {}
    for name, tp in parameters.items():
        called = f"the static parameter `{name}` of workflow `{workflow}`"
        if name not in given and name not in defaults:
            problems.append(f"{called} has no value")
            continue
        try:
            values[name] = _checked(tp, given[name] if name in given else defaults[name])
        except ValueError as error:
            problems.append(f"{called}: {error}")
    return values, problems


def shown_parameter(name: str, tp: TypeForm) -> str:
    """A parameter as it is written: ``verbose: Static[bool]``."""
    return f"{name}: {f'Static[{type_string(plain(tp))}]' if _is_static(tp) else type_string(tp)}"


def without(boundary: Boundary, names: Mapping[str, object]) -> Boundary:
    """The boundary of a workflow whose static parameters have their values."""
    params = {name: tp for name, tp in boundary.params.items() if name not in names}
    positional = [name for name in list(boundary.params)[: boundary.positional] if name not in names]
    return replace(boundary, params=params, required=boundary.required - names.keys(), positional=len(positional))


def _checked(tp: TypeForm, value: object) -> object:
    """The value as one of its type; raises ``ValueError`` with the reason if it cannot be compiled for."""
    from pydantic import TypeAdapter, ValidationError

    if is_symbolic(value):
        raise ValueError(f"{named(value)} is only known when the workflow runs")
    try:
        made: object = TypeAdapter(tp).validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{shown(value)} is no {type_string(tp)}: {error.errors()[0]['msg']}") from error
    written(made)
    return made


def written(value: object) -> str:
    """A static value as JSON, by which compiled forms are told apart; raises ``ValueError`` if there is none."""
    tp = constant_type(value)
    if tp is None:
        raise ValueError(f"{shown(value)} cannot be written as JSON")
    try:
        return f"{type_string(tp)} {constant_json(value, tp)}"
    except LossyConstantError as error:
        raise ValueError(f"{shown(value)} cannot be written as JSON: {described(error)}") from error


def choices_of(parameters: Mapping[str, TypeForm], defaults: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """What to give of static parameters: nothing where there are defaults, or else, where the values are few, each."""
    choices = {name: _values_of(tp) for name, tp in parameters.items() if name not in defaults}
    several = prod(map(len, choices.values()))
    if not choices or not 0 < several <= MOST_VARIANTS:
        yield {}
        return
    for values in product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def _values_of(tp: TypeForm) -> tuple[object, ...]:
    if tp is bool:
        return False, True
    if isinstance(tp, EnumMeta):
        return tuple(tp)
    return literals_of(tp) or ()
