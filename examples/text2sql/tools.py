"""What the agent does besides asking a model: run a query safely, and decide which results count in the vote."""

from __future__ import annotations

import json

from pydantic import BaseModel

from examples.text2sql import prompts, sandbox
from examples.text2sql.schema_text import rows_text
from orchestrator import tool


class Result(BaseModel):
    """What a query gave: rows, or the problem that a model can read and repair."""

    rows: list[list[str | int | float | None]]
    problem: str = ""
    """SQLite's message, ``no rows``, or nothing."""


@tool(effects="pure", timeout_s=10, typical_s=0.002)
def run_sql(database: str, sql: str) -> Result:
    """Run a query read-only, within limits of time and size (:mod:`examples.text2sql.sandbox`)."""
    found = sandbox.execute(database, sql)
    nothing = not found.rows or found.rows[0][0] is None
    return Result(rows=found.rows, problem=found.error or (prompts.NO_ROWS if nothing else ""))


@tool(effects="pure", typical_s=1e-5)
def ballots(results: list[Result]) -> list[str | None]:
    """What each candidate votes for: its rows. One whose query failed or found nothing abstains, unless all did."""
    some = any(not each.problem for each in results)
    return [None if some and each.problem else json.dumps([each.rows, each.problem]) for each in results]


@tool(effects="pure", typical_s=1e-5)
def shown(result: Result) -> str:
    """The rows as the model was trained to read them."""
    return rows_text(result.rows)
