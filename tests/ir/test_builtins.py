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
        is_display = name in ("builtin.list", "builtin.tuple", "builtin.dict")
        found[name] = Builtin(required, optional, len(named) < len(parameters), is_display)
    assert found == BUILTINS


def test_what_is_no_name_is_only_a_key() -> None:
    assert BUILTINS["builtin.zip"].problem(["list_1", "list[str]"]) == "has a parameter `list[str]`, which is no name"
    assert BUILTINS["builtin.dict"].problem(["list[str]"]) is None
