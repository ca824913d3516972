"""What may be wrong with the options of a tool; of ``key`` and ``check`` ``declared.once`` says so."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args

from orchestrator.dsl.declared.places import place_problems
from orchestrator.dsl.declared.policy import is_count, is_number
from orchestrator.dsl.declared.tool_spec import Effects, Kind, ToolSpec
from orchestrator.dsl.options import NAME
from orchestrator.dsl.source.location import definition_of
from orchestrator.dsl.tracing.constants import shown
from orchestrator.dsl.types.typing import may_be_scalar, type_string
from orchestrator.errors import Diagnostic


def option_problems(tool: ToolSpec[..., Any]) -> Iterator[Diagnostic]:
    """What is wrong with the options that are no policies."""
    for name, given, accepted in (("effects", tool.effects, get_args(Effects)), ("kind", tool.kind, get_args(Kind))):
        if given not in accepted:
            close = get_close_matches(given, accepted, n=1) if isinstance(given, str) else []
            fix = f'did you mean "{close[0]}"?' if close else f"{name} is one of {', '.join(map(repr, accepted))}"
            yield Diagnostic("ORCH-D041", f"tool `{tool.name}`: {name}={given!r}", definition_of(tool.fn), None, fix)
    is_ours = (getattr(tool.fn, "__module__", None) or "").startswith("orchestrator.")
    if not NAME.test(tool.name) or (tool.name.startswith("builtin.") and not is_ours):
        fix = f"name is {NAME.expected}, and does not begin with `builtin.`"
        yield Diagnostic("ORCH-D041", f"a tool called {shown(tool.name)}", definition_of(tool.fn), None, fix)
    seconds = tool.typical_s
    if seconds is not None and not (is_number(seconds) and seconds >= 0):
        message = f"tool `{tool.name}`: typical_s={seconds!r}"
        fix = "typical_s is a number of seconds, such as 0.5"
        yield Diagnostic("ORCH-D041", message, definition_of(tool.fn), None, fix)
    if tool.max_items is not None and not is_count(tool.max_items):
        message, fix = f"tool `{tool.name}`: max_items={shown(tool.max_items)}", "max_items is a number of 1 or more"
        yield Diagnostic("ORCH-D041", message, definition_of(tool.fn), None, fix)
    for message, why, fix in place_problems(tool):
        yield Diagnostic("ORCH-D041", f"tool `{tool.name}`: {message}", definition_of(tool.fn), why, fix)


def feature_problems(tool: ToolSpec[..., Any]) -> Iterator[Diagnostic]:
    """What is wrong with ``pause_features``."""

    def problem(message: str, why: str | None, fix: str) -> Diagnostic:
        return Diagnostic("ORCH-D042", f"tool `{tool.name}`: {message}", definition_of(tool.fn), why, fix)

    given, params = tool.pause_features, tool.boundary.params
    if not isinstance(given, (list, tuple)):
        fix = f"pause_features=({given!r},)" if isinstance(given, str) else 'pause_features=("path",)'
        yield problem(f"pause_features={given!r}", "it takes names of parameters", fix)
        return
    for name in given:
        if name not in params:
            close = get_close_matches(str(name), params, n=1)
            fix = f"did you mean `{close[0]}`?" if close else f"its parameters are ({', '.join(params)})"
            yield problem(f"there is no parameter `{name}` to be a feature of its pauses", None, fix)
        elif not may_be_scalar(params[name]):
            why = f"it is {type_string(params[name])}, and pauses are remembered for each value"
            yield problem(f"`{name}` cannot be a feature of its pauses", why, "name a str, int, float or bool")
