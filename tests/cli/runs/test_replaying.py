"""``orch runs replay`` plays a run from its log, and says where the code of today differs."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Orch

FLOW = """
from pathlib import Path

from orchestrator import tool, workflow

@tool(effects="reads")
def look(text: str) -> str:
    with Path("looked.txt").open("a") as log:
        log.write(text)
    return f"about {text}"

@workflow
def flow(text: str) -> str:
    for _ in range(12):
        text = look(text)[:20]
    return text
"""


def test_a_finished_run_is_answered_from_its_log(orch: Orch, folder: Path) -> None:
    (folder / "live.py").write_text(FLOW)
    store = str(folder / "runs.db")
    assert orch("run", "live.py", "-i", "text=a", "--store", store, "--run-id", "r").code == 0
    looked = (folder / "looked.txt").read_text()
    whole = orch("runs", "replay", "r", "live.py", "--store", store)
    assert (whole.code, whole.out) == (0, "r: everything is answered from its log\n")
    (folder / "other.py").write_text(FLOW.replace("def flow", "def other"))
    refused = orch("runs", "replay", "r", "other.py", "--store", store)
    assert (refused.code, "run r is one of `flow`, and not of `other`" in refused.err) == (1, True)
    (folder / "live.py").write_text(FLOW.replace("look(text)[:20]", "look(text + '!')[:20]"))
    other = orch("runs", "replay", "r", "live.py", "--store", store)
    assert other.code == 1
    assert "executes `" in other.out
    assert (folder / "looked.txt").read_text() == looked
