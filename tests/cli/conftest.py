"""Running ``orch`` in this process, and a folder with a user's files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.cli.group import cli

FLOW = '''
from pydantic import BaseModel
from orchestrator import llm, map_, tool, vote, workflow

class Query(BaseModel):
    sql: str

@tool(effects="pure", timeout=5)
def run_sql(sql: str) -> list[str]:
    """Rows."""
    return [sql]

@workflow(slo="p95 < 8s")
def answer(question: str) -> list[str]:
    """Answer a question."""
    drafts = llm(f"Question: {question} SQL?", returns=Query, samples=3, temperature=0.7, max_tokens=40)
    return vote(map_(run_sql, drafts.sql))
'''
TWO = (
    FLOW
    + """
@workflow
def wrong(question: str) -> str:
    reply = llm(question + 1)
    return llm(reply, temperature=-1)
"""
)


@dataclass(frozen=True)
class Ended:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Orch = Callable[..., Ended]


@pytest.fixture
def orch(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Orch:
    """Runs a command line. What it imports from the test's own files is forgotten, as if its process had ended."""
    for variable in ("ORCH_DEBUG", "COLUMNS"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("ORCH_CALIBRATION", "ORCH_LEARNED", "ORCH_STORE"):
        if variable not in os.environ:  # what this machine has learned and run is no part of a test
            monkeypatch.setenv(variable, "off")

    def run(*words: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(words))
        forget(tmp_path)
        printed = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, printed.out, printed.err)

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with ``flow.py`` and ``two.py``; what is imported from it is forgotten afterwards."""
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "two.py").write_text(TWO)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    forget(tmp_path)


def forget(folder: Path) -> None:
    """Forget the modules that have been imported from a folder."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]
