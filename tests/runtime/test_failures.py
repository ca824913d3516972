"""The table of codes is complete, and errors keep what they know when they become coded."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.errors import BudgetError, EngineError, RunError, SourceLoc
from orchestrator.runtime import failures
from orchestrator.runtime.codes import CODES

RUNTIME = Path(failures.__file__).parent
HERE = SourceLoc("app.py", 3)


def test_every_code_in_the_runtime_is_in_the_table_and_used() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in RUNTIME.rglob("*.py"))
    table = (RUNTIME / "codes.py").read_text(encoding="utf-8")
    assert set(re.findall(r"ORCH-R\d+", text)) == set(CODES)
    assert all(text.count(code) > table.count(code) for code in CODES)


def test_an_engine_error_keeps_its_code_and_gains_the_place() -> None:
    made = failures.of_op(EngineError("ORCH-E010", "timed out", fix="wait"), "llm", HERE)
    assert isinstance(made, RunError)
    assert (made.code, made.diagnostics[0].where, made.diagnostics[0].fix) == ("ORCH-E010", HERE, "wait")


def test_a_budget_error_stays_one() -> None:
    assert isinstance(failures.of_op(BudgetError("ORCH-R010", "over"), "llm", HERE), BudgetError)


def test_an_error_that_knows_its_place_keeps_it() -> None:
    inner = RunError("ORCH-R001", "inner", where=SourceLoc("inner.py", 1))
    assert failures.of_op(inner, "loop", HERE) is inner
