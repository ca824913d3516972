"""The tools of the text-to-SQL workflow: run a query in the sandbox, and elect the result that most agree on."""

from __future__ import annotations

from pydantic import BaseModel

from orchestrator import tool
from orchestrator.kernels.majority import majority

from . import prompts, sandbox
from .sandbox import Cell
from .schema_text import rows_text


class Result(BaseModel):
    """What a query gave: rows, or the problem that the model should repair."""

    rows: list[list[Cell]]
    problem: str = ""
    """SQLite's message, or that nothing was found; empty when there are rows."""
    text: str = ""
    """The rows as the model reads them."""


@tool(effects="idempotent", timeout=10, typical_s=0.001)
def execute(database: str, sql: str) -> Result:
    """Run one query on a read-only connection, within limits of time, steps and bytes."""
    found = sandbox.execute(database, sql)
    if found.error is not None:
        return Result(rows=[], problem=found.error)
    if not found.rows or found.rows[0][0] is None:
        return Result(rows=found.rows, problem=prompts.NO_ROWS)
    return Result(rows=found.rows, text=rows_text(found.rows))


@tool(effects="pure", cheap=True)
def elected(results: list[Result]) -> int:
    """The position of the first among the results that agree most; those with a problem count only if all have one."""
    ballots = [None if result.problem else repr(result.rows) for result in results]
    choice = majority(ballots) or majority([repr(result.rows) for result in results])
    return choice.winner if choice else 0
