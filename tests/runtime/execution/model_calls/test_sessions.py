"""What engines and the duration model are told about sessions while a run goes on; and that it changes no result."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from orchestrator import ask, branch, chat, llm, loop, map_, race, tool
from orchestrator.agents.react import react
from orchestrator.runtime.engines.base import KvControl
from orchestrator.runtime.kv.durations import DurationModel
from orchestrator.runtime.kv.forecast import Forecast
from orchestrator.runtime.kv.hints import KvHint, PauseKey
from orchestrator.runtime.program.specs import Generate, Pause
from orchestrator.runtime.values.at_run_time import Conversation
from tests.awaiting import until
from tests.runtime.session_runs import (
    PREFIX,
    Controlled,
    Engine,
    Run,
    linger,
    look_up,
    prefetching,
    text,
)


@tool(effects="idempotent", pause_features=("suite",), typical_s=0.5)
async def run_tests(suite: str, code: str) -> str:
    return f"{suite} {code}"


async def test_a_turn_says_which_tool_it_waits_for_and_the_model_learns_how_long() -> None:
    def flow(suite: str) -> str:
        reply, talk = chat("s").say("fix it")
        return talk.say(run_tests(suite, reply)).reply

    durations = DurationModel()
    engine = Engine(lambda request: text(request).upper())
    run = Run(flow, engine, durations)
    assert await run.result("unit") == "UNIT FIX IT"
    first, last = engine.hints
    assert (first.program, first.workflow, first.tool) == ("run-1", "flow", "run_tests")
    assert first.program_arrival_s == run.execution.arrival_s
    assert first.features == ("suite=unit",)  # a parameter of the workflow: known before the turn
    assert (first.turns_left, first.release, first.pin_ttl_s) == (1.0, False, 300.0)
    assert first.critical_path_s is not None
    assert last.critical_path_s is not None
    assert first.critical_path_s > last.critical_path_s
    assert Forecast.decoded(first.pause_s).quantile(0.5) == pytest.approx(0.5, rel=0.1)  # declared
    assert (last.turns_left, last.release, last.ends, last.tool, last.pause_s) == (0.0, True, True, None, ())
    assert engine.requests[0].session == engine.requests[1].session
    assert engine.released == [engine.requests[0].session]
    learned = durations.forecast(PauseKey("flow", "run_tests", ("suite=unit",)))
    assert (learned.source, learned.count) == ("features", 1)
    assert learned.quantile(0.5) < 0.3


async def test_an_agents_loop_says_which_tool_it_chose() -> None:
    replies = [
        {"thought": "", "action": {"tool": "run_tests", "args": {"suite": "slow", "code": "x" * 100}}},
        {"thought": "", "action": {"tool": "look_up", "args": {"what": "that"}}},
        {"thought": "", "action": {"tool": "finish", "answer": "done"}},
    ]

    def flow(question: str) -> str:
        return react(question, [run_tests, look_up], max_steps=6)

    durations = DurationModel()
    engine = Controlled(lambda _: replies[len(engine.requests) - 1])
    assert await Run(flow, engine, durations).result("q") == "done"
    assert [hint.tool for hint in engine.hints] == ["run_tests|look_up"] * 3
    assert {hint.turns_left for hint in engine.hints} == {1.75}
    assert len({request.session for request in engine.requests}) == 1
    (session, tests), (_, other) = engine.extended
    assert session == engine.requests[0].session
    assert (tests.tool, tests.features) == ("run_tests", ("suite=slow",))
    assert (other.tool, other.features) == ("look_up", ())
    assert durations.forecast(PauseKey("flow", "run_tests", ("suite=slow",))).source == "features"
    assert durations.forecast(PauseKey("flow", "look_up")).count == 1
    assert durations.forecast(PauseKey("flow", "run_tests|look_up")).source == "workflow"  # never learned as such
    assert engine.released == [session]


async def test_nothing_is_kept_for_a_human_and_nothing_learned_from_one() -> None:
    def flow(question: str) -> str:
        reply, talk = chat("s").say(question)
        answer = ask(reply, name="asked")
        reply, talk = talk.say(answer)
        more = branch(look_up(reply) == "x", then=lambda: look_up(reply), otherwise=lambda: ask("more?", name="more"))
        return talk.say(more).reply

    durations = DurationModel()
    engine = Controlled(text)
    assert await Run(flow, engine, durations, answers={"asked": "yes", "more": "no"}).result("q") == "no"
    first, second, _ = engine.hints
    assert (first.tool, first.pin_ttl_s, first.pause_s) == ("ask", 0.0, ())
    assert (second.tool, second.pin_ttl_s) == ("look_up+(look_up|ask)", 300.0)
    assert [(hint.tool, hint.pin_ttl_s, hint.pause_s) for _, hint in engine.extended][-1] == ("look_up+ask", 0.0, ())
    assert durations.forecast(PauseKey("flow", "ask")).source != "tool"


async def test_forks_are_sessions_and_their_prefix_is_superseded_behind_the_last() -> None:
    def flow(question: str) -> str:
        reply, talk = chat("s").say(question)
        left, right = talk.say(look_up(f"{reply} left")).reply, talk.say(look_up(f"{reply} right")).reply
        return llm(f"{left} {right}")

    engine = Engine(text)
    assert await Run(flow, engine).result("q") == "about q left about q right"
    trunk, *forks, last = engine.requests
    assert len({request.session for request in engine.requests}) == 4
    assert set(engine.released) == {trunk.session, forks[0].session, forks[1].session}
    assert last.kv is not None
    assert last.kv.supersedes == (trunk.session,)


async def test_of_a_list_of_conversations_the_ones_not_picked_are_over() -> None:
    def flow(question: str) -> str:
        drafts, talks = chat("s").say(question, samples=3)
        rows, talks = map_(lambda draft, talk: talk.say(look_up(draft)), drafts, talks)
        return talks[1].say(rows[1]).reply

    engine = Engine(text)
    assert await Run(flow, engine).result("q") == "about q"
    samples, *repairs, last = engine.requests
    sessions = {request.session for request in repairs}
    assert len(sessions) == 3
    assert last.session in sessions
    assert last.kv is not None
    assert set(last.kv.supersedes) == sessions - {last.session}
    assert sessions - {last.session} < set(engine.released)
    assert samples.session not in sessions


async def test_what_the_losers_of_a_race_leave_behind_is_superseded() -> None:
    def flow(question: str) -> str:
        def slow() -> str:
            reply, talk = chat("slow").say(question)
            return talk.say(linger(linger(reply))).reply

        won = race(slow, lambda: chat("fast").say(look_up(question)).reply, name="both")
        return llm(won)

    engine = Engine(text)
    assert await Run(flow, engine).result("q") == "about q"
    slow = next(request.session for request in engine.requests if request.messages[0].content == "slow")
    assert slow in engine.released
    assert engine.hints[-1].supersedes == (slow,)


async def test_a_compacted_conversation_is_superseded_by_the_new_one() -> None:
    def flow(question: str) -> str:
        reply, talk = chat("s").say(question)
        summary = talk.say(look_up(reply)).reply
        return chat(f"So far: {summary}").say("go on").reply

    engine = Engine(text)
    await Run(flow, engine).result("q")
    assert engine.requests[2].session != engine.requests[0].session
    assert engine.hints[2].supersedes == (engine.requests[0].session,)


_told: list[asyncio.Event] = []


@tool(effects="idempotent")
async def outlast(what: str) -> str:
    """Lasts until the engine is told that it does."""
    await _told[-1].wait()
    return what


async def test_a_pause_that_outlasts_its_forecast_is_forecast_again() -> None:
    def flow(question: str) -> str:
        reply, talk = chat("s").say(question)
        return talk.say(outlast(reply)).reply

    durations = DurationModel()
    for turn, seconds in enumerate([0.06] * 80 + [1000.0] * 6 + [0.06] * 20):
        durations.began(f"s{turn}", PauseKey("flow", "outlast"), 1e4 * turn)
        durations.ended(f"s{turn}", 1e4 * turn + seconds)
    engine = Controlled(text)
    _told.append(engine.told)
    async with asyncio.timeout(20):
        assert await Run(flow, engine, durations).result("q") == "q"
    session, hint = engine.extended[0]
    assert session == engine.requests[0].session
    first, rest = Forecast.decoded(engine.hints[0].pause_s), Forecast.decoded(hint.pause_s)
    assert first.quantile(0.5) == pytest.approx(0.06)
    assert 100.0 < rest.quantile(0.5) < 999.99  # what is left, not the whole pause


async def test_sessions_end_with_the_run_however_it_ends() -> None:
    pausing = asyncio.Event()

    @tool(effects="idempotent")
    async def pause(what: str) -> str:
        pausing.set()
        await asyncio.sleep(3600)
        return what

    def flow(question: str) -> str:
        reply, talk = chat("s").say(question)
        return talk.say(pause(reply)).reply

    class Store:
        kept: ClassVar[list[tuple[float, bool]]] = []

        def recent(self, namespace: str, most_per_key: int) -> list[tuple[str, float, bool]]:
            return []

        def append(self, namespace: str, key: str, value: float, *, censored: bool) -> None:
            self.kept.append((value, censored))

    durations = DurationModel(Store())
    engine = Controlled(text)
    task = asyncio.create_task(Run(flow, engine, durations).result("q"))
    await pausing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: bool(engine.released))
    assert engine.released == [engine.requests[0].session]
    assert [censored for _, censored in Store.kept] == [True]


async def test_a_failed_turn_is_tried_again_in_its_session() -> None:
    def flow(question: str) -> str:
        reply, talk = chat("s").say(question)
        return talk.say(look_up(reply), retry=2).reply

    tries = iter([None, TimeoutError("flaky"), None])
    engine = Engine(lambda request: next(tries) or text(request))
    await Run(flow, engine).result("q")
    assert len(engine.requests) == 3
    assert len({request.session for request in engine.requests}) == 1


async def test_an_engine_that_fails_to_take_a_hint_is_a_warning() -> None:
    class Refusing(Controlled):
        async def extend(self, session: str, hint: KvHint) -> None:
            raise ConnectionError("gone")

    def flow(question: str) -> str:
        reply, talk = chat("s").say(question)
        seen = branch(look_up(reply) == "", then=lambda: "", otherwise=lambda: run_tests("a", reply))
        return talk.say(seen).reply

    engine = Refusing(text)
    run = Run(flow, engine)
    assert await run.result("q") == "a q"
    assert "could not take a hint: gone" in next(iter(run.execution.warnings))


async def test_hints_say_on_whose_behalf() -> None:
    def flow(question: str) -> str:
        rows = linger(question)
        reply, talk = chat(PREFIX).say(rows)
        return talk.say(linger(reply)).reply

    engine = Controlled(text)
    await Run(flow, engine, tenant="acme").result("q")
    (prefetch,) = engine.prefetched
    assert prefetch.kv is not None
    told = [prefetch.kv, *engine.hints, *(hint for _, hint in engine.extended)]
    assert len(told) >= 3
    assert {hint.tenant for hint in told} == {"acme"}
    nobodys = Controlled(text)
    await Run(flow, nobodys).result("q")
    assert {hint.tenant for hint in nobodys.hints} == {None}


async def test_engines_without_control_are_asked_for_nothing_else() -> None:
    engine = Engine(text)
    assert not isinstance(engine, KvControl)
    assert isinstance(Controlled(text), KvControl)
    assert await Run(prefetching, engine).result("q") == "q"
    assert len(engine.requests) == 1


async def test_a_loop_that_compacts_ends_the_old_session() -> None:
    def flow(question: str) -> str:
        def step(state: tuple[Any, str, int]) -> tuple[Any, str, int]:
            talk, said, turn = state
            reply, talk = talk.say(look_up(said))

            def compacted() -> Any:
                return chat(f"Summary: {talk.say('summarise').reply}")

            return branch(said == "about about q", then=compacted, otherwise=lambda: talk), reply, turn + 1

        talk, said, _ = loop(step, (chat("s"), question, 0), max=4)
        return talk.say(said).reply

    engine = Engine(text)
    await Run(flow, engine).result("q")
    sessions = [request.session for request in engine.requests]
    summary = next(i for i, request in enumerate(engine.requests) if text(request) == "summarise")
    assert len(set(sessions[: summary + 1])) == 1
    assert sessions[summary] not in sessions[summary + 1 :]
    assert sessions[summary] in engine.released
    assert engine.hints[summary].ends
    assert engine.hints[summary + 1].supersedes == (sessions[summary],)


async def test_a_late_fork_does_not_end_the_pause_of_what_has_gone_on() -> None:
    durations, engine = DurationModel(), Engine(text)
    sessions = Run(prefetching, engine, durations).execution.sessions
    spec, key = Generate("default", None, pause=Pause("look_up")), PauseKey("prefetching", "look_up")

    def turn(before: Conversation, own: str) -> Conversation:
        session = sessions.enter(before, spec, "main", engine, own)
        after = before.then("question", "answer", session, "main")
        sessions.leave(session, spec, sessions.hint(spec, "main", ()), len(after.messages), 10)
        return after

    first = turn(Conversation(), "run-1/one")
    second = turn(first, "run-1/two")
    assert durations.forecast(key).count == 1
    fork = turn(first, "run-1/fork")
    assert (second.session, fork.session) == ("run-1/one", "run-1/fork")
    assert durations.forecast(key).count == 1
    turn(second, "run-1/three")
    assert durations.forecast(key).count == 2
