"""The IR knows the builtin functions that the front end has, with their parameters."""

from __future__ import annotations

import inspect

from orchestrator.dsl.builtins import TOOLS
from orchestrator.ir.builtins import BUILTINS, Builtin


def test_names_and_parameters_are_those_of_the_functions() -> None:
    found = {}
    for name, each in TOOLS.items():
        parameters = inspect.signature(each.fn).parameters.values()
        named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
        required = tuple(p.name for p in named if p.default is p.empty)
        optional = frozenset(p.name for p in named if p.default is not p.empty)
        found[name] = Builtin(required, optional, len(named) < len(parameters))
    assert found == BUILTINS
