"""Isolated tools of scripts and of modules: their worker imports what it needs, and ends with the script."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.runtime.runner import Runner
from tests.awaiting import is_running, until
from tests.runtime.tools.calling import outcome

SCRIPT = """
import os, sys, time
from pydantic import BaseModel
from orchestrator import tool, workflow

class Found(BaseModel):
    n: int

class Odd(ValueError):
    pass

@tool(effects="idempotent", isolation="process")
def find(n: int) -> Found:
    print("noise of a tool", flush=True)
    if n % 2:
        raise Odd(n)
    return Found(n=n)

@workflow
def flow(n: int) -> Found:
    return find(n)

@tool(effects="idempotent", isolation="process")
def wait(n: int) -> int:
    print(os.getpid(), file=sys.stderr, flush=True)
    time.sleep(600)
    return n

@workflow
def waits(n: int) -> int:
    return wait(n)

if sys.argv[1:] == ["waits"]:
    waits(1)
if __name__ == "__main__":
    print(repr(flow(2)), isinstance(flow(2), Found))
    try:
        flow(3)
    except Exception as error:
        print(type(error.__cause__) is Odd)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    return file


def test_a_script_needs_no_guard_and_its_classes_come_back(script: Path) -> None:
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "Found(n=2) True\nTrue\n", done.stderr
    assert "noise of a tool" in done.stderr


def test_what_tools_print_does_not_mix_with_results(script: Path) -> None:
    command = [sys.executable, "-m", "orchestrator.cli.main", "run", f"{script}:flow", "-i", "n=4", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith("{"), done.stderr
    assert "noise of a tool" in done.stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
async def test_workers_end_with_their_parent_however_it_ends(script: Path, how: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, str(script), "waits"], stderr=subprocess.PIPE, text=True)
    assert parent.stderr is not None
    worker = int(parent.stderr.readline())
    parent.send_signal(how)
    parent.wait(60)
    await until(lambda: not is_running(worker))
    parent.stderr.close()


NAMED_TYPES = """
from typing import Annotated, NewType, TypeAlias

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from orchestrator import tool, workflow

Id = NewType("Id", int)
Count = TypeAliasType("Count", int)
Names = TypeAliasType("Names", list[str])
Positive = Annotated[int, Field(gt=0)]
Word: TypeAlias = "str"


class Row(BaseModel):
    id: Id
    count: Count
    names: Names


@tool(effects="pure", isolation="process")
def row(id: Id, count: Count, least: Positive) -> Row:
    return Row(id=id, count=count, names=["a"])


@tool(effects="pure", isolation="process")
def first(row: Row) -> Word:
    return row.names[0]


@workflow
def flow(n: Id) -> str:
    return first(row(n, n, n))


if __name__ == "__main__":
    print(flow(Id(3)))
"""


def test_a_script_may_name_its_types(tmp_path: Path) -> None:
    file = tmp_path / "named.py"
    file.write_text(NAMED_TYPES)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "a\n", done.stderr


SLOW_MODULE = """
import os, time
from orchestrator import tool, workflow

if "ORCH_TOOL_PROCESS" in os.environ:
    time.sleep(1.5)

@tool(effects="idempotent", isolation="process", timeout=1)
def ready(x: int) -> int:
    return x

@workflow
def flow(x: int) -> int:
    return ready(x)
"""


async def test_importing_its_module_is_not_the_time_of_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_import.py").write_text(SLOW_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("slow_to_import")
    async with Runner() as runtime:
        assert await outcome(runtime, module.flow, 3) == 3
