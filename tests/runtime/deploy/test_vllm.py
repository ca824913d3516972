"""vLLM in a deployment: one that starts is asked by a run, and what keeps one from starting is said and left behind."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import RunError
from orchestrator.planner.plan import Site
from orchestrator.runtime.deploy.attached import attach
from orchestrator.runtime.deploy.deployment import Deployment, names
from orchestrator.runtime.deploy.layout import Layout, layout_of
from orchestrator.runtime.engines.base import GenerateRequest, Sampling, complete
from orchestrator.runtime.engines.vllm import version
from orchestrator.runtime.ray.session import RaySession
from tests.conftest import MODEL
from tests.planner.clusters import cpu
from tests.runtime.deploy.plans import plan, vllm

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.ray,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(version.installed() is None, reason="vLLM is not installed"),
    pytest.mark.skipif(not version.on_cpu(), reason="the engines of these plans are for a CPU"),
]


def layout(model: Path, **options: Any) -> Layout:
    site = Site(engine="main", device="cpu", tensor_parallel=1, replicas=1, batch=4)
    spec = vllm(device="cpu", model=str(model), options={"max_model_len": 512, **options})
    return layout_of(plan([spec], devices=[cpu()], sites=[site]), "vllm")


async def test_a_deployed_vllm_answers_and_a_broken_successor_leaves_it_serving(
    ray_session: RaySession, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(MODEL, broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    made = Deployment.begun("vllm")
    try:
        wanted = layout(MODEL)
        (member,) = (await made.apply(wanted)).members
        (found,) = await attach({"main": wanted.groups[0].engine}, "vllm")
        request = GenerateRequest("one", str(MODEL), (Message("user", "SELECT"),), Sampling(max_tokens=4))
        usage = (await complete(found.engines["main"], request)).usage
        assert usage is not None
        assert usage.output_tokens
        with pytest.raises(RunError, match="ORCH-R125") as refused:
            await made.apply(layout(broken))
        assert ("ORCH-E00" in str(refused.value), bool(refused.value.diagnostics[0].fix)) == (True, True)
        assert [each.pid for each in (await made.status()).members] == [member.pid]
        assert (await complete(found.engines["main"], request)).usage
        await found.close()
    finally:
        await made.down(0.0)


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (Path("/nowhere"), {}, "there is no config.json in that directory (ORCH-E004)"),
        (MODEL, {"start_timeout_s": 0.5}, "was not ready within 0.5 s"),
    ],
)
async def test_a_first_vllm_that_does_not_start_leaves_nothing(
    ray_session: RaySession, model: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(RunError) as refused:
        await Deployment.begun("vllm").apply(layout(model, **options))
    assert (refused.value.code, said in str(refused.value)) == ("ORCH-R125", True)
    assert "vllm" not in names()
