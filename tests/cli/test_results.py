"""Ctrl-C between the end of the runs and the delivery of what they gave."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import output, results
from orchestrator.cli.screen import Screen
from orchestrator.cli.streams import UndeliveredError
from orchestrator.ctrl_c import KeptCtrlC
from orchestrator.runtime.runner import Runner
from tests.cli.conftest import Orch

FLOW = """
from orchestrator import tool, workflow

@tool(effects="once")
def pay(order: str) -> str:
    return f"{order} is paid for"

@workflow
def shop(order: str) -> str:
    return pay(order)
"""
APP = """
import os, signal, sys, time
from orchestrator.cli.app import App, Case, Job
from shop import shop

def report(job, outcomes, facts):
    for name in os.environ["SIGNALS"].split():
        os.kill(os.getpid(), getattr(signal, name))
    time.sleep(60)

app = App(workflow=shop, prepare=lambda options, words: Job([Case("a", {"order": "seven"})]), report=report)
"""


@pytest.fixture
def shop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a workflow, a place of its own for results, and Ctrl-C as a terminal has it."""
    (folder / "shop.py").write_text(FLOW)
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield folder
    signal.signal(signal.SIGINT, before)


def pressing(real: Callable[..., Any], *, at: int = 1) -> Callable[..., Any]:
    """``real``, with Ctrl-C at the beginning of one of its calls."""
    calls = 0

    def pressed(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            signal.raise_signal(signal.SIGINT)
        return real(*given, **named)

    return pressed


def saved(folder: Path) -> list[str]:
    files = (folder / "data" / "orchestrator" / "results").glob("*.json")
    return [json.loads(each.read_text())["value"] for each in files]


@pytest.mark.parametrize(
    ("where", "also"), [("shown", None), ("screen", None), ("shown", "saved"), ("shown", "at once"), ("full", "saved")]
)
def test_it_saves_the_results(
    orch: Orch, shop: Path, monkeypatch: pytest.MonkeyPatch, where: str, also: str | None
) -> None:
    def full(*_: object, **__: object) -> None:
        raise UndeliveredError(errno.ENOSPC, "No space left on device")

    match where:
        case "shown":
            monkeypatch.setattr(output, "deliver", pressing(output.deliver))
        case "screen":  # which is closed once more when everything has stopped
            monkeypatch.setattr(Screen, "close", pressing(Screen.close, at=2))
        case _:
            monkeypatch.setattr(output, "deliver", full)
    if also == "saved":
        monkeypatch.setattr(results, "save_result", pressing(results.save_result))
    elif also == "at once":
        monkeypatch.setattr(results, "KeptCtrlC", pressing(KeptCtrlC))
    ended = orch("run", "shop.py", "seven")
    assert ended.code == 130
    assert "ORCH-U092" in ended.err
    assert f"nothing is lost: they are in {shop / 'data'}" in ended.err
    assert saved(shop) == ["seven is paid for"]


def test_it_delivers_them_when_it_comes_while_engines_stop(
    orch: Orch, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runner, "close", pressing(Runner.close))
    ended = orch("run", "shop.py", "seven")
    assert (ended.code, ended.out) == (130, "seven is paid for\n")
    assert not saved(shop)


def test_runs_that_gave_nothing_leave_no_file(orch: Orch, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop / "shop.py").write_text(FLOW.replace('return f"', 'raise ValueError; return f"'))
    monkeypatch.setattr(Screen, "close", pressing(Screen.close, at=2))
    ended = orch("run", "shop.py", "seven")
    assert ended.code == 130
    assert not saved(shop)


@pytest.mark.parametrize(
    ("signals", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT SIGINT", 130), ("SIGTERM SIGINT", 143)]
)
def test_signals_that_end_jobs_save_them_too(
    shop: Path, monkeypatch: pytest.MonkeyPatch, signals: str, code: int
) -> None:
    (shop / "own").mkdir()
    (shop / "own" / "app.py").write_text(APP)
    monkeypatch.setenv("SIGNALS", signals)
    command = [sys.executable, "-m", "orchestrator.cli.main", "run", "own"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    assert saved(shop) == ["seven is paid for"]


@pytest.mark.parametrize(
    ("ending", "why"),
    [
        ("sys.exit('no rows')", "SystemExit: no rows"),
        ("sys.exit()", "SystemExit"),
        ("raise GeneratorExit", "GeneratorExit"),
    ],
)
def test_a_report_that_ends_the_process_loses_nothing(orch: Orch, shop: Path, ending: str, why: str) -> None:
    (shop / "leaving").mkdir()
    app = APP.replace('os.environ["SIGNALS"]', '""').replace("time.sleep(60)", ending)
    (shop / "leaving" / "app.py").write_text(app)
    ended = orch("run", "leaving")
    assert ended.code == 1
    assert "ORCH-U092" in ended.err
    assert f"why: {why}\n" in ended.err
    assert saved(shop) == ["seven is paid for"]


IDLE = """
from orchestrator.cli.app import App, Job, Report
from shop import shop

app = App(
    workflow=shop,
    prepare=lambda options, words: Job([], ["all orders are paid for"]),
    report=lambda job, outcomes, facts: Report({}, f"{len(outcomes)} orders"),
)
"""


def test_a_job_without_cases_is_nothing_to_do(orch: Orch, shop: Path) -> None:
    (shop / "idle").mkdir()
    (shop / "idle" / "app.py").write_text(IDLE)
    ended = orch("run", "idle", "--record", "r.json")
    assert (ended.code, ended.out) == (0, "0 orders\n"), ended.err
    assert "all orders are paid for" in ended.err
    assert not json.loads((shop / "r.json").read_text())["runs"]
