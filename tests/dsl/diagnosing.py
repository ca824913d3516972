"""What tracing says of workflows that are wrong."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator import tool, workflow
from orchestrator.dsl.codes import CODES
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import Diagnostic, TraceError
from tests.dsl.recording import record


class Query(BaseModel):
    sql: str
    limit: int | None = None


@tool(effects="pure")
def run_sql(query: str) -> list[str]:
    return [query]


@tool(effects="pure")
def count(rows: list[str]) -> int:
    return len(rows)


def errors_of(flow: Workflow[..., Any]) -> list[Diagnostic]:
    with pytest.raises(TraceError) as caught:
        record(flow)
    return caught.value.diagnostics


def diagnose(function: Callable[..., Any] | Workflow[..., Any]) -> list[Diagnostic]:
    """The errors of a workflow, each checked for being in the table and at a line marked with its code.

    A function is traced as it is, as are those that workflows call: nothing of it is compiled.
    """
    flow = function if isinstance(function, Workflow) else workflow(rewrite=False)(function)
    found = errors_of(flow)
    source, first = inspect.getsourcelines(flow.fn)
    for diagnostic in found:
        assert diagnostic.code in CODES
        assert diagnostic.where is not None
        marked = [first + i for i, line in enumerate(source) if f"# {diagnostic.code[5:]}" in line]
        assert diagnostic.where.line in marked, diagnostic
        assert diagnostic.where.file == flow.fn.__code__.co_filename
    return found


def assert_as_marked(function: Callable[..., Any]) -> None:
    """The lines that have errors are those that are marked with a code."""
    source, first = inspect.getsourcelines(function)
    marked = {first + i: found[1] for i, line in enumerate(source) if (found := re.search(r"# (D\d+)$", line))}
    found = {each.where.line: each.code[5:] for each in diagnose(function) if each.where}
    assert found == marked, f"found {found}, and marked are {marked}"


def the_error(function: Callable[..., Any]) -> Diagnostic:
    (diagnostic,) = diagnose(function)
    return diagnostic


def the_error_at_caller(function: Callable[..., Any]) -> Diagnostic:
    (diagnostic,) = errors_of(workflow(function))
    assert diagnostic.where is not None
    assert diagnostic.where.line == function.__code__.co_firstlineno
    return diagnostic
