"""Which processes are alive."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.runtime.journal.stores.sqlite import processes
from orchestrator.runtime.journal.stores.sqlite.processes import Process

HOLDS = """
import sys
from pathlib import Path
from orchestrator.runtime.journal.stores.sqlite.processes import Process
process = Process(Path(sys.argv[1]))
print(process.name, flush=True)
sys.stdin.read()
"""


def test_a_process_is_there_until_it_leaves(tmp_path: Path) -> None:
    one, other = Process(tmp_path), Process(tmp_path)
    assert not one.is_gone(one.name)
    assert not one.is_gone(other.name)
    other.leave()
    other.leave()
    assert one.is_gone(other.name)
    assert one.is_gone("never-there")
    assert [file.name for file in tmp_path.iterdir()] == [one.name]
    one.leave()


def test_who_looks_removes_what_is_left_of_the_dead(tmp_path: Path) -> None:
    one, dead = Process(tmp_path), Process(tmp_path)
    dead.let_go()
    (tmp_path / "older").touch()
    one.sweep()
    assert [file.name for file in tmp_path.iterdir()] == [one.name]
    one.leave()


def test_a_killed_process_is_gone_at_once(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    name = child.stdout.readline().strip()
    own = Process(tmp_path)
    assert not own.is_gone(name)
    child.kill()
    child.wait()
    assert own.is_gone(name)
    child.communicate()
    own.leave()


def test_a_fork_holds_nobodys_lock(tmp_path: Path) -> None:
    own, other = Process(tmp_path), Process(tmp_path)
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        assert not own.is_gone(other.name)
        other.let_go()
        until = time.monotonic() + 20
        while not own.is_gone(other.name):
            assert time.monotonic() < until, "the child holds the lock"
            time.sleep(0.01)
        assert not own.is_gone(own.name)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        own.leave()


def test_where_boots_have_no_id_locks_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_BOOT_ID", tmp_path / "none")
    one, other = Process(tmp_path / "owners"), Process(tmp_path / "owners")
    assert one.boot == other.boot
    other.let_go()
    assert one.is_gone(other.name)
    one.leave()
