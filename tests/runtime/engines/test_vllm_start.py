"""A vLLM engine that cannot start says why in one error, quickly, and leaves nothing running."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orchestrator.errors import EngineError
from orchestrator.runtime.engines.vllm import version
from orchestrator.runtime.engines.vllm.log import last_failure
from orchestrator.runtime.ray.session import RaySession
from tests.conftest import MODEL

LOG = """
(EngineCore pid=7) INFO 11-21 loading
(EngineCore pid=7) ERROR 11-21 [core.py:1] EngineCore failed to start.
(EngineCore pid=7) ERROR 11-21 [core.py:1] ValueError: the weights have 3 shards, the index names 4
Traceback (most recent call last):
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""


def test_the_root_cause_is_found_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LOG)
    assert last_failure(tmp_path / "log") == "ValueError: the weights have 3 shards, the index names 4"
    (tmp_path / "log").write_text("all is well\n")
    assert last_failure(tmp_path / "log") is None
    assert last_failure(tmp_path / "none") is None
    assert last_failure(None) is None


@pytest.mark.vllm
@pytest.mark.asyncio(loop_scope="session")
async def test_broken_weights(ray_session: RaySession, tmp_path: Path) -> None:
    if version.installed() is None:
        pytest.skip("vLLM is not installed")
    from orchestrator.runtime.engines.vllm.actor import RayVllm

    broken = tmp_path / "broken"
    shutil.copytree(MODEL, broken)
    (broken / "model.safetensors").write_bytes(bytes(range(256)))
    engine = RayVllm("main", str(broken))
    with pytest.raises(EngineError) as failed:
        await engine.start()
    assert failed.value.code == "ORCH-E005"
    only = failed.value.diagnostics[0]
    assert str(broken) in only.message
    assert only.why is not None
    assert "Engine core initialization failed" not in only.why
    assert only.fix is not None
    assert Path(only.fix.removeprefix("the engine's log is ")).is_file()
