"""What a type checker sees: in a workflow a call of an async tool is its result, however the tool was declared."""

from __future__ import annotations

from pathlib import Path

import pytest

SOURCE = """\
from orchestrator import tool

@tool
async def bare(text: str) -> int:
    return len(text)

@tool(effects="idempotent")
async def declared(text: str) -> int:
    return len(text)

@tool(effects="pure")
def plain(text: str) -> int:
    return len(text)

reveal_type(bare(""))
reveal_type(declared(""))
reveal_type(declared.options(name="last")(""))
reveal_type(plain(""))
plain(1)
"""


@pytest.mark.slow
def test_async_tools_have_the_type_of_their_result(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    file = tmp_path / "flow.py"
    file.write_text(SOURCE)
    said, errors, _ = api.run(["--strict", "--no-error-summary", str(file)])
    assert not errors
    lines = [line.split(": ", 1)[1] for line in said.splitlines() if "flow.py:" in line]
    assert lines[:-1] == ['note: Revealed type is "int"'] * 4
    assert "[arg-type]" in lines[-1]
