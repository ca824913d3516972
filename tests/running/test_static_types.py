"""What a type checker sees: the type of a workflow's result is that of every way to run it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCE = """\
from orchestrator import RunResult, Session, arun, astream, run, stream, workflow
from orchestrator.events import Event, Text
from orchestrator.testing import fake

@workflow
def count(text: str) -> list[int]:
    return [1]

@workflow
async def bare(text: str) -> list[int]:
    return [1]

@workflow(budget="$1")
async def declared(text: str) -> list[int]:
    return [1]

reveal_type(run(bare, "x").value)
reveal_type(declared("x"))
reveal_type(run(count, "x").value)
reveal_type(run(count, {"text": "x"}, engine="sim", budget="$1").value)
reveal_type(run(count, text="x", model="m").usage.output_tokens)
with stream(count, "x", cluster="c.toml") as events:
    for event in events:
        match event:
            case Text(delta=delta):
                reveal_type(delta)
    reveal_type(events.result.value)
with Session(model="m") as session:
    reveal_type(session.run(count, "x").value)

async def main() -> None:
    reveal_type((await arun(count, "x")).value)
    found = astream(count, "x")
    reveal_type([each async for each in found][0].op)
    reveal_type(found.result.value)
    async with Session(engine="http://h/v1", model="m") as session:
        reveal_type((await session.arun(count, "x", tenant="t")).value)
        reveal_type(session.astream(count, "x").result.value)

def kept(result: RunResult[list[int]]) -> None: ...
kept(run(count, "x"))
with fake({"say": "yes", "*": ["a", "b"]}, answers={"ok": "yes"}): ...
with fake({"say": lambda messages: messages[-1].content, "n": 3}) as engine: ...
run(count, "x", engine=3)
run(lambda text: text, "x")
wrong: RunResult[str] = run(count, "x")
"""


@pytest.mark.slow
def test_the_type_of_the_result_is_kept(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    file = tmp_path / "flow.py"
    file.write_text(SOURCE)
    said, errors, _ = api.run(["--strict", "--no-error-summary", str(file)])
    assert not errors
    lines = [line.split(": ", 1)[1] for line in said.splitlines() if "flow.py:" in line]
    revealed = [re.sub(r"builtins\.", "", line.split('"')[1]) for line in lines if "Revealed" in line]
    lists = ["list[int]"]
    assert revealed == [*lists * 4, "int", "str", *lists * 3, "str", *lists * 3]
    wrong = [line for line in lines if "Revealed" not in line]
    assert [re.findall(r"\[([\w-]+)\]$", line) for line in wrong] == [["arg-type"]] * 3
