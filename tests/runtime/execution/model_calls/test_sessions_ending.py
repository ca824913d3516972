"""Which sessions are said to be over, and when; whatever the hints say, the run goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator import Retry, branch, chat, llm, map_, race, tool
from orchestrator.errors import RunError
from orchestrator.runtime import background
from orchestrator.runtime.engines.base import GenerateRequest
from orchestrator.runtime.engines.scripted import Reply
from orchestrator.runtime.execution.calls import conversations_in
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.lifecycle import run_to_end
from orchestrator.runtime.execution.model_calls.sessions import MOST_AT_ONCE
from orchestrator.runtime.journal.events import OpDone
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.journal.replay import replay
from orchestrator.runtime.program.builder import RegionBuilder
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import Generate, Limits, Pause, Prefetch
from orchestrator.runtime.services import Services
from orchestrator.runtime.values.at_run_time import Conversation
from tests.runtime.session_runs import Engine, OneEngine, Run, linger, look_up, text


@tool(effects="idempotent")
async def wait_a_little(what: str) -> str:
    await asyncio.sleep(0.05)
    return what


def two_turns(question: str) -> str:
    reply, talk = chat("s").say(question)
    return talk.say(look_up(reply)).reply


def ending_in_flight(second: Callable[[GenerateRequest], Reply], **given: Any) -> tuple[Run, Engine]:
    """A run of two turns; a hint says that their session is over while the second one is under way."""

    def reply(request: GenerateRequest) -> Reply:
        if len(engine.requests) == 1:
            return text(request)
        assert request.session is not None
        run.execution.sessions.supersede([request.session])
        return second(request)

    engine = Engine(reply)
    run = Run(two_turns, engine, **given)
    return run, engine


async def test_a_session_with_a_turn_under_way_is_not_over() -> None:
    run, engine = ending_in_flight(text)
    assert await run.result("q") == "about q"
    assert len({request.session for request in engine.requests}) == 1


async def test_a_turn_that_fails_says_why_and_settles_its_budget_whatever_is_over() -> None:
    run, _ = ending_in_flight(lambda _: ConnectionError("lost"), budget=Limits(tokens=10_000))
    with pytest.raises(RunError, match="lost"):
        await run.result("q")
    used = [each.usage for each in run.execution.events if isinstance(each, OpDone) and each.usage is not None]
    assert run.execution.ledger.tokens == sum(each.input_tokens + each.output_tokens for each in used)


async def test_of_lists_of_conversations_that_win_a_race_all_go_on() -> None:
    def flow(question: str) -> str:
        def fast() -> Any:
            return map_(lambda each: chat("fast").say(each, samples=2).chats, [question, f"{question}!"])

        def slow() -> Any:
            return map_(lambda each: chat("slow").say(linger(each), samples=2).chats, [question])

        talks = race(fast, slow, name="both")
        return talks[1][0].say("go on").reply

    engine = Engine(text)
    assert await Run(flow, engine).result("q") == "go on"
    goes_on = next(request.session for request in engine.requests if text(request) == "q!")
    assert goes_on not in engine.hints[-1].supersedes


def test_conversations_are_found_wherever_they_are() -> None:
    class Talks(BaseModel, arbitrary_types_allowed=True):
        best: Conversation
        others: dict[str, list[Conversation]]

    a, b, c = (Conversation(session=name) for name in "abc")
    assert conversations_in([[a], {"x": (b,)}, "text", 3]) == [a, b]
    assert conversations_in(Talks(best=a, others={"x": [b, c]})) == [a, b, c]
    endless: list[Any] = [a]
    endless.append(endless)
    assert conversations_in(endless) == [a]


async def test_a_hint_that_cannot_be_given_is_a_warning() -> None:
    class Choosy(OneEngine):
        def pick(self, name: str | None, model: str) -> tuple[str, Engine]:
            if name == "nowhere":
                raise RunError("ORCH-R008", "no engine serves `nowhere`")
            return super().pick(name, model)

    body = RegionBuilder("", 1)
    prefetch = Prefetch("llm_1", "default", "nowhere", Pause())
    body.suspend("llm_1.prefetch", prefetch, body.args, types=[])
    (reply,) = body.suspend("llm_1", Generate("default", None), body.args, types=[str])
    program = Program("flow", "hash", ("question",), body.finish([reply]), str)
    execution = Execution(program, Services(Choosy(Engine(text))), MemoryJournal(), "run-1")  # type: ignore[arg-type]
    assert await run_to_end(execution, ("q",)) == "q"
    (warning,) = execution.warnings
    assert "the hint `llm_1.prefetch` could not be given" in warning


def one_of_many(count: int) -> Callable[[str], Any]:
    """Opens many conversations and goes on with one of them."""

    def flow(question: str) -> str:
        def opened(what: str) -> Any:
            reply, talk = chat("s").say(what)
            return talk.say(look_up(reply)).chat

        talks = map_(opened, [f"{question} {n}" for n in range(count)])
        return talks[0].say("go on").reply

    return flow


class Slow(Engine):
    """Lets go of nothing before it may."""

    def __init__(self, script: Callable[[GenerateRequest], Reply | Awaitable[Reply]]) -> None:
        super().__init__(script)
        self.may = asyncio.Event()
        self.at_once = self.most_at_once = 0

    async def release(self, session: str) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.may.wait()
        self.at_once -= 1
        self.released.append(session)


async def test_no_turn_waits_until_the_engine_has_let_go_of_others_and_none_is_lost() -> None:
    async def reply(request: GenerateRequest) -> str:
        if text(request) == "go on":
            await asyncio.sleep(0.01)
            engine.may.set()
        return text(request)

    engine = Slow(reply)
    run = Run(one_of_many(100), engine)
    async with asyncio.timeout(20):
        assert await run.result("q") == "go on"
    assert set(engine.released) >= {request.session for request in engine.requests} - {engine.requests[-1].session}
    assert 8 <= engine.most_at_once <= MOST_AT_ONCE < 99


async def test_a_cancelled_run_still_tells_the_engine() -> None:
    async def reply(request: GenerateRequest) -> str:
        if text(request) == "go on":
            await asyncio.Event().wait()
        return text(request)

    engine = Slow(reply)
    run = Run(one_of_many(100), engine)
    task = asyncio.create_task(run_to_end(run.execution, ("q",)))
    async with asyncio.timeout(20):
        while not engine.at_once:
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    engine.may.set()
    await run.execution.services.background.close()
    assert set(engine.released) >= {request.session for request in engine.requests[:99]}


async def test_an_engine_that_takes_no_hint_any_more_keeps_no_result_and_no_runtime(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "CLOSE_S", 0.05)
    engine = Slow(text)
    run = Run(two_turns, engine)
    async with asyncio.timeout(20):
        assert await run_to_end(run.execution, ("q",)) == "about q"
        assert len(asyncio.all_tasks()) == 2
        await run.execution.services.background.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not engine.released


async def test_a_resumed_run_says_nothing_of_sessions_that_it_has_not_used() -> None:
    class Unneeded(OneEngine):
        async def started(self, name: str) -> Engine:
            raise AssertionError("nothing is to be computed")

    engine = Engine(text)
    first = Run(two_turns, engine)
    await first.result("q")
    assert engine.released
    program, events = first.execution.program, first.execution.events
    again = Engine(text)
    services = Services(Unneeded(again))  # type: ignore[arg-type]
    state = replay(program, events[:-1])
    execution = Execution(program, services, MemoryJournal(), "run-1", state=state)
    assert await run_to_end(execution, ()) == "about q"
    assert not again.released
    assert not execution.warnings


def failing_at(turn: int) -> Callable[[GenerateRequest], Reply]:
    """Replies to all turns but that one."""
    turns = iter([None] * turn + [ConnectionError("lost")])
    return lambda request: next(turns, None) or text(request)


async def test_what_a_failed_attempt_began_is_over() -> None:
    def flow(question: str) -> str:
        def opened(what: str) -> str:
            reply, talk = chat("s").say(what)
            return talk.say(look_up(reply)).reply

        return map_(opened, [question], retry=Retry(2, backoff_s=0.01))[0]

    engine = Engine(failing_at(1))
    assert await Run(flow, engine).result("q") == "about q"
    failed, _, again, _ = (request.session for request in engine.requests)
    assert failed != again
    assert engine.released[0] == failed


async def test_a_turn_whose_reply_is_of_no_use_has_a_session_that_ends() -> None:
    def flow(question: str) -> str:
        number, talk = chat("s").say(question, returns=int)
        return talk.say(look_up(f"{number}")).reply

    engine = Engine(lambda _: "not a number")
    with pytest.raises(RunError):
        await Run(flow, engine).result("q")
    assert engine.released == [engine.requests[0].session]


async def test_a_losers_turn_on_a_conversation_from_outside_is_its_last() -> None:
    def flow(question: str) -> str:
        reply, talk = chat("s").say(question)

        def slow() -> str:
            more, longer = talk.say(reply)
            return longer.say(linger(more)).reply

        return llm(race(slow, lambda: wait_a_little(reply), name="both"))

    engine = Engine(text)
    assert await Run(flow, engine).result("q") == "q"
    opened, second, last = engine.requests
    assert second.session == opened.session
    assert engine.hints[-1].supersedes == (opened.session,)
    assert last.session != opened.session


async def test_what_goes_on_behind_a_race_is_not_over_with_it() -> None:
    def flow(question: str) -> str:
        reply, talk = chat("s").say(question)

        def slow() -> str:
            more, longer = talk.say(reply)
            return longer.say(linger(more)).reply

        won = race(slow, lambda: wait_a_little(reply), name="both")
        return talk.say(won).reply

    engine = Engine(text)
    assert await Run(flow, engine).result("q") == "q"
    opened, second, _ = engine.requests
    assert second.session != opened.session
    assert opened.session not in engine.hints[-1].supersedes


class SeenPath(str):
    """A path that counts how often any is looked at."""

    looks = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        SeenPath.looks += 1
        return str.__eq__(self, other)

    def __lt__(self, other: str) -> bool:
        SeenPath.looks += 1
        return str.__lt__(self, other)

    def startswith(self, *prefix: Any) -> bool:
        SeenPath.looks += 1
        return str.startswith(self, *prefix)


def test_the_sessions_of_one_op_are_found_among_many() -> None:
    """Looking at each of them would be looking 4 million times at one."""
    engine = Engine(text)
    sessions = Run(two_turns, engine).execution.sessions
    spec = Generate("default", None)
    for item in range(20_000):
        sessions.enter(Conversation(), spec, "main", engine, SeenPath(f"run-1/each[{item}]/race_1.slow/llm_1"))
    SeenPath.looks = 0
    found = [sessions.within(f"run-1/each[{item}]/race_1") for item in range(200)]
    assert 200 <= SeenPath.looks < 200 * 200
    assert found == [[f"run-1/each[{item}]/race_1.slow/llm_1"] for item in range(200)]
    assert sessions.within("run-1/each[1") == []
    again = sessions.enter(Conversation(), spec, "main", engine, "run-1/each[7]/race_1#2.slow/llm_1")
    assert sessions.within("run-1/each[7]/race_1") == ["run-1/each[7]/race_1.slow/llm_1", again]


async def test_a_second_attempt_goes_on_in_the_session_that_the_first_one_went_on_in() -> None:
    def flow(question: str) -> str:
        reply, talk = chat("s").say(question)

        def more() -> str:
            again, longer = talk.say(look_up(reply))
            return longer.say(look_up(again)).reply

        return branch(reply == "", then=lambda: "", otherwise=more, retry=Retry(2, backoff_s=0.01))

    engine = Engine(failing_at(2))
    run = Run(flow, engine)
    assert await run.result("q") == "about about q"
    assert len(engine.requests) == 5
    assert {request.session for request in engine.requests} == {engine.requests[0].session}
    assert engine.released == [engine.requests[0].session]
