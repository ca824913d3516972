import os
from pathlib import Path

import pytest

from orchestrator.planner import machine
from orchestrator.planner.cluster import detect


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


def test_gpus_of_one_model_are_one_device() -> None:
    devices, unknown = machine.read_nvidia_smi("NVIDIA L4, 23034\nNVIDIA H200, 143771\nNVIDIA L4, 23034\n")
    assert [(d.name, d.type, d.count, d.memory_bytes) for d in devices] == [
        ("gpu0", "l4", 2, 23034 * 2**20),
        ("gpu1", "h200-sxm", 1, 143771 * 2**20),
    ]
    assert unknown == []


def test_an_unknown_gpu_is_named_and_left_out() -> None:
    devices, [said] = machine.read_nvidia_smi("NVIDIA GeForce GTX 1080, 8192\n")
    assert devices == []
    assert "NVIDIA GeForce GTX 1080" in said


def test_a_failing_nvidia_smi_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "which", lambda _name: "/bin/false")
    monkeypatch.setattr(machine, "_NVIDIA_SMI", ("/bin/false",))
    assert any("nvidia-smi failed" in warning for warning in detect().warnings)
