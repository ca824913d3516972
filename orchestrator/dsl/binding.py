"""The arguments of a call, bound to the parameters of a tool or workflow."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from orchestrator.dsl.declared.boundary import Boundary
from orchestrator.dsl.tracing.tracer import Tracer


def bind(
    tracer: Tracer,
    boundary: Boundary,
    callee: str,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    *,
    may_lack: Collection[str] = (),
) -> dict[str, object] | None:
    """Arguments by name, in the order of the parameters; None after reporting that they do not fit.

    The parameters ``may_lack`` are given by others if they are not given here.
    """
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
    missing = [name for name in names if name in boundary.required and name not in given and name not in may_lack]
    if missing:
        problems.append(f"needs {', '.join(f'`{name}`' for name in missing)}")
    if problems and not boundary.problems:
        tracer.report(
            "ORCH-D012",
            f"{callee} {'; '.join(problems)}",
            fix=f"its parameters are ({', '.join(names)})",
        )
    return None if problems else {name: given[name] for name in names if name in given}
