"""Streams: what they consist of, how they end, and what becomes of a run that nobody reads any more."""

from __future__ import annotations

import asyncio
import gc
import threading
from itertools import pairwise
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator import Session, astream, llm, map_, stream, tool, workflow
from orchestrator.errors import RunError
from orchestrator.events import Done, Event, Failed, Partial, Progress, Started, Text
from orchestrator.runtime.engines.base import GenerateRequest
from orchestrator.runtime.engines.scripted import ScriptedEngine
from tests.running.answering import Counted, hanging


class Planet(BaseModel):
    name: str
    moons: list[str] = []


WORDS = " ".join(f"word{n}" for n in range(100))
MARS = Planet(name="Mars the red planet of the sun", moons=["Phobos", "Deimos", "and no other moon at all"])


@tool(effects="idempotent")
async def look_up(name: str) -> str:
    """Looks it up."""
    await asyncio.sleep(0)
    return name.upper()


@workflow
def describe(question: str) -> str:
    planet = llm(question, returns=Planet, name="find")
    found = map_(look_up, planet.moons, limit=9)
    return llm(f"{planet.name} {found}", name="write")


SCRIPT = {"find": MARS, "write": WORDS}


def check(events: list[Event]) -> None:
    texts = [each.delta for each in events if isinstance(each, Text)]
    assert "".join(texts) == WORDS
    assert {each.op for each in events if isinstance(each, Text)} == {"write"}
    partials = [each.value for each in events if isinstance(each, Partial)]
    assert partials[-1] == MARS.model_dump()
    for first, second in pairwise(partials):
        assert isinstance(first, dict) and isinstance(second, dict)
        assert list(second)[: len(first)] == list(first)
        assert second["name"].startswith(first["name"])
    done = {each.op: each for each in events if isinstance(each, Done)}
    assert done["find"].value == MARS
    assert done["write"].value == WORDS
    assert done["write"].usage is not None
    assert done["write"].usage.output_tokens > 0
    assert next(each.op for each in events if isinstance(each, Started)) == "find"
    progress = [each for each in events if isinstance(each, Progress)]
    assert (progress[-1].done, progress[-1].items) == (3, 3)


def test_a_stream_has_tokens_ops_and_partial_values() -> None:
    with stream(describe, "Which?", engine=ScriptedEngine(SCRIPT)) as events:
        check(list(events))
        assert events.result.value == WORDS
        assert list(events) == []


async def test_and_so_has_one_on_an_event_loop() -> None:
    async with astream(describe, "Which?", engine=ScriptedEngine(SCRIPT)) as events:
        check([each async for each in events])
        assert events.result.value == WORDS


async def test_in_a_running_event_loop_a_blocking_one_works_too() -> None:
    check(list(stream(describe, "Which?", engine=ScriptedEngine(SCRIPT))))


def test_one_stream_is_read_in_another_thread_than_it_was_made_in() -> None:
    with Session(engine=ScriptedEngine(SCRIPT)) as session:
        found: list[Event] = []
        events = session.stream(describe, "Which?")
        reader = threading.Thread(target=lambda: found.extend(events))
        reader.start()
        reader.join()
        check(found)


def test_what_the_run_raises_comes_at_the_end() -> None:
    @workflow
    def fails(question: str) -> str:
        return llm(llm(question, name="first"), name="second", retry=2)

    engine = ScriptedEngine({"first": "a", "second": RuntimeError("broken")})
    seen: list[Event] = []
    events = stream(fails, "x", engine=engine)
    with pytest.raises(RunError) as caught:
        seen.extend(events)
    assert caught.value.code == "ORCH-R001"
    assert "broken" in caught.value.message
    failed = [each for each in seen if isinstance(each, Failed)]
    assert [(each.op, each.attempt, each.retry_in_s is None) for each in failed] == [
        ("second", 1, False), ("second", 2, True),
    ]  # fmt: skip
    assert list(events) == []
    with pytest.raises(RunError, match="broken"):
        _ = events.result


async def test_what_cannot_be_traced_is_said_by_the_iteration() -> None:
    @workflow
    def wrong(question: str) -> str:
        return llm(question, nonsense=1)  # type: ignore[call-overload,no-any-return]

    events = astream(wrong, "x", engine="sim")
    with pytest.raises(Exception, match="ORCH-D"):
        async for _ in events:
            pass


def test_there_is_no_result_while_it_goes_on() -> None:
    with stream(describe, "x", engine=hanging()) as events:
        with pytest.raises(RunError) as caught:
            _ = events.result
        assert caught.value.code == "ORCH-R072"
    with pytest.raises(RunError) as caught:
        _ = events.result
    assert caught.value.code == "ORCH-R035"
    assert list(events) == []


@pytest.mark.parametrize("leave", ["with", "close", "forget"])
def test_leaving_early_cancels_the_run(leave: str) -> None:
    engine = hanging()
    events = stream(describe, "x", engine=engine)
    assert isinstance(next(events), Started)
    assert engine.began.wait(30)
    if leave == "with":
        with events:
            pass
    elif leave == "close":
        events.close()
    del events
    gc.collect()
    assert engine.ended.wait(30)


@pytest.mark.parametrize("leave", ["with", "break", "cancel"])
async def test_leaving_early_on_an_event_loop_cancels_the_run(leave: str) -> None:
    engine = hanging()

    async def read() -> None:
        if leave == "with":
            async with astream(describe, "x", engine=engine) as events:
                await anext(events)
                await asyncio.to_thread(engine.began.wait, 30)
                return
        async for _ in astream(describe, "x", engine=engine):
            await asyncio.to_thread(engine.began.wait, 30)
            if leave == "break":
                break

    task = asyncio.create_task(read())
    if leave == "cancel":
        await asyncio.to_thread(engine.began.wait, 30)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        await task
    del task
    gc.collect()
    assert await asyncio.to_thread(engine.ended.wait, 30)


async def test_two_streams_of_one_session_go_on_side_by_side() -> None:
    both = threading.Barrier(2)

    async def reply(request: GenerateRequest) -> str:
        await asyncio.to_thread(both.wait, 30)
        return "hello there"

    @workflow
    def one(question: str) -> str:
        return llm(question)

    async def text(session: Session) -> str:
        events = session.astream(one, "x")
        return "".join([each.delta async for each in events if isinstance(each, Text)])

    async with Session(engine=Counted(reply)) as session:
        assert await asyncio.gather(text(session), text(session)) == ["hello there"] * 2


def test_the_reader_may_be_slow() -> None:
    """It gets larger pieces, and all of them."""
    over = threading.Event()

    def reply(request: GenerateRequest) -> Any:
        return MARS if request.sampling.schema is not None else WORDS

    @workflow
    def flow(question: str) -> str:
        return tell(llm(question, name="write"))

    @tool(effects="idempotent")
    def tell(text: str) -> str:
        over.set()
        return text

    with stream(flow, "x", engine=ScriptedEngine(reply)) as events:
        over.wait(30)
        seen = list(events)
    assert [each.delta for each in seen if isinstance(each, Text)] == [WORDS]
    assert events.dropped == 0
