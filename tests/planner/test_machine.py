import os
from pathlib import Path

import pytest

from orchestrator.planner import machine
from orchestrator.planner.machine import detect


@pytest.fixture(autouse=True)
def nothing_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where ``orch doctor --calibrate`` has not run."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def test_this_machine() -> None:
    cluster = detect()
    cpu = cluster.device("cpu")
    assert 1 <= cpu.cores <= (os.cpu_count() or 1)
    assert cpu.memory_bytes <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert cpu.sources["memory_bytes"] == "this machine"
    assert cluster.engines == ()
    assert any("generic" in warning for warning in cluster.warnings)


def test_memory_that_nobody_tells_is_a_guess_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_name: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(machine.os, "sysconf", unknown)
    monkeypatch.setattr(machine.cgroup, "memory_bytes", lambda: None)
    cluster = detect()
    assert cluster.device("cpu").memory_bytes == machine.ASSUMED_MEMORY
    assert any("guess" in warning for warning in cluster.warnings)


@pytest.mark.parametrize("physical", [-1, 0])
def test_a_system_that_reports_no_memory_and_no_cores(monkeypatch: pytest.MonkeyPatch, physical: int) -> None:
    monkeypatch.setattr(machine.os, "sysconf", lambda _name: physical)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _pid: set())
    monkeypatch.setattr(machine.cgroup, "memory_bytes", lambda: 2**30)
    monkeypatch.setattr(machine.cgroup, "cores", lambda: None)
    cpu = detect().device("cpu")
    assert (cpu.cores, cpu.memory_bytes) == (1, 2**30)


def test_the_containers_limits_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _pid: set(range(64)))
    monkeypatch.setattr(machine.cgroup, "cores", lambda: 3)
    monkeypatch.setattr(machine.cgroup, "memory_bytes", lambda: 2**28)
    cpu = detect().device("cpu")
    assert (cpu.cores, cpu.memory_bytes) == (3, 2**28)


def test_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise FileNotFoundError("/proc/meminfo")

    monkeypatch.setattr("psutil.virtual_memory", gone)
    assert machine.available_memory_bytes() == machine.usable_memory_bytes()
    monkeypatch.setattr(Path, "read_text", gone)
    assert machine.cpu_name()


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_cls: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(Path, "home", classmethod(nobody))
    assert detect().device("cpu").cores >= 1
