"""Workflows as users write them, traced and lowered, give what the same Python would give."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.dsl.declared.policy import Budget, Retry
from orchestrator.dsl.models.llm import ask, chat, llm
from orchestrator.dsl.regions.control import branch, loop, map_, race
from orchestrator.dsl.tool import tool
from orchestrator.dsl.workflow import Workflow, workflow
from orchestrator.errors import CompileError, RunError
from orchestrator.planner.graph import read
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.human import Answers
from orchestrator.runtime.program.lowering import lower
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import Generate, Limits, Policy, ToolCall
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.runner import Runner


class Point(BaseModel):
    x: int
    y: int


@tool(effects="pure", cheap=True)
def add(a: int, b: int) -> int:
    return a + b


@tool(effects="pure", cheap=True)
def make(x: int, y: int) -> Point:
    return Point(x=x, y=y)


@tool(effects="idempotent")
async def later(n: int) -> int:
    return n + 1


@tool(effects="idempotent", timeout=5, retry=Retry(attempts=2, backoff_s=0.0, on=[OSError]), budget=Budget(tokens=9))
def blocking(n: int) -> int:
    return n * 2


@tool(effects="pure", cheap=True)
def keyword(*, n: int) -> int:
    return n


@tool(effects="pure", kind="retrieve")
def search(query: str) -> list[str]:
    return [query, query]


def lowered(wf: Workflow[..., Any]) -> Program:
    traced = wf.trace()
    return lower(read(traced.module), traced.bindings, returns=traced.returns, program_hash="hash")


async def run(
    wf: Workflow[..., Any], *inputs: object, engine: ScriptedEngine | None = None, **answers: Any
) -> RunResult:
    async with Runner({"main": engine} if engine else {}, human=Answers(answers)) as runtime:
        return await runtime.run_program(lowered(wf), inputs)


async def test_expressions() -> None:
    @workflow
    def wf(n: int, words: list[str]) -> dict[str, int]:
        p = make(n, add(n, 1))
        flag = (p.x < p.y) & ~(p.x == 7)
        chosen = branch(flag, then=lambda: p.x * 2 + p.y, otherwise=lambda: p.y)
        length = add(b=1, a=chosen)
        return {"chosen": chosen, "length": length, "keyword": keyword(n=n)}

    assert (await run(wf, 3, ["a"])).value == {"chosen": 10, "length": 11, "keyword": 3}
    assert lowered(wf).body.segments[0].count > 8
    assert not list(lowered(wf).body.ops())


async def test_projections_of_each_item_and_by_key_and_position() -> None:
    @workflow
    def wf(points: list[Point], named: dict[str, int], pair: tuple[int, str]) -> str:
        return f"{points.x} {named['a']} {pair[1]} {points[0].y} {points[1:]}"  # type: ignore[attr-defined]

    points = [Point(x=1, y=2), Point(x=3, y=4)]
    result = await run(wf, points, {"a": 9}, (5, "five"))
    assert result.value == '[1,3] 9 five 2 [{"x":3,"y":4}]'


async def test_prompts_quote_nothing_and_keep_braces() -> None:
    @workflow
    def wf(text: str, n: int) -> str:
        return llm(f"{{}} 'it' \"is\" {text}\n{n}\\")

    engine = ScriptedEngine(["ok"])
    await run(wf, "{x}", 3, engine=engine)
    assert engine.requests[0].messages[-1].content == "{} 'it' \"is\" {x}\n3\\"


async def test_mutable_constants_are_fresh_in_every_use() -> None:
    @tool(effects="pure", cheap=True)
    def push(items: list[int], n: int) -> int:
        items.append(n)
        return len(items)

    @workflow
    def wf(ns: list[int]) -> list[int]:
        return map_(lambda n: push([], n), ns, limit=5)

    assert (await run(wf, [1, 2, 3])).value == [1, 1, 1]


async def test_loops_maps_and_races_that_wait() -> None:
    @workflow
    def wf(n: int) -> list[int]:
        total, turns = loop(
            lambda state: (later(state[0]), state[1] + 1), (n, 0), max=9, until=lambda state: state[0] >= 5
        )
        return [total, turns, *[race(lambda: later(total), lambda: later(total))]]

    assert (await run(wf, 2)).value == [5, 3, 6]


async def test_maps_over_several_lists_give_several_lists() -> None:
    @workflow
    def wf(a: list[int], b: list[int]) -> tuple[list[int], list[int]]:
        sums, products = map_(lambda x, y: (later(x), x * y), a, b, limit=4)
        return (sums, products)

    assert (await run(wf, [1, 2], [3, 4])).value == ([2, 3], [3, 8])


async def test_inline_control_flow_needs_no_ops() -> None:
    @workflow
    def wf(n: int, ns: list[int]) -> tuple[int, int, list[int]]:
        a, b = loop(lambda s: (add(s[0], n), s[1] + 1), (0, 0), max=4, until=lambda s: s[1] >= 3)
        return (a, b, map_(lambda x: branch(x > n, then=lambda: x, otherwise=lambda: add(x, a)), ns, limit=9))

    assert (await run(wf, 2, [1, 5])).value == (6, 3, [7, 5])
    assert not list(lowered(wf).body.ops())


async def test_conversations_fork_and_continue() -> None:
    @workflow
    def wf(topic: str) -> list[str]:
        talk = chat("be brief")
        first, talk = talk.say(f"About {topic}")
        left, _ = talk.say("left")
        rights, _ = talk.say("right", samples=2)
        return [first, left, *[rights[0], rights[1]]]

    engine = ScriptedEngine(lambda request: f"{len(request.messages)} {request.messages[-1].content}")
    result = await run(wf, "x", engine=engine)
    assert result.value == ["2 About x", "4 left", "4 right", "4 right"]
    assert [message.role for message in engine.requests[1].messages] == ["system", "user", "assistant", "user"]
    assert len({request.session for request in engine.requests}) == 2  # one goes on, the other forks
    assert result.simulated


async def test_structured_samples() -> None:
    @workflow
    def wf() -> list[int]:
        return llm("points", returns=Point, samples=2).x

    engine = ScriptedEngine([[{"x": 1, "y": 0}, {"x": 2, "y": 0}]])
    assert (await run(wf, engine=engine)).value == [1, 2]
    assert engine.requests[0].sampling.schema is not None


async def test_a_human_is_asked() -> None:
    @workflow
    def wf(n: int) -> int:
        return ask(f"How many more than {n}?", returns=int)

    assert (await run(wf, 3, ask_1=4)).value == 4
    with pytest.raises(RunError, match="ORCH-R030"):
        await run(wf, 3)


def test_policies_and_places_reach_the_program() -> None:
    @workflow(budget="$1")
    def wf(n: int) -> str:
        return llm(f"{blocking(n)} {search('x')}", max_tokens=5, temperature=0, stop="\n", retry=2)

    program = lowered(wf)
    ops = {op.id: op for op in program.body.ops()}
    assert program.budget == Limits(usd=1.0)
    on = ("builtins.OSError",)
    expected = Policy(2, 0.0, 30.0, True, on, timeout_s=5.0, budget=Limits(tokens=9))
    assert ops["blocking_1"].policy == expected
    spec = ops["blocking_1"].spec
    assert isinstance(spec, ToolCall)
    assert (spec.place, spec.effects) == ("thread", "idempotent")
    spec = ops["llm_1"].spec
    assert isinstance(spec, Generate)
    assert (spec.sampling.max_tokens, spec.sampling.temperature, spec.sampling.stop) == (5, 0.0, ("\n",))
    assert str(ops["blocking_1"].where).partition(":")[0].endswith("test_lowering.py")


def test_lowering_is_linear() -> None:
    """Ten times the ops give ten times the lines, each of the same length but for the digits."""

    def size(n: int) -> int:
        @workflow
        def wf(start: int) -> int:
            for _ in range(n):
                start = add(start, start)
            return start

        return len(lowered(wf).body.source.splitlines())

    assert size(1000) - size(100) == 900


def test_a_type_that_nothing_defines_is_refused() -> None:
    @workflow
    def wf(n: int) -> Point:
        return make(n, n)

    traced = wf.trace()
    del traced.bindings.types["Point"]
    with pytest.raises(CompileError, match="`Point`") as caught:
        lower(read(traced.module), traced.bindings, returns=traced.returns, program_hash="hash")
    assert caught.value.code == "ORCH-C091"
