"""``orch check --against-live`` says what a workflow as it is now would do with its runs in flight."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Orch

FLOW = """
from pathlib import Path

from orchestrator import tool, workflow

@tool(effects="idempotent")
def save(text: str) -> str:
    return f"saved {text}"

@tool(effects="reads")
def end(text: str) -> str:
    if not Path("go").exists():
        raise OSError("not yet")
    return text

@workflow
def flow(text: str) -> str:
    return end(save(text))
"""


def test_what_becomes_of_each_run_that_is_not_over(orch: Orch, tmp_path: Path) -> None:
    file = tmp_path / "live.py"
    file.write_text(FLOW)
    store = str(tmp_path / "runs.db")
    failed = orch("run", str(file), "-i", "text=a", "--store", store, "--run-id", "r1")
    assert failed.code == 1
    (only,) = live(orch, file, store)
    assert (only["run_id"], only["verdict"]) == ("r1", "same")
    file.write_text(FLOW.replace("end(save(text))", "end(save(text + '!'))"))
    (only,) = live(orch, file, store)
    assert (only["verdict"], only["undecided"]) == ("needs a decision", ["save_1"])
    file.write_text(FLOW.replace("end(save(text))", "end(save(text) + save('b'))"))
    (only,) = live(orch, file, store)
    assert (only["verdict"], only["again"]) == ("goes on", ["save_2"])
    said = orch("check", str(file), "--against-live", "--store", store).out
    assert "flow: 1 run not over" in said
    assert "r1 (failed): goes on; executes `save_2`" in said


def test_without_the_option_no_store_is_opened(orch: Orch, tmp_path: Path) -> None:
    file = tmp_path / "live.py"
    file.write_text(FLOW)
    assert orch("check", str(file), "--store", str(tmp_path / "none" / "runs.db")).code == 0
    assert not (tmp_path / "none").exists()


def live(orch: Orch, file: Path, store: str) -> list[dict[str, object]]:
    ended = orch("check", str(file), "--against-live", "--store", store, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)["live"]["flow"]  # type: ignore[no-any-return]
