"""A fork begins with what another run had done, and makes again what depends on what is different."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from time import time
from typing import Any

import pytest

from orchestrator import llm, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.coordinator.forking import fork
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.artifacts.folder import Folder
from orchestrator.runtime.journal.stores.base import Claim
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.runner import Runner

calls: Counter[str] = Counter()


@tool(effects="idempotent")
async def save(text: str) -> str:
    calls[f"save {text}"] += 1
    return f"saved {text}"


@workflow
def flow(topic: str, tone: str) -> str:
    facts = llm(f"facts about {topic}", name="facts")
    saved = save(facts)
    return llm(f"{saved}, said {tone}", name="told")


FLOW = flow


@pytest.fixture(autouse=True)
def _afresh() -> None:
    calls.clear()


def reply(request: Any) -> str:
    calls[request.messages[-1].content] += 1
    return f"<{request.messages[-1].content}>"


async def forked(**given: Any) -> tuple[str, Counter[str], MemoryStore]:
    """The value of a fork of a run that is over, and what the fork called."""
    store, compiled = MemoryStore(), compile_workflow(flow)
    async with Runner({"default": ScriptedEngine(reply)}, store=store) as runtime:
        await runtime.run(compiled, {"topic": "ants", "tone": "kindly"}, run_id="r")
        calls.clear()
        await fork(store, compiled.program, "r", "f", **given)
        (head,) = await store.heads(status=("ready",))
        assert head.run_id == "f"
        return (await runtime.resume(compiled, "f")).value, Counter(calls), store


async def test_a_fork_of_all_of_it_calls_nothing() -> None:
    value, again, _ = await forked()
    assert value == "<saved <facts about ants>, said kindly>"
    assert not again


async def test_what_is_behind_the_op_is_made_again() -> None:
    value, again, _ = await forked(before="told")
    assert value == "<saved <facts about ants>, said kindly>"
    assert again == {"saved <facts about ants>, said kindly": 1}


async def test_another_input_makes_again_what_depends_on_it() -> None:
    value, again, _ = await forked(inputs={"tone": "sternly"})
    assert value == "<saved <facts about ants>, said sternly>"
    assert again == {"saved <facts about ants>, said sternly": 1}


@pytest.mark.parametrize("before", ["told", None])
async def test_another_prompt_is_tried_for_the_price_of_one_call(before: str | None) -> None:
    @workflow
    def flow(topic: str, tone: str) -> str:
        facts = llm(f"facts about {topic}", name="facts_now")
        saved = save(facts)
        return llm(f"Say {tone}: {saved}", name="said")

    store, compiled = MemoryStore(), compile_workflow(flow)
    async with Runner({"default": ScriptedEngine(reply)}, store=store) as runtime:
        await runtime.run(compile_workflow(FLOW), {"topic": "ants", "tone": "kindly"}, run_id="r")
        calls.clear()
        await fork(store, compiled.program, "r", "f", before=before)
        assert (await runtime.resume(compiled, "f")).value == "<Say kindly: saved <facts about ants>>"
        assert calls == {"Say kindly: saved <facts about ants>": 1}
        with pytest.raises(RunError) as raised:
            await fork(store, compiled.program, "r", "g", before="said")  # what the run calls otherwise
    assert raised.value.code == "ORCH-R105"


async def test_code_that_takes_other_inputs_cannot_go_on_with_those_of_the_run() -> None:
    @workflow
    def flow(topic: list[int]) -> str:
        return llm(f"facts about {topic}")

    store = MemoryStore()
    async with Runner({"default": ScriptedEngine(reply)}, store=store) as runtime:
        await runtime.run(compile_workflow(FLOW), {"topic": "ants", "tone": "kindly"}, run_id="r")
    with pytest.raises(RunError) as raised:
        await fork(store, compile_workflow(flow).program, "r", "f")
    assert raised.value.code == "ORCH-R021"


async def test_what_was_written_before_the_op_is_not_written_otherwise_by_itself() -> None:
    with pytest.raises(RunError) as raised:
        await forked(inputs={"topic": "bees"})
    assert raised.value.code == "ORCH-R104"
    assert not [name for name in calls if name.startswith("save")]


async def test_a_fork_in_front_of_a_write_writes() -> None:
    _, again, _ = await forked(before="save_1", inputs={"topic": "bees"})
    assert again["save <facts about bees>"] == 1


async def test_the_run_itself_stays_as_it_is_and_the_fork_outlives_it() -> None:
    _, _, store = await forked(before="told")
    assert await store.remove(["r"]) == 1
    async with Runner({"default": ScriptedEngine(reply)}, store=store) as runtime:
        assert (await runtime.resume(compile_workflow(flow), "f")).value.endswith("said kindly>")


@pytest.mark.parametrize("before", ["none", "told/x", "told[3]/facts", ""])
async def test_an_op_that_the_run_has_not_come_to_is_an_error(before: str) -> None:
    with pytest.raises(RunError) as raised:
        await forked(before=before)
    assert raised.value.code == "ORCH-R105"
    assert "`told`" in (raised.value.diagnostics[0].why or ""), "it names those that it has come to"


async def test_the_code_of_another_workflow_begins_no_fork() -> None:
    @workflow
    def other(topic: str, tone: str) -> str:
        return save(topic + tone)

    store = MemoryStore()
    async with Runner({"default": ScriptedEngine(reply)}, store=store) as runtime:
        await runtime.run(compile_workflow(flow), {"topic": "ants", "tone": "kindly"}, run_id="r")
    with pytest.raises(RunError, match="is one of `flow`, and not of `other`") as raised:
        await fork(store, compile_workflow(other).program, "r", "f")
    assert raised.value.code == "ORCH-R021"
    assert await store.head("f") is None


class Dying(MemoryStore):
    """A store whose process dies before a fork is whole."""

    dies = True

    def snapshot(self, claim: Claim, data: bytes) -> None:
        if self.dies:
            raise OSError("killed")
        super().snapshot(claim, data)


async def test_nobody_executes_a_fork_whose_maker_has_died_and_it_is_made_again() -> None:
    store, compiled = Dying(), compile_workflow(flow)
    async with Runner({"default": ScriptedEngine(reply)}, store=store) as runtime:
        await runtime.run(compiled, {"topic": "ants", "tone": "kindly"}, run_id="r")
        with pytest.raises(OSError, match="killed"):
            await fork(store, compiled.program, "r", "f", before="told", inputs={"tone": "sternly"})
        await store.close()  # as when its lease is over
        assert not await store.claim("worker", holds={"flow": {compiled.program.fingerprint}})
        with pytest.raises(RunError) as failure:
            await runtime.resume(compiled, "f")
        assert failure.value.code == "ORCH-R102"
        store.dies = False
        await fork(store, compiled.program, "r", "f", before="told", inputs={"tone": "sternly"})
        assert "sternly" in (await runtime.resume(compiled, "f")).value


async def test_an_id_that_is_taken_is_an_error() -> None:
    store, compiled = MemoryStore(), compile_workflow(flow)
    async with Runner({"default": ScriptedEngine(reply)}, store=store) as runtime:
        await runtime.run(compiled, {"topic": "ants", "tone": "kindly"}, run_id="r")
        with pytest.raises(RunError) as raised:
            await fork(store, compiled.program, "r", "r")
    assert raised.value.code == "ORCH-R029"


async def test_large_values_and_messages_are_taken_and_outlive_the_other_run(tmp_path: Path) -> None:
    large, store, artifacts, compiled = "x" * 100_000, MemoryStore(), Folder(tmp_path), compile_workflow(flow)
    engine = ScriptedEngine(lambda request: large if "facts" in request.messages[-1].content else "told")
    async with Runner({"default": engine}, store=store, artifacts=artifacts) as runtime:
        await runtime.run(compiled, {"topic": "ants", "tone": "kindly"}, run_id="r")
        await fork(store, compiled.program, "r", "f", before="told", artifacts=artifacts)
        await store.remove(["r"])
        kept = await store.referred(list(artifacts.names(time() + 10 * 86_400)))
        assert kept, "what the fork begins with is no garbage"
        calls.clear()
        assert (await runtime.resume(compiled, "f")).value
        assert not [name for name in calls if name.startswith("save")]


async def test_a_fork_has_the_large_inputs_and_others_in_place_of_them(tmp_path: Path) -> None:
    store, artifacts, compiled = MemoryStore(), Folder(tmp_path), compile_workflow(flow)
    given = {"topic": "a" * 100_000, "tone": "b" * 100_000}
    async with Runner({"default": ScriptedEngine(reply)}, store=store, artifacts=artifacts) as runtime:
        await runtime.run(compiled, given, run_id="r")
        await fork(store, compiled.program, "r", "f", inputs={"tone": "c" * 100_000}, artifacts=artifacts)
        await fork(store, compiled.program, "f", "g", artifacts=artifacts)
        assert all([len(row.data) < 10_000 async for row in store.history("f")])
        await store.remove(["r", "f"])
        names = set(artifacts.names(time() + 10 * 86_400))
        artifacts.remove(names.difference(await store.referred(names)))
        calls.clear()
        value = (await runtime.resume(compiled, "g")).value
    assert value.endswith("c" * 100_000 + ">")
    assert [len(name) for name in calls] == [len(value) - 2], "the facts and what was saved are taken"
