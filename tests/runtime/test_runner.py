"""The runtime: inputs, results, observers, resuming, closing."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator import llm, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.planner.token_price import TokenPrice
from orchestrator.runtime.engines.base import Sampling, Usage
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.engines.sim import SimEngine, SimOptions, tokenize
from orchestrator.runtime.execution.attempt import Attempt
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.model_calls.prefetching import Prefetches
from orchestrator.runtime.execution.model_calls.sessions import Sessions
from orchestrator.runtime.inputs import checked_inputs
from orchestrator.runtime.journal.events import RunDone, RunFailed, RunStarted, Token
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.program.builder import RegionBuilder
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import Generate, Policy, ToolCall
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.tools.caller import Caller


class Case(BaseModel):
    question: str


async def upper(text: str) -> str:
    return text.upper()


def program(fn: Any = upper) -> Program:
    """A model call, and a tool on its reply."""
    body = RegionBuilder("", [str])
    (reply,) = body.suspend("llm", Generate("default", None, sampling=Sampling(max_tokens=9)), body.args, types=[str])
    (out,) = body.suspend("upper", ToolCall(fn, "upper", "idempotent", True, "async"), [reply], types=[str])
    return Program("demo", "hash", ("text",), body.finish([out]), str, prices={"main": TokenPrice(0.5, 2.0, 0.5)})


async def test_a_result_says_what_was_used_where() -> None:
    async with Runner({"main": ScriptedEngine(["one two"])}) as runtime:
        result = await runtime.run_program(program(), ("a b c",))
    assert result.value == "ONE TWO"
    assert result.usage == Usage(3, 0, 2)
    assert result.cost_usd == 3 * 0.5 + 2 * 2.0
    assert result.simulated
    assert [(op.id, op.place, op.attempts, op.done) for op in result.ops] == [
        ("llm", "engine", 1, True),
        ("upper", "async", 1, True),
    ]
    assert len(repr(result)) < 300


async def test_what_a_run_held_is_free_when_it_ends() -> None:
    """Without waiting for the garbage collector, whose full collections grow with all that the process holds."""

    def held() -> list[object]:
        return [each for each in gc.get_objects() if type(each) in (Execution, Sessions, Prefetches)]

    gc.collect()
    of_other_tests = held()
    gc.disable()
    try:
        async with Runner({"main": ScriptedEngine(["one"])}) as runtime:
            await runtime.run_program(program(), ("a",))
        left = [each for each in held() if not any(each is other for other in of_other_tests)]
    finally:
        gc.enable()
    assert not left


async def test_engines_are_told_on_whose_behalf() -> None:
    engine = ScriptedEngine(["one", "two"])
    async with Runner({"main": engine}) as runtime:
        await runtime.run_program(program(), ("a",), tenant="acme")
        await runtime.run_program(program(), ("a",))
    assert [request.kv and request.kv.tenant for request in engine.requests] == ["acme", None]


async def test_failed_attempts_and_earlier_parts_of_a_run_are_paid_for() -> None:
    body = RegionBuilder("", [str])
    spec = Generate("default", None, returns=int, sampling=Sampling(max_tokens=9))
    policy = Policy(attempts=2, backoff_s=0.0)
    (reply, _) = body.suspend("llm", spec, body.args, types=[int, Any], policy=policy)
    (out,) = body.suspend("stop", ToolCall(stop_once(), "stop", "idempotent", True, "async"), [reply], types=[int])
    target = Program("demo", "hash", ("text",), body.finish([out]), int)
    engine = ScriptedEngine(["one two", "7"])
    async with Runner({"main": engine}) as runtime:
        with pytest.raises(RunError):
            await runtime.run_program(target, ("a",), run_id="r")
        result = await runtime.resume_program(target, "r")
    assert result.value == 7
    sent = sum(len(tokenize(turn.content)) for request in engine.requests for turn in request.messages)
    assert result.usage == Usage(sent, 0, 3)
    assert result.cost_usd is None


def stop_once() -> Any:
    failed = False

    async def stop(n: int) -> int:
        nonlocal failed
        if not failed:
            failed = True
            raise ConnectionError
        return n

    return stop


async def test_observers_see_events_and_tokens_and_end_with_the_runtime() -> None:
    feed = Subscription()
    async with Runner({"main": ScriptedEngine(["one two"])}, observers=[feed]) as runtime:
        await runtime.run_program(program(), ("x",))
    seen = [entry async for entry in feed]
    assert isinstance(seen[0], RunStarted)
    assert isinstance(seen[-1], RunDone)
    assert "".join(entry.text for entry in seen if isinstance(entry, Token)) == "one two"


async def test_a_failed_run_resumes_without_repeating_the_model_call() -> None:
    fail = True

    async def flaky(text: str) -> str:
        if fail:
            raise ConnectionError("down")
        return text

    engine = ScriptedEngine(["reply"])
    target, journal, feed = program(flaky), MemoryJournal(), Subscription()
    async with Runner({"main": engine}, journal=journal, observers=[feed]) as runtime:
        with pytest.raises(RunError):
            await runtime.run_program(target, ("x",), run_id="run-1")
        failed = feed.drain()[-1]
        assert isinstance(failed, RunFailed)
        assert failed.op == "upper"
        fail = False
        result = await runtime.resume_program(target, "run-1")
    assert result.value == "reply"
    assert len(engine.requests) == 1
    assert result.usage.output_tokens == 1


async def test_an_unknown_run_cannot_be_resumed() -> None:
    with pytest.raises(RunError) as raised:
        await Runner().resume_program(program(), "nobody")
    assert raised.value.code == "ORCH-R023"


async def test_an_interrupted_run_says_so_and_resumes() -> None:
    started = asyncio.Event()
    block = True

    async def waits(text: str) -> str:
        started.set()
        if block:
            await asyncio.Event().wait()
        return text

    async with Runner({"main": ScriptedEngine(["reply"])}) as runtime:
        target = program(waits)
        task = asyncio.create_task(runtime.run_program(target, ("x",), run_id="r"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ended = (await runtime.journal.load("r"))[-1]
        assert isinstance(ended, RunFailed)
        assert ended.code == "ORCH-R035"
        block = False
        assert (await runtime.resume_program(target, "r")).value == "reply"


async def test_concurrent_runs_share_one_engine_that_starts_once() -> None:
    starts = 0

    class Slow(ScriptedEngine):
        async def start(self) -> None:
            nonlocal starts
            starts += 1
            await asyncio.sleep(0)

    async with Runner({"main": Slow(lambda request: request.messages[-1].content)}) as runtime:
        target = program()
        results = await asyncio.gather(*(runtime.run_program(target, (f"q{n}",)) for n in range(20)))
    assert [result.value for result in results] == [f"Q{n}" for n in range(20)]
    assert starts == 1


def test_inputs_are_converted_and_all_problems_reported_together() -> None:
    params = {"case": Case, "n": int}
    assert checked_inputs(params, {"n": "3", "case": {"question": "q"}}) == (Case(question="q"), 3)
    with pytest.raises(RunError) as raised:
        checked_inputs(params, {"n": "x", "other": 1})
    assert len(raised.value.diagnostics) == 3
    assert {each.code for each in raised.value.diagnostics} == {"ORCH-R007"}


def test_running_needs_neither_ray_nor_a_serving_engine() -> None:
    code = (
        "import sys, orchestrator.runtime.runner, orchestrator.runtime.program.lowering;"
        "sys.exit(any(m in sys.modules for m in ('ray', 'torch', 'vllm', 'torch_mlir')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_runs_that_overlap_in_two_event_loops_are_refused_with_what_to_do() -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def wait(text: str) -> str:
        if not begun.is_set():
            begun.set()
            await over.wait()
        return text.upper()

    def elsewhere() -> str:
        return str(asyncio.run(runtime.run_program(program(wait), ("q",))).value)

    runtime = Runner({"main": ScriptedEngine(lambda _: "yes")})
    here = asyncio.create_task(runtime.run_program(program(wait), ("q",)))
    await begun.wait()
    with pytest.raises(RunError) as caught:
        await asyncio.to_thread(elsewhere)
    over.set()
    assert (await here).value == "YES"
    assert caught.value.code == "ORCH-R045"
    assert "run_coroutine_threadsafe" in (caught.value.diagnostics[0].fix or "")
    assert await asyncio.to_thread(elsewhere) == "YES"


@pytest.mark.parametrize("given", [[3, 4], (3, 4), {3: 0, 4: 0}, range(3, 5), map(int, "34")])
async def test_what_may_be_an_iterator_is_there_for_each_reader(given: object) -> None:
    @tool(effects="pure")
    def total(numbers: Iterable[int]) -> int:
        return sum(numbers)

    @tool(effects="pure")
    def largest(numbers: Iterable[int]) -> int:
        return max(numbers)

    @workflow
    def both(numbers: Iterable[int]) -> tuple[int, int]:
        return total(numbers), largest(numbers)

    assert await both.arun(numbers=given) == (7, 4)


def test_no_iterator_is_left_in_what_is_read() -> None:
    for tp in (Iterator[int], list[Iterable[int]], Iterable[int] | None, dict[str, Iterable[int]]):
        value: object = {"a": [1]} if str(tp).startswith("dict") else [[1]] if str(tp).startswith("list") else [1]
        assert checked_inputs({"x": tp}, {"x": value}) == (value,)
    with pytest.raises(RunError):
        checked_inputs({"x": Iterable[str]}, {"x": "text"})


def test_runs_on_one_loop_after_the_other_may_wait_for_the_simulator() -> None:
    @workflow
    def beside(a: str, b: str, c: str) -> list[str]:
        return [llm(a), llm(b), llm(c)]

    compiled = compile_workflow(beside)
    runtime = Runner({"default": SimEngine(options=SimOptions(max_running=2, decode_tokens_per_s=4_000))})
    for _ in range(2):
        inputs = {"a": "one " * 500, "b": "two " * 500, "c": "three " * 500}
        assert len(asyncio.run(runtime.run(compiled, inputs)).value) == 3
    asyncio.run(runtime.close())


async def test_what_an_engine_leaves_running_holds_no_run() -> None:
    class Busy(ScriptedEngine):
        async def start(self) -> None:
            self.context = copy_context()  # as a task has that it begins

    body = RegionBuilder("", [str])
    (text,) = body.suspend("upper", ToolCall(upper, "upper", "idempotent", True, "async"), body.args, types=[str])
    (reply,) = body.suspend("llm", Generate("default", None), [text], types=[str])
    target = Program("demo", "hash", ("text",), body.finish([reply]), str)
    engine = Busy(["one"])
    async with Runner({"main": engine}) as runtime:
        await runtime.run_program(target, ("a",))
    assert not [value for value in engine.context.values() if isinstance(value, (Caller, Attempt))]
