"""A vLLM engine that cannot start says why in one error, quickly, and leaves nothing running."""

from __future__ import annotations

import json
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


@pytest.mark.vllm
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    ("config", "code"),
    [
        pytest.param(None, "ORCH-E004", id="broken config"),
        pytest.param({"max_position_embeddings": 10**6}, "ORCH-E006", id="a window larger than the KV cache"),
    ],
)
async def test_what_cannot_start(
    ray_session: RaySession, tmp_path: Path, config: dict[str, int] | None, code: str
) -> None:
    if version.installed() is None:
        pytest.skip("vLLM is not installed")
    from orchestrator.runtime.engines.vllm.actor import RayVllm

    model = tmp_path / "model"
    shutil.copytree(MODEL, model)
    file = model / "config.json"
    file.write_text('{"model_type": ' if config is None else json.dumps(json.loads(file.read_text()) | config))
    with pytest.raises(EngineError) as failed:
        await RayVllm("main", str(model)).start()
    assert failed.value.code == code
    assert failed.value.diagnostics[0].why


async def test_a_folder_without_a_model() -> None:
    from orchestrator.runtime.engines.vllm.local import LocalVllm

    if version.installed() is None:
        pytest.skip("vLLM is not installed")
    with pytest.raises(EngineError) as failed:
        await LocalVllm("main", "/no/such/model").start()
    assert failed.value.code == "ORCH-E004"


def test_too_little_memory_for_the_kv_cache_has_its_own_code() -> None:
    from orchestrator.runtime.engines.vllm.local import _start_error

    error = _start_error("main", "m", ValueError("No available memory for the cache blocks. Try increasing …"))
    assert error.code == "ORCH-E006"


def test_what_pydantic_says_is_the_reason_and_not_where_to_read_more() -> None:
    from pydantic import TypeAdapter, ValidationError

    from orchestrator.runtime.engines.vllm.local import _start_error

    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python("many")
    why = _start_error("main", "m", caught.value).diagnostics[0].why
    assert why is not None
    assert "unable to parse string as an integer" in why
    assert "http" not in why
