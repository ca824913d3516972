"""A run goes on with another version of its workflow: what fits is taken, and no write is made again by itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator import llm, loop, map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.artifacts.folder import Folder
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.rehearsal import rehearse
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.runner import Runner

calls: Counter[str] = Counter()
broken: list[bool] = []


@pytest.fixture(autouse=True)
def _afresh() -> None:
    calls.clear()
    broken[:] = [True]


@tool(effects="idempotent")
async def save(text: str) -> str:
    calls[f"save {text}"] += 1
    return f"saved {text}"


@tool(effects="once")
async def pay(cents: int) -> int:
    calls[f"pay {cents}"] += 1
    return cents


@tool(effects="reads")
async def look(what: str) -> str:
    calls[f"look {what}"] += 1
    return f"about {what}"


@tool(effects="reads")
async def end(text: str) -> str:
    """It fails while it is broken, so that the run stops there."""
    calls["end"] += 1
    if broken[0]:
        raise OSError("not yet")
    return text


async def first_then(first: Any, second: Any, **decisions: Any) -> tuple[RunResult, Counter[str], MemoryStore]:
    """A run that is interrupted in one version and goes on in another: its result, and what the second one called."""
    store = MemoryStore()
    engine = ScriptedEngine(_reply)
    async with Runner({"default": engine}, store=store) as runtime:
        with pytest.raises(RunError, match="not yet"):
            await runtime.run(compile_workflow(workflow(first)), {"n": 1}, run_id="r")
        before = Counter(calls)
        broken[0] = False
        result = await runtime.resume(compile_workflow(workflow(second)), "r", **decisions)
    return result, calls - before, store


def _reply(request: Any) -> str:
    calls[f"llm {request.messages[-1].content}"] += 1
    return f"reply to {request.messages[-1].content}"


async def test_a_call_that_is_put_in_front_loses_nothing() -> None:
    def flow(n: int) -> str:
        return end(llm(f"b {look('y')}"))

    first = flow

    def flow(n: int) -> str:  # type: ignore[no-redef]
        new = llm("a")
        about = look("y")
        return end(f"{new} {llm(f'b {about}')}")

    result, again, _ = await first_then(first, flow)
    assert result.value == "reply to a reply to b about y"
    assert again == {"llm a": 1, "end": 1}


async def test_a_call_whose_prompt_comes_out_differently_is_made_again() -> None:
    def flow(n: int) -> str:
        return end(llm(f"old {look('y')}"))

    first = flow

    def flow(n: int) -> str:  # type: ignore[no-redef]
        return end(llm(f"new {look('y')}"))

    result, again, _ = await first_then(first, flow)
    assert again == {"llm new about y": 1, "end": 1}
    assert result.value == "reply to new about y"


async def test_turns_of_a_loop_that_was_edited_are_kept_where_they_are_as_they_were() -> None:
    def flow(n: int) -> str:
        return end(loop(lambda t: llm(f"go {t}"), "x", max=20))

    first = flow

    def flow(n: int) -> str:  # type: ignore[no-redef]
        seen = look("z")
        return end(loop(lambda t: llm(f"go {t}"), "x", max=22) + seen)

    _, again, _ = await first_then(first, flow)
    assert sum(count for name, count in again.items() if name.startswith("llm")) == 2
    assert again["look z"] == again["end"] == 1


async def test_a_loop_is_found_again_where_another_one_was_put_in_front() -> None:
    def flow(n: int) -> str:
        return end(loop(lambda t: llm(f"go {t}"), "x", max=3))

    first = flow

    def flow(n: int) -> str:  # type: ignore[no-redef]
        other = loop(look, "y", max=2)
        return end(loop(lambda t: llm(f"go {t}"), "x", max=3) + other)

    _, again, _ = await first_then(first, flow)
    assert not [name for name in again if name.startswith("llm")]


async def test_turns_are_kept_where_a_loop_that_was_not_come_to_does_the_same() -> None:
    def flow(n: int) -> str:
        there = loop(lambda t: end(look(t)), "x", max=3)
        return loop(lambda t: end(look(t)), f"{there} y", max=3)

    first = flow

    def flow(n: int) -> str:  # type: ignore[no-redef]
        there = loop(lambda t: end(look(t)), "x", max=3)
        return look(loop(lambda t: end(look(t)), f"{there} y", max=3))

    _, again, _ = await first_then(first, flow)
    assert again["look x"] == 0


async def test_items_of_a_map_are_kept() -> None:
    def flow(n: int) -> str:
        return end("".join(map_(lambda t: save(llm(t)), ["a", "b", "c"], limit=5)))

    first = flow

    def flow(n: int) -> str:  # type: ignore[no-redef]
        return end("".join(map_(lambda t: save(llm(t)), ["a", "b", "c"], limit=5)) + look("q"))

    _, again, _ = await first_then(first, flow)
    assert again == {"look q": 1, "end": 1}


async def test_items_keep_what_they_gave_behind_one_that_was_put_in_front() -> None:
    def flow(n: int) -> str:
        return end("".join(map_(look, ["a", "b", "b"], limit=5)))

    first = flow

    def flow(n: int) -> str:  # type: ignore[no-redef]
        return end("".join(map_(look, ["new", "b", "a", "b", "b"], limit=5)))

    _, again, _ = await first_then(first, flow)
    assert again == {"look new": 1, "look b": 1, "end": 1}, "each result is taken once"


async def test_no_item_writes_again_behind_one_that_was_put_in_front() -> None:
    def flow(n: int) -> str:
        return end("".join(map_(save, ["a", "b"], limit=5)))

    first = flow

    def flow(n: int) -> str:  # type: ignore[no-redef]
        return end("".join(map_(save, ["new", "a", "b"], limit=5)))

    with pytest.raises(RunError) as failure:
        await first_then(first, flow)
    assert (failure.value.code, failure.value.undecided) == ("ORCH-R104", ("map_1[0]/save_1",))
    broken[:] = [True]
    _, again, _ = await first_then(first, flow, decisions={"map_1[0]/save_1": "again"})
    assert again == {"save new": 1, "end": 1}


async def test_a_write_with_other_inputs_waits_for_a_decision() -> None:
    def flow(n: int) -> str:
        return end(f"{pay(100)}")

    first = flow

    def flow(n: int) -> str:  # type: ignore[no-redef]
        return end(f"{pay(250)}")

    with pytest.raises(RunError) as raised:
        await first_then(first, flow)
    assert raised.value.code == "ORCH-R104"
    assert calls["pay 250"] == 0


async def test_a_run_that_waits_for_a_decision_is_suspended() -> None:
    def flow(n: int) -> str:
        return end(save("old"))

    def other(n: int) -> str:
        return end(save("new"))

    other.__name__ = "flow"
    store = MemoryStore()
    async with Runner(store=store) as runtime:
        with pytest.raises(RunError):
            await runtime.run(compile_workflow(workflow(flow)), {"n": 1}, run_id="r")
        second = compile_workflow(workflow(other))
        with pytest.raises(RunError, match="ORCH-R104"):
            await runtime.resume(second, "r")
        (head,) = await store.heads()
        assert (head.status, head.version) == ("suspended", second.program.fingerprint)


@pytest.mark.parametrize(("verdict", "value", "paid"), [("keep", "100", 0), ("again", "250", 1)])
async def test_somebody_decides(verdict: str, value: str, paid: int) -> None:
    def flow(n: int) -> str:
        return end(f"{pay(100)}")

    first = flow

    def flow(n: int) -> str:  # type: ignore[no-redef]
        return end(f"{pay(250)}")

    result, again, _ = await first_then(first, flow, decisions={"pay_1": verdict})
    assert result.value == value
    assert again["pay 250"] == paid
    assert again["pay 100"] == 0


async def test_it_is_said_which_result_would_be_kept() -> None:
    def flow(n: int) -> str:
        return end(save("one"))

    def other(n: int) -> str:
        return end(save("two"))

    other.__name__ = "flow"
    with pytest.raises(RunError, match="needs a decision") as caught:
        await first_then(flow, other)
    assert "to keep it is to take 'saved one', given at 20" in str(caught.value)
    assert "for inputs of the digest" in str(caught.value)


async def test_a_new_write_is_made_without_a_question() -> None:
    def flow(n: int) -> str:
        return end(save("a"))

    first = flow

    def flow(n: int) -> str:  # type: ignore[no-redef]
        return end(save("a") + f"{pay(5)}")

    result, again, _ = await first_then(first, flow)
    assert again == {"pay 5": 1, "end": 1}
    assert result.value == "saved a5"


async def test_what_was_spent_counts_on() -> None:
    def flow(n: int) -> str:
        return end(llm("one"))

    first = flow

    def flow(n: int) -> str:  # type: ignore[no-redef]
        return end(llm("one") + llm("two"))

    result, _, _ = await first_then(first, flow)
    assert result.usage.output_tokens > 0
    assert calls["llm one"] == 1


async def test_a_run_goes_on_twice_under_the_new_version() -> None:
    """What was taken is not taken twice, and what was not is still there."""

    def flow(n: int) -> str:
        return end(llm("same") + llm("same"))

    def other(n: int) -> str:
        look("new")
        return end(llm("same") + llm("same") + save("x"))

    other.__name__ = "flow"
    store, replies = MemoryStore(), iter(["one", "two"])
    engine = ScriptedEngine(lambda _: next(replies))
    async with Runner({"default": engine}, store=store) as runtime:
        with pytest.raises(RunError, match="not yet"):
            await runtime.run(compile_workflow(workflow(flow)), {"n": 1}, run_id="r")
        second = compile_workflow(workflow(other))
        with pytest.raises(RunError, match="not yet"):
            await runtime.resume(second, "r")
        broken[0] = False
        assert (await runtime.resume(second, "r")).value in {"onetwosaved x", "twoonesaved x"}
    assert calls["look new"] == calls["save x"] == 1


async def test_a_run_that_is_over_gives_its_result_whatever_the_version() -> None:
    def flow(n: int) -> str:
        return save("a")

    def other(n: int) -> str:
        return save("b")

    other.__name__ = "flow"
    store = MemoryStore()
    async with Runner(store=store) as runtime:
        await runtime.run(compile_workflow(workflow(flow)), {"n": 1}, run_id="r")
        assert (await runtime.resume(compile_workflow(workflow(other)), "r")).value == "saved a"


async def test_what_may_have_happened_once_under_an_earlier_version_is_not_started_again() -> None:
    started = asyncio.Event()

    @tool(effects="once")
    async def charge(cents: int) -> int:
        calls["charge"] += 1
        started.set()
        await asyncio.sleep(60)
        return cents

    def flow(n: int) -> int:
        return charge(7)

    def other(n: int) -> int:
        return len(look("x")) + charge(7)

    def without(n: int) -> int:
        return len(look("x"))

    other.__name__ = without.__name__ = "flow"
    for later in (other, without):
        calls.clear()
        started.clear()
        store = MemoryStore()
        async with Runner(store=store) as runtime:
            task = asyncio.create_task(runtime.run(compile_workflow(workflow(flow)), {"n": 1}, run_id="r"))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(RunError) as raised:
                await runtime.resume(compile_workflow(workflow(later)), "r")
            assert raised.value.code == "ORCH-R020"
        assert calls["charge"] == 1


@pytest.mark.parametrize("size", [300, 200_000])
async def test_a_long_input_goes_on_with_the_run(size: int, tmp_path: Path) -> None:
    """It stands in the log as a message, or apart, and a later execution reads the log from the change on."""

    def flow(text: str) -> str:
        return end(look("one") + text[:1])

    def other(text: str) -> str:
        return end(look("one") + text[:1]) + f"{len(text)}"

    other.__name__ = "flow"
    store, artifacts = MemoryStore(), Folder(tmp_path)
    async with Runner(store=store, artifacts=artifacts) as runtime:
        with pytest.raises(RunError, match="not yet"):
            await runtime.run(compile_workflow(workflow(flow)), {"text": "é" * size}, run_id="r")
        second = compile_workflow(workflow(other))
        found = await rehearse(second.program, store, "r", artifacts)
        assert (found.problem, list(found.again.values())) == (None, ["end_1"])
        for _ in range(2):
            with pytest.raises(RunError, match="not yet"):
                await runtime.resume(second, "r")
        broken[0] = False
        assert (await runtime.resume(second, "r")).value == f"about oneé{size}"
    rows = [row async for row in store.history("r")]
    assert all(len(row.data) < 3000 for row in rows), "what is apart stays there"
    assert calls["look one"] == 1
