"""Runs that go on in one process are followed from another."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.runs.test_going_on import COMMAND, ENV, FLOW

FAILING = """
from orchestrator import tool, workflow

@tool(effects="reads")
def look(number: int) -> int:
    raise OSError("nothing there")

@workflow
def flow(number: int) -> int:
    return look(number)
"""


@contextmanager
def orch(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The real command, while it works."""
    with subprocess.Popen(
        [*COMMAND, *words],
        cwd=folder,
        env=ENV,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Its second step waits until somebody lets it go on."""
    (tmp_path / "flow.py").write_text(FLOW)
    with orch(tmp_path, "run", "flow.py:chain", "a", "--run-id", "r1") as process:
        log, patience = tmp_path / "log.txt", time.monotonic() + 200
        while not log.exists() or "2" not in log.read_text().split():
            assert process.poll() is None and time.monotonic() < patience
            time.sleep(0.05)
        yield process


def heard(watching: subprocess.Popen[str], until: str) -> list[str]:
    """The lines that it prints up to one that has this text."""
    assert watching.stdout is not None
    lines: list[str] = []
    for line in watching.stdout:
        lines.append(line.rstrip("\n"))
        if until in line:
            return lines
    raise AssertionError(f"{until!r} is not in {lines}")


def test_each_step_is_told_when_it_ends_and_the_run_at_its_end(tmp_path: Path, run: subprocess.Popen[str]) -> None:
    with orch(tmp_path, "runs", "watch", "r1") as watching:
        before = heard(watching, "step_2 · running")
        assert any("step_1 · done" in line for line in before)
        (tmp_path / "mended").touch()
        after = heard(watching, "step_3 · done")
        assert any("step_2 · done" in line for line in after)
        assert any("r1" in line and "done" in line for line in watching.communicate()[0].splitlines())
        assert watching.returncode == 0
    assert run.communicate()[0] == "a123\n"


def test_ctrl_c_ends_the_watching_and_not_the_run(tmp_path: Path, run: subprocess.Popen[str]) -> None:
    with orch(tmp_path, "runs", "watch", "r1") as watching:
        heard(watching, "step_2 · running")
        watching.send_signal(signal.SIGINT)
        assert watching.wait() == 130
    assert run.poll() is None
    (tmp_path / "mended").touch()
    assert run.communicate()[0] == "a123\n"
    assert run.returncode == 0


def test_a_run_that_is_over_is_told_whole_and_one_that_failed_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FAILING)
    with orch(tmp_path, "run", "flow.py", "-i", "number=1", "--run-id", "r1") as failing:
        assert failing.wait() == 1
    with orch(tmp_path, "runs", "watch", "r1") as watching:
        said = watching.communicate()[0]
    assert watching.returncode == 1
    assert "look_1 · failed" in said
    assert "nothing there" in said
