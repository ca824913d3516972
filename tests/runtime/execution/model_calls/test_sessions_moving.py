"""Conversations that go on at another engine: nothing is kept for them where they were."""

from __future__ import annotations

from typing import Any

from orchestrator import chat, loop, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.base import GenerateRequest
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.lifecycle import run_to_end
from orchestrator.runtime.human import Answers
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.program.specs import Generate
from orchestrator.runtime.services import Services
from tests.runtime.session_runs import Engine

CLUSTER = Cluster(
    engines=tuple(
        EngineSpec(name=name, kind="sim", model=name, options={"prefill_tokens_per_s": 1000.0})
        for name in ("small", "large")
    )
)


class TwoEngines:
    """Each is picked by its name; ``released`` says how many sessions the small one had let go at each call."""

    def __init__(self) -> None:
        self.released: list[int] = []
        self.by_name = {name: Engine(self._reply) for name in ("small", "large")}

    def _reply(self, request: GenerateRequest) -> str:
        self.released.append(len(self.by_name["small"].released))
        return f"about {request.messages[-1].content}"

    def pick(self, name: str | None, model: str) -> tuple[str, Engine]:
        return name or model, self.by_name[name or model]

    async def started(self, name: str) -> Engine:
        return self.by_name[name]

    def finish(self, program: str) -> None:
        """There is no admission."""


@tool(effects="idempotent", typical_s=2.0)
async def look_up(what: str) -> str:
    return what


@workflow
def escalate(question: str) -> str:
    draft = chat("You are brief. " * 50, model="small").say(question)
    return draft.chat.say(look_up(draft.reply), model="large").reply


@workflow
def escalate_in_a_loop(question: str) -> str:
    draft = chat(model="small").say(question)

    def again(state: tuple[Any, str]) -> tuple[Any, str]:
        turn = state[0].say(look_up(state[1]), model="large")
        return turn.chat, turn.reply

    return loop(again, (draft.chat, draft.reply), max=2)[1]


async def run(flow: Any) -> TwoEngines:
    engines = TwoEngines()
    services = Services(engines, Answers({}))  # type: ignore[arg-type]
    program = compile_workflow(flow, cluster=CLUSTER).program
    await run_to_end(Execution(program, services, MemoryJournal(), "run-1"), ("why?",))
    await services.background.close()
    return engines


def test_the_plan_keeps_nothing_and_pays_for_the_whole_prompt() -> None:
    plan = compile_workflow(escalate, cluster=CLUSTER).plan
    (pin,) = plan.pins
    assert (pin.op, pin.moves, pin.longest_s) == ("llm_1", True, 0.0)
    assert pin.because == "its next turn runs on another engine"
    second = plan.by_id["llm_2"]
    assert second.seconds.mid >= second.tokens_in.mid / 1000.0


def test_the_program_says_that_no_turn_follows_there() -> None:
    program = compile_workflow(escalate, cluster=CLUSTER).program
    first, second = (op.spec for op in program.body.ops() if isinstance(op.spec, Generate))
    assert (first.pause, first.turns_left) == (None, 0.0)
    assert second.turns_left == 0.0


async def test_the_engine_is_told_with_the_last_turn_there() -> None:
    engines = await run(escalate)
    (hint,) = engines.by_name["small"].hints
    assert hint.ends
    (other,) = (request.session for request in engines.by_name["large"].requests)
    (own,) = (request.session for request in engines.by_name["small"].requests)
    assert own != other


async def test_what_is_found_out_when_it_moves_is_released_then() -> None:
    (pin, _) = compile_workflow(escalate_in_a_loop, cluster=CLUSTER).plan.pins
    assert not pin.moves
    engines = await run(escalate_in_a_loop)
    (request,) = engines.by_name["small"].requests
    assert request.kv is not None and not request.kv.ends
    assert engines.by_name["small"].released == [request.session]
    assert engines.released[-1] == 1, "before the run has ended"
    assert len({request.session for request in engines.by_name["large"].requests}) == 1
