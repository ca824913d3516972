"""A deployment on several nodes: engines start where their device is, come and go while they serve, and come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import RunError
from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.plan import Site
from orchestrator.runtime.deploy.attached import Attachment, attach
from orchestrator.runtime.deploy.deployment import Deployment, names
from orchestrator.runtime.deploy.keeper import Member
from orchestrator.runtime.deploy.layout import Layout, layout_of
from orchestrator.runtime.engines.base import GenerateRequest, Sampling, complete
from orchestrator.runtime.kv.replicas import ReplicaSet
from orchestrator.runtime.ray.session import RaySession
from tests.planner.clusters import gpu
from tests.runtime.deploy.plans import plan
from tests.runtime.deploy.raylets import Raylet, raylets

pytestmark = [pytest.mark.ray, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def two_nodes(ray_session: RaySession) -> Iterator[list[Raylet]]:
    with raylets(ray_session, {"fast": 2.0, "slow": 1.0}, {"fast": 2.0}) as made:
        yield made


def sim(name: str, device: str, **options: Any) -> EngineSpec:
    return EngineSpec(name=name, kind="sim", model="m", device=device, options={"time_scale": 0.0, **options})


def layout(*engines: tuple[EngineSpec, int], name: str = "test", split: int = 1) -> Layout:
    devices = [gpu(name=each, type=each, count=4, node_devices=2) for each in ("fast", "slow", "absent")]
    sites = [
        Site(engine=spec.name, device=str(spec.device), tensor_parallel=split, replicas=count)
        for spec, count in engines
    ]
    return layout_of(plan([spec for spec, _ in engines], devices=devices, sites=sites), name)


@asynccontextmanager
async def deployed(wanted: Layout) -> AsyncIterator[Deployment]:
    made = Deployment.begun(wanted.name)
    try:
        await made.apply(wanted)
        yield made
    finally:
        await made.down(0.0)


@asynccontextmanager
async def attached(*engines: EngineSpec, prefer: str = "test") -> AsyncIterator[Attachment]:
    (found,) = await attach({each.name: each for each in engines}, prefer)
    try:
        yield found
    finally:
        await found.close()


async def ask(engine: ReplicaSet, number: int) -> int:
    """Tokens of a reply of some length."""
    request = GenerateRequest(f"r{number}", "m", (Message("user", f"question {number}"),), Sampling(max_tokens=30))
    usage = (await complete(engine, request)).usage
    return 0 if usage is None else usage.output_tokens


def by_engine(members: tuple[Member, ...]) -> dict[str, int]:
    return {name: sum(each.engine.name == name for each in members) for name in {e.engine.name for e in members}}


async def in_all() -> dict[str, float]:
    """What of the devices nobody has reserved."""
    import ray

    free = ray.available_resources()
    return {name: free.get(name, 0.0) for name in ("fast", "slow")}


async def comes(is_so: Any) -> None:
    for _ in range(600):
        if await is_so():
            return
        await asyncio.sleep(0.1)
    pytest.fail("it did not become so")


async def test_a_deployment_scales_and_changes_under_load_without_losing_a_call(two_nodes: list[Raylet]) -> None:
    one, other = sim("a", "fast", time_scale=0.2), sim("b", "slow")
    async with deployed(layout((one, 1), (other, 1))) as made, attached(one, other) as found:
        before = (await made.status()).members
        assert by_engine(before) == {"a": 1, "b": 1}
        asked: list[asyncio.Task[int]] = []

        async def load() -> None:
            for number in range(10_000):
                asked.append(asyncio.create_task(ask(found.engines["a"], number)))
                await asyncio.sleep(0.02)

        loading = asyncio.create_task(load())
        more = (await made.apply(layout((one, 3), (other, 1)))).members
        assert by_engine(more) == {"a": 3, "b": 1}
        assert {each.name for each in before} <= {each.name for each in more}
        await comes(lambda: _is(len(found.engines["a"].replicas) == 3))
        fewer = (await made.apply(layout((one, 2), (other, 1)))).members
        assert {each.name for each in fewer} < {each.name for each in more}
        changed = sim("a", "fast", time_scale=0.1)
        adopted = (await made.apply(layout((changed, 2), (other, 1)))).members
        assert not {each.name for each in adopted if each.engine.name == "a"} & {each.name for each in fewer}
        assert next(each.pid for each in adopted if each.engine.name == "b") == before[1].pid
        loading.cancel()
        tokens = await asyncio.gather(*asked)
        assert len(tokens) > 10
        assert min(tokens) > 0
        assert sum(load.done > 0 for load in found.engines["a"].router.loads) > 1
    assert names() == []
    await comes(lambda: _same(in_all(), {"fast": 4.0, "slow": 1.0}))


async def _is(value: bool) -> bool:
    return value


async def _same(found: Any, wanted: object) -> bool:
    return bool(await found == wanted)


@pytest.mark.parametrize(
    ("wanted", "code", "said"),
    [
        (layout((sim("c", "absent"), 1)), "ORCH-R122", "no node has `absent`"),
        (layout((sim("c", "fast"), 5)), "ORCH-R122", "the plan takes 5 x fast in all"),
        (layout((sim("a", "fast"), 1), (sim("c", "fast", nonsense=1), 1)), "ORCH-R125", "nonsense"),
        (layout((sim("a", "fast"), 4), (sim("c", "slow"), 1)), "ORCH-R124", "no room"),
    ],
)
async def test_what_cannot_be_started_is_one_error_and_touches_nothing_that_serves(
    two_nodes: list[Raylet], monkeypatch: pytest.MonkeyPatch, wanted: Layout, code: str, said: str
) -> None:
    serving = layout((sim("b", "slow"), 1))
    async with deployed(serving) as made:
        before = await made.status()
        with pytest.raises(RunError, match=said) as refused:
            await made.apply(wanted, room_s=1.0)
        assert (refused.value.code, bool(refused.value.diagnostics[0].fix)) == (code, True)
        assert await made.status() == before
        await comes(lambda: _same(in_all(), {"fast": 4.0, "slow": 0.0}))


async def test_a_change_that_is_interrupted_is_taken_back(two_nodes: list[Raylet]) -> None:
    async with deployed(layout((sim("b", "slow"), 1))) as made:
        before = await made.status()
        wanted = layout((sim("a", "fast"), 4), (sim("c", "slow"), 1))  # whose device `b` has
        changing = asyncio.create_task(made.apply(wanted, room_s=600.0))
        await comes(lambda: _same(in_all(), {"fast": 0.0, "slow": 0.0}))
        changing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await changing
        await comes(lambda: _same(in_all(), {"fast": 4.0, "slow": 0.0}))
        assert await made.status() == before


async def test_a_first_deployment_that_fails_leaves_nothing(two_nodes: list[Raylet]) -> None:
    with pytest.raises(RunError, match="ORCH-R122"):
        await Deployment.begun("never").apply(layout((sim("c", "absent"), 1), name="never"))
    assert names() == []
    with pytest.raises(RunError, match="ORCH-R126"):
        Deployment.found("never")


async def test_a_keeper_that_is_killed_finds_its_replicas_again(two_nodes: list[Raylet]) -> None:
    import ray

    async with deployed(layout((sim("a", "fast"), 2))) as made:
        before, seen = await made.status(), (await made.members(None)).version
        ray.kill(made.keeper, no_restart=False)

        async def is_another() -> bool:
            return (await made.members(None)).version != seen

        await comes(is_another)
        after = await made.status()
        assert {each.pid for each in after.members} == {each.pid for each in before.members}
        assert after.layout == before.layout


async def test_a_keeper_that_has_ended_for_good_is_said_to_be_lost() -> None:
    import ray

    made = Deployment.begun("lost")
    await made.status()
    ray.kill(made.keeper)
    with pytest.raises(RunError, match="ORCH-R127"):
        await made.status()


async def test_the_replicas_of_a_killed_node_are_started_elsewhere(
    ray_session: RaySession, two_nodes: list[Raylet]
) -> None:
    spec = sim("a", "fast")
    wanted = layout((spec, 2), split=2)  # a node has room for one
    async with deployed(wanted) as made, attached(spec) as found:
        before = {each.name for each in (await made.status()).members}
        two_nodes[1].kill()
        assert all(await asyncio.gather(*(ask(found.engines["a"], number) for number in range(20))))
        await comes(lambda: _has(made, 1))
        two_nodes.append(Raylet(ray_session, fast=2.0))
        await comes(lambda: _has(made, 2))
        after = {each.name for each in (await made.status()).members}
        assert len(before & after) == 1
        assert all(await asyncio.gather(*(ask(found.engines["a"], number) for number in range(20, 40))))


async def _has(made: Deployment, count: int) -> bool:
    status = await made.status()
    return len(status.members) == count and (count == 2) == (not status.trouble)
