"""Whatever nvidia-smi says, or does not, the machine is described."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.planner import nvidia_smi
from orchestrator.planner.nvidia_smi import detect_gpus, read_nvidia_smi


def test_gpus_of_one_model_are_one_device() -> None:
    devices, left_out = read_nvidia_smi("NVIDIA L4, 23034\nNVIDIA H200, 143771\n\nNVIDIA L4, 23034 MiB, [N/A]\n")
    assert [(d.name, d.type, d.count, d.memory_bytes) for d in devices] == [
        ("gpu0", "l4", 2, 23034 * 2**20),
        ("gpu1", "h200-sxm", 1, 143771 * 2**20),
    ]
    assert left_out == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("NVIDIA GeForce GTX 1080, 8192", "not in the device catalogue"),
        ("NVIDIA GB10, [N/A]", "no memory of its own ([N/A])"),
        ("Orin (nvgpu), [Not Supported]", "no memory of its own"),
        ("NVIDIA H200, [Insufficient Permissions]", "no memory of its own"),
        ("NVIDIA H200,", "no memory of its own (nothing)"),
        ("NVIDIA H200, 0", "no memory of its own"),
        ("NVIDIA H200, -5", "no memory of its own"),
        ("NVIDIA H200, " + "9" * 400, "no memory of its own"),
        ("NVIDIA H200, ١٢٣", "no memory of its own"),
        ("NVIDIA H200, 143771, Enabled", "split by MIG"),
        ("No devices were found", "No devices were found"),
        ("\x00\ufffd", "no GPU in what nvidia-smi says"),
    ],
)
def test_what_is_no_gpu_is_left_out_with_a_note_and_spoils_no_other(line: str, said: str) -> None:
    devices, [note] = read_nvidia_smi(f"{line}\nNVIDIA L4, 23034, Disabled\n")
    assert [device.type for device in devices] == ["l4"]
    assert said in note
    assert len(note) < 200


def test_many_senseless_lines_are_cut_short() -> None:
    _, notes = read_nvidia_smi("what\n" * 1_000)
    assert len(notes) <= 3


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An nvidia-smi of the test's own; it must be written and made executable."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "nvidia-smi"


@pytest.mark.parametrize(
    ("script", "gpus", "said"),
    [
        ("echo 'NVIDIA L4, 23034'", 1, ""),
        ("echo 'NVIDIA L4, 23034, Disabled'; echo warning >&2", 1, "warning"),
        (
            "case $1 in *mig*) echo 'no such field'; exit 2;; esac; echo 'NVIDIA L4, 9'",
            1,
            "",
        ),
        ("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18", 0, "version mismatch"),
        ("exit 9", 0, "exit status 9"),
        ("kill -9 $$", 0, "exit status -9"),
        ("printf 'NVIDIA \\377, 5'", 0, "not in the device catalogue"),
        ("sleep 60 & sleep 60", 0, "did not answer within"),
        ("exec 1>&-; exit 0", 0, ""),
        ("", 0, ""),
    ],
)
def test_whatever_the_program_does(
    program: Path, monkeypatch: pytest.MonkeyPatch, script: str, gpus: int, said: str
) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(nvidia_smi, "TIMEOUT_S", 0.5 if "sleep" in script else 60.0)
    devices, notes = detect_gpus()
    assert len(devices) == gpus
    assert said in " ".join(notes)


def test_a_program_that_cannot_be_started(program: Path) -> None:
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    assert detect_gpus() == ([], ["no GPU used: nvidia-smi cannot be started (No such file or directory)"])


def test_no_program_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert detect_gpus() == ([], [])
