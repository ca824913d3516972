"""What a cluster is sent when it is joined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import EngineError
from orchestrator.runtime.ray import session


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The runtime environments with which a cluster is joined."""
    found: list[Any] = []

    def join(address: str, runtime_env: Any) -> session.RaySession:
        found.append(runtime_env)
        return session.RaySession(address, owned=False)

    monkeypatch.setattr(session, "_join", join)
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # though other tests have a Ray in this process
    return found


def test_workers_get_the_folder_and_not_the_models_in_it(sent: list[Any], tmp_path: Path) -> None:
    (tmp_path / "code" / "models" / "small").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    folder = tmp_path / "code"
    without = [folder / "models" / "small", tmp_path / "elsewhere", Path("gpt-9"), folder]
    session.connect("10.0.0.1:6379", working_dir=folder, without=without)
    session.connect("10.0.0.1:6379")
    assert sent == [{"working_dir": str(folder), "excludes": ["/models/small"]}, None]


def test_a_job_that_was_submitted_with_its_folder_keeps_that(
    sent: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(session.JOB_CONFIG, "{}")
    session.connect("auto", working_dir=tmp_path)
    assert sent == [None]


def test_a_folder_that_ray_cannot_send_is_said_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def too_large(**_: object) -> None:
        raise ray.exceptions.RuntimeEnvSetupError("Package size (900 MiB) exceeds the maximum size of 512 MiB.")

    monkeypatch.setattr(ray, "init", too_large)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)  # other tests have a Ray in this process
    with pytest.raises(EngineError, match=f"the folder {tmp_path} cannot be sent") as refused:
        session.connect("auto", working_dir=tmp_path)
    assert refused.value.code == "ORCH-E030"
    assert "exceeds the maximum size" in str(refused.value)
