"""The inputs of a run: converted to the types of the workflow's parameters, with all problems in one error."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from orchestrator.dsl.types.secret import holds_secret
from orchestrator.errors import Diagnostic, RunError
from orchestrator.runtime.failures import first_line
from orchestrator.runtime.journal.lines.secrets import confused, named
from orchestrator.runtime.tools.apart import in_checks
from orchestrator.runtime.tools.threads import ToolThreads
from orchestrator.runtime.values.at_run_time import adapter, at_run_time, runs_own_code
from orchestrator.runtime.values.by_value import by_value

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled


async def inputs_apart(
    checks: ToolThreads, compiled: Compiled, inputs: Mapping[str, object], *, tenant: str | None, depth: int = 0
) -> tuple[object, ...]:
    """:func:`checked_inputs` of a workflow, in a thread where that calls functions of the user's."""
    check = partial(inputs_of, compiled, inputs)
    if any(runs_own_code(at_run_time(tp)) for tp in compiled.params.values()):
        return await in_checks(checks, check, tenant=tenant, depth=depth)
    return check()


def inputs_of(compiled: Compiled, inputs: Mapping[str, object]) -> tuple[object, ...]:
    """:func:`checked_inputs` of a workflow."""
    return checked_inputs(compiled.params, inputs, compiled.defaults)


def checked_inputs(
    params: Mapping[str, Any], inputs: Mapping[str, object], defaults: Mapping[str, object] = MappingProxyType({})
) -> tuple[object, ...]:
    """The inputs in order, converted to the parameters' types; raises one ``RunError`` ORCH-R007 with all problems."""
    given = {**defaults, **inputs}
    problems: list[str] = [f"there is no parameter `{name}`" for name in inputs if name not in params]
    values: list[object] = []
    secrets: dict[str, list[object]] = {}
    for name, tp in params.items():
        if name not in given:
            problems.append(f"`{name}` is missing")
            continue
        try:
            value = by_value(given[name] if tp is Any else adapter(at_run_time(tp)).validate_python(given[name]))
        except ValidationError as error:
            problems.append(f"`{name}`: {first_line(error)}")
        else:
            values.append(named(value, name, secrets) if holds_secret(tp) else value)
    problems += confused(secrets)
    if problems:
        fix = f"its parameters are ({', '.join(params)})"
        raise RunError.collect([Diagnostic("ORCH-R007", f"wrong inputs: {each}", fix=fix) for each in problems])
    return tuple(values)
