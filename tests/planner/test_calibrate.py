"""Measuring this machine's CPU, and planning with what was measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner import calibrate, machine
from orchestrator.planner.calibrate import Calibration, Speed
from orchestrator.planner.catalogue import read_device_type
from orchestrator.planner.machine import detect

CORES = machine.usable_cores()
FOUND = Calibration(
    cpu='Some "CPU" ® 9000',
    cores=4,
    one=Speed(memory_bytes_per_s=2e10, flops={"fp32": 2e11, "bf16": 1e12}),
    all=Speed(memory_bytes_per_s=5e10, flops={"fp32": 6e11, "bf16": 2e12}),
    measured_on="2026-01-02",
    busy=0.0,
)


@pytest.fixture(autouse=True)
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


def test_a_measurement_becomes_a_device_file_that_says_where_it_comes_from(data_home: Path) -> None:
    path = calibrate.write(FOUND)
    assert path.parent == data_home / "orchestrator" / "devices"
    kind = read_device_type(path)
    four = kind.device("cpu", cores=4, memory_bytes=1e9)
    # FLOP/s are those of all cores together, bandwidth is that of all cores where one core's times four is more.
    assert (four.flops["fp32"], four.flops["bf16"], four.memory_bytes_per_s) == (6e11, 2e12, 5e10)
    assert kind.device("cpu", cores=1, memory_bytes=1e9).memory_bytes_per_s == 2e10
    assert "measured by `orch doctor --calibrate`" in four.sources["flops.bf16"]
    assert '2026-01-02, Some "CPU" ? 9000' in four.sources["flops.bf16"]
    assert "not measured, taken as fp32" in four.sources["flops.fp16"]
    assert four.flops["fp16"] == four.flops["fp32"]


def test_without_torch_bf16_is_taken_as_fp32(data_home: Path) -> None:
    fp32_only = Speed(memory_bytes_per_s=2e10, flops={"fp32": 2e11})
    path = calibrate.write(replace(FOUND, one=fp32_only, all=fp32_only))
    device = read_device_type(path).device("cpu", cores=4, memory_bytes=1e9)
    assert device.flops["bf16"] == device.flops["fp32"] == 2e11
    assert "not measured" in device.sources["flops.bf16"]


def test_planning_uses_the_measured_cpu_from_then_on() -> None:
    assert any("orch doctor --calibrate" in warning for warning in detect().warnings)
    path = calibrate.write(replace(FOUND, cores=CORES))
    cluster = detect()
    assert cluster.device("cpu").type == path.stem
    assert cluster.device("cpu").flops["fp32"] == pytest.approx(6e11)
    assert not any("generic" in warning for warning in cluster.warnings)


def test_another_number_of_cores_is_another_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    calibrate.write(FOUND)
    monkeypatch.setattr(machine, "usable_cores", lambda: CORES + 1)
    assert detect().device("cpu").type == "x86"


def test_an_unusable_measurement_is_named_and_the_generic_cpu_taken() -> None:
    path = calibrate.write(FOUND)
    path.write_text(path.read_text().replace("value = ", "value = -", 1))
    cluster = detect()
    assert cluster.device("cpu").type == "x86"
    [warning] = [each for each in cluster.warnings if "generic" in each]
    assert str(path) in warning


def test_a_folder_that_cannot_be_written_is_coded(data_home: Path) -> None:
    (data_home / "orchestrator").write_text("a file where the folder should be")
    with pytest.raises(PlanError) as caught:
        calibrate.write(FOUND)
    assert caught.value.code == "ORCH-P080"
    assert str(data_home) in caught.value.message


def test_a_process_that_fails_is_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate.sys, "executable", "/bin/false")
    with pytest.raises(PlanError) as caught:
        calibrate.measure(0.0, 2**16)
    assert caught.value.code == "ORCH-P081"


def test_the_real_measurement_without_torch(tmp_path: Path) -> None:
    (tmp_path / "hide").mkdir()
    hide = "import sys, importlib.util as u; f = u.find_spec\n"
    hide += "u.find_spec = lambda name, package=None: None if name == 'torch' else f(name, package)\n"
    (tmp_path / "hide" / "sitecustomize.py").write_text(hide)
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.planner.cpu_speed", "1", "0.01", str(2**20)],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "hide"), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    speed = Speed.model_validate(json.loads(done.stdout))
    assert set(speed.flops) == {"fp32"}
    # Any machine that runs the tests multiplies at more than 100 MFLOP/s and less than 100 TFLOP/s.
    assert 1e8 < speed.flops["fp32"] < 1e14
    assert 1e8 < speed.memory_bytes_per_s < 1e13
