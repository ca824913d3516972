"""``orch runs diff`` says which ops of two runs are not the same."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Orch

FLOW = """
from orchestrator import tool, workflow

@tool(effects="idempotent")
def save(text: str) -> str:
    return f"saved {text}"

@tool(effects="reads")
def length(text: str) -> int:
    return len(text)

@workflow
def flow(text: str, more: bool) -> int:
    kept = save("always")
    found = length(text + kept)
    if more:
        found = length("more") + found
    return found
"""


def test_what_two_runs_did_otherwise(orch: Orch, folder: Path) -> None:
    (folder / "live.py").write_text(FLOW)
    store = str(folder / "runs.db")
    for run_id, text, more in (("a", "xy", "false"), ("b", "xyz", "true")):
        ended = orch("run", "live.py", "-i", f"text={text}", "-i", f"more={more}", "--store", store, "--run-id", run_id)
        assert ended.code == 0, ended.err
    data = json.loads(orch("runs", "diff", "a", "b", "--store", store, "--json").out)
    whats = {each["op"].rpartition("/")[2]: each["what"] for each in data["differences"]}
    assert whats["length_1"] == "other inputs"
    assert [op for op, what in whats.items() if what == "only in the second"] == ["length_2"]
    assert "save_1" not in whats
    shown = orch("runs", "diff", "a", "a", "--store", store).out
    assert shown.startswith("2 ops the same")


def test_an_unknown_run_is_an_error(orch: Orch, folder: Path) -> None:
    (folder / "live.py").write_text(FLOW)
    store = str(folder / "runs.db")
    orch("run", "live.py", "-i", "text=a", "-i", "more=false", "--store", store, "--run-id", "a")
    ended = orch("runs", "diff", "a", "b", "--store", store)
    assert ended.code == 1
    assert "ORCH-R023" in ended.err
