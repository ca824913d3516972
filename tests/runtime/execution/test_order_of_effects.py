"""Effects happen in the order in which they are written, however long each of them takes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator import ask, branch, llm, loop, map_, parallel, race, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import RunError
from orchestrator.planner.graph import read as read_graph
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.human import Answers
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.program.lowering import lower
from orchestrator.runtime.runner import Runner
from orchestrator.testing import fake

log: list[str] = []


async def _happen(x: str) -> str:
    log.append(f"+{x}")
    for _ in range(20 if x.startswith("slow") else 1):
        await asyncio.sleep(0)
    log.append(f"-{x}")
    return x


async def _write(x: str) -> str:
    return await _happen(x)


async def _put(x: str) -> str:
    return await _happen(x)


async def _read(x: str) -> str:
    return await _happen(x)


write = tool(_write, effects="once", name="write")
put = tool(_put, effects="idempotent", name="put")
read = tool(_read, effects="reads", name="read")


@tool(effects="reads")
def look(x: str) -> str:
    """In a thread."""
    log.extend((f"+{x}", f"-{x}"))
    return x


@tool
def undeclared(x: str) -> str:
    log.extend((f"+{x}", f"-{x}"))
    return x


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    log.clear()


def one_by_one(*names: str) -> list[str]:
    return [event for name in names for event in (f"+{name}", f"-{name}")]


def was_before(first: str, second: str) -> bool:
    return log.index(f"-{first}") < log.index(f"+{second}")


async def run(wf: Workflow[..., Any], *inputs: object, passes: bool = True, replies: Any = ()) -> Any:
    async with Runner({"main": ScriptedEngine(replies)}, human=Answers({"ask_1": "yes"})) as runtime:
        if passes:
            compiled = compile_workflow(wf)
            return (await runtime.run(compiled, dict(zip(compiled.params, inputs, strict=True)))).value
        traced = wf.trace()
        program = lower(read_graph(traced.module), traced.bindings, returns=traced.returns, program_hash="hash")
        return (await runtime.run_program(program, inputs)).value


@workflow
def straight(q: str) -> str:
    write("slow a")
    put("slow b")
    look("c")
    undeclared("d")
    ask("sure?")
    return write("e")


@pytest.mark.parametrize("passes", [True, False])
async def test_writes_and_reads_between_them_come_one_after_the_other(passes: bool) -> None:
    assert await run(straight, "q", passes=passes) == "e"
    assert log == one_by_one("slow a", "slow b", "c", "d", "e")


async def test_reads_after_one_write_run_side_by_side() -> None:
    @workflow
    def flow(q: str) -> str:
        write("w")
        read("slow")
        read("quick")
        return write("x")

    await run(flow, "q")
    assert log[:4] == ["+w", "-w", "+slow", "+quick"]
    assert log[-2:] == ["+x", "-x"]


async def test_order_holds_across_structured_ops_and_starts_anew_in_them() -> None:
    @workflow
    def flow(q: str, go: bool) -> str:
        write("slow 1")
        branch(go, lambda: (write("slow 2"), write("3"))[1], lambda: q)
        loop(lambda s: (write("4"), read("5"), write("6"))[2], q, max=2)
        race(lambda: write("7"))
        branch(go, lambda: q, lambda: write("never"))
        return write("8")

    await run(flow, "q", True)
    assert log == one_by_one("slow 1", "slow 2", "3", "4", "5", "6", "4", "5", "6", "7", "8")


async def test_the_condition_of_a_loop_is_in_the_order_of_its_rounds() -> None:
    @workflow
    def flow(q: str) -> str:
        loop(lambda s: write("w"), q, max=2, until=lambda s: read("r") == "stop")
        return write("end")

    await run(flow, "q")
    assert log == one_by_one("r", "w", "r", "w", "end")


async def test_items_of_a_map_are_free_among_themselves_and_each_keeps_its_order() -> None:
    @workflow
    def flow(names: list[str]) -> list[str]:
        write("first")
        made = map_(lambda name: (read(f"slow {name}1"), write(f"{name}2"))[1], names, limit=3)
        write("last")
        return made

    assert await run(flow, ["a", "b", "c"]) == ["a2", "b2", "c2"]
    assert log[2:5] == ["+slow a1", "+slow b1", "+slow c1"]
    assert all(was_before(f"slow {name}1", f"{name}2") for name in "abc")
    assert log[-2:] == ["+last", "-last"]


async def test_a_parallel_block_lifts_the_order_but_not_the_data() -> None:
    @workflow
    def flow(q: str) -> str:
        write("before")
        with parallel():
            slow = write("slow")
            write("quick")
            write(f"{slow}er")
        return write("after")

    await run(flow, "q")
    assert log[:4] == ["+before", "-before", "+slow", "+quick"]
    assert was_before("slow", "slower")
    assert log[-2:] == ["+after", "-after"]


async def test_a_model_call_waits_for_no_effect() -> None:
    started = asyncio.Event()

    async def waiting(x: str) -> str:
        await started.wait()
        return x

    wait = tool(waiting, effects="once", name="wait")

    def answer(request: Any) -> str:
        started.set()
        return "reply"

    @workflow
    def flow(q: str) -> str:
        done = wait("x")
        return f"{done} {llm(q)}"

    assert await run(flow, "q", replies=answer) == "x reply"


async def test_what_nobody_uses_happens_all_the_same() -> None:
    @workflow
    def flow(q: str) -> str:
        read("unused read")
        branch(q == "q", lambda: read("unused in a branch"), lambda: "no")
        return q

    await run(flow, "q")
    assert sorted(log) == ["+unused in a branch", "+unused read", "-unused in a branch", "-unused read"]


async def test_a_failed_write_keeps_those_behind_it_from_happening() -> None:
    @tool(effects="once")
    def refuse(x: str) -> str:
        raise ValueError(x)

    @workflow
    def flow(q: str) -> str:
        write("a")
        refuse(q)
        return write("b")

    with pytest.raises(RunError):
        await run(flow, "q")
    assert log == one_by_one("a")


async def test_a_resumed_run_goes_on_in_order() -> None:
    broken = [True]

    @tool(effects="idempotent")
    def shaky(x: str) -> str:
        if broken:
            raise OSError("down")
        return x

    @workflow
    def flow(q: str) -> str:
        write("a")
        loop(lambda s: (read("b"), shaky(s), write("c"))[2], q, max=2)
        return write("d")

    compiled, journal = compile_workflow(flow), MemoryJournal()
    async with Runner(journal=journal) as runtime:
        with pytest.raises(RunError, match="down"):
            await runtime.run(compiled, {"q": "q"}, run_id="r")
        assert log == one_by_one("a", "b")
        broken.clear()
        await runtime.resume(compiled, "r")
    assert log == one_by_one("a", "b", "c", "b", "c", "d")


async def test_a_read_is_repeated_like_an_idempotent_tool() -> None:
    failures = [OSError("down"), OSError("down")]

    @tool(effects="reads", retry=3)
    def shaky(x: str) -> str:
        if failures:
            raise failures.pop()
        return x

    @workflow
    def flow(q: str) -> str:
        return branch(q == "q", lambda: shaky.options(retry=3)(q), lambda: q, retry=2)

    assert await run(flow, "q") == "q"


async def test_what_a_read_saw_is_not_looked_at_again() -> None:
    seen = iter(["first", "second"])

    @tool(effects="reads")
    def observe() -> str:
        return next(seen)

    broken = [True]

    @tool(effects="idempotent")
    def shaky(x: str) -> str:
        if broken:
            raise OSError("down")
        return x

    @workflow
    def flow() -> str:
        return shaky(observe())

    compiled = compile_workflow(flow)
    async with Runner() as runtime:
        with pytest.raises(RunError, match="down"):
            await runtime.run(compiled, {}, run_id="r")
        broken.clear()
        assert (await runtime.resume(compiled, "r")).value == "first"


def test_fakes_of_tools_keep_the_order() -> None:
    with fake(tools=dict.fromkeys(("write", "put"), _noting), answers={"ask_1": "yes"}):
        assert straight("q") == "e"
    assert [each[1:] for each in log] == ["slow a", "slow b", "c", "c", "d", "d", "e"]


def _noting(x: str) -> str:
    log.append(f"+{x}")
    return x
