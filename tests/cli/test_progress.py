"""What a command says while runs are under way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.cli.progress import Advance, Progress
from orchestrator.cli.screen import Screen
from orchestrator.compiler import compile as compile_workflow
from orchestrator.planner.plan import Plan
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.journal.events import MapProgress, OpDone, OpFailed, OpStarted, Spent, TimerSet
from tests.cli.conftest import Orch

MANY = """
from orchestrator import map_, tool, workflow

@tool(effects="idempotent")
async def twice(number: int) -> int:
    return 2 * number

@workflow
def many(numbers: list[int]) -> list[int]:
    return map_(twice, numbers, limit=500)
"""


NAPS = """
from orchestrator import map_, sleep, workflow

@workflow
def naps(numbers: list[int]) -> None:
    map_(sleep, numbers)
"""


@pytest.fixture
def plan(folder: Path) -> Plan:
    from orchestrator.cli.target import load_target

    (folder / "many.py").write_text(MANY)
    return compile_workflow(load_target("many.py").workflow).plan


def test_what_is_left_follows_from_the_pace_so_far() -> None:
    assert Advance(62, 200, 100.0).left(131.0) == "~1.1min left"
    assert Advance(0, 200, 100.0).left(131.0) == ""
    assert Advance(200, 200, 100.0).left(131.0) == ""


def test_a_run_says_what_it_does_how_far_it_is_and_what_it_spent(plan: Plan) -> None:
    progress = Progress(plan, Screen(live=False))
    progress.running(1)
    watch = progress.began("many")
    for event in (
        OpStarted("", "map_1", 1, 0.0),
        MapProgress("", "map_1", 0, 5, 0.0),
        OpStarted("map_1[0]/", "twice_1", 1, 0.0),
        OpStarted("map_1[1]/", "twice_1", 1, 0.0),
        OpDone("map_1[0]/", "twice_1", (2,), 0.0, Usage(1200, None, 30), 0.02),
        MapProgress("", "map_1", 1, 5, 0.0),
        OpStarted("map_1[2]/", "twice_1", 1, 0.0),
        Spent("map_1[2]/", "twice_1", Usage(300, None, 0), 0.01, 0.0),
    ):
        watch.push(event)
    said = watch.say()  # type: ignore[attr-defined]
    assert said.startswith("many · map_1 1/5 · 1.5k in, 30 out, $0.03 · ~")
    assert said.endswith(" left · twice_1 ×2")  # which a narrow terminal cuts first
    watch.push(OpFailed("map_1[1]/", "twice_1", 1, "ORCH-R001", "broken", None, 0.0))
    assert watch.say().endswith(" left · twice_1")  # type: ignore[attr-defined]
    watch.push(Spent("map_1[2]/", "twice_1", Usage(1, None, 0), None, 0.0))
    assert "$" not in watch.say()  # type: ignore[attr-defined]


def test_a_run_that_sleeps_says_for_how_long(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.cli import progress as module
    from orchestrator.cli.target import load_target

    (folder / "naps.py").write_text(NAPS)
    plan = compile_workflow(load_target("naps.py").workflow).plan
    monkeypatch.setattr(module.time, "time", lambda: 100.0)
    progress = Progress(plan, Screen(live=False))
    progress.running(1)
    watch = progress.began("naps")
    for item, wake_at in enumerate((3700.0, 190.0)):
        watch.push(OpStarted(f"map_1[{item}]/", "sleep_1", 1, 0.0))
        watch.push(TimerSet(f"map_1[{item}]/", "sleep_1", wake_at, 0.0))
    assert watch.say() == "naps · sleep_1 (1.5min left) ×2"  # type: ignore[attr-defined]
    watch.push(OpDone("map_1[1]/", "sleep_1", (None,), 0.0))
    assert watch.say() == "naps · sleep_1 (1h left)"  # type: ignore[attr-defined]
    monkeypatch.setattr(module.time, "time", lambda: 1e6)
    assert watch.say() == "naps · sleep_1 (0s left)"  # type: ignore[attr-defined]
    watch.push(OpDone("map_1[0]/", "sleep_1", (None,), 0.0))
    assert watch.say() == "naps"  # type: ignore[attr-defined]


@pytest.mark.parametrize("items", [500, 95, 20])
def test_elsewhere_each_tenth_of_a_large_map_is_a_line(orch: Orch, plan: Plan, items: int) -> None:
    ended = orch("run", "many.py", "-i", f"numbers={list(range(items))}")
    assert ended.code == 0
    lines = re.findall(rf"^map_1 (\d+)/{items}", ended.err, re.M)
    assert len(lines) == 10
    assert lines[-1] == str(items)


def test_a_small_map_says_nothing_elsewhere(orch: Orch, plan: Plan) -> None:
    assert "map_1" not in orch("run", "many.py", "-i", "numbers=[1, 2, 3]").err


def test_with_several_runs_the_line_says_which(orch: Orch, folder: Path, plan: Plan) -> None:
    (folder / "in.jsonl").write_text(f'{{"numbers": {list(range(40))}}}\n{{"numbers": [1]}}\n')
    ended = orch("run", "many.py", "--inputs", "in.jsonl")
    assert "in.jsonl:1 map_1 40/40" in ended.err
    assert "[2/2]" in ended.err


def test_a_fault_of_the_display_is_not_told_as_ctrl_c(
    orch: Orch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("the display")

    (folder / "many.py").write_text(MANY)
    monkeypatch.setattr(Progress, "ended", broken)
    ended = orch("run", "many.py", "--input", "numbers=[1, 2]")
    assert "ZeroDivisionError: the display" in ended.err
    assert "interrupted" not in ended.err
    assert ended.code == 1
