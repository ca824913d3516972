"""Conversations that several continue under different names: nothing ends what another one needs, and what nobody needs
any more ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator import branch, chat, loop, map_, race, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.program.specs import Generate
from tests.runtime.watching import CLUSTER, Watching, run, unhinted


@tool(effects="idempotent")
async def look_up(what: str) -> str:
    await asyncio.sleep(0.002)
    return what


@tool(effects="idempotent")
async def lose(what: str) -> str:
    await asyncio.sleep(60)
    return what


@tool(effects="pure")
def is_long(text: str) -> bool:
    return len(text) > 1000


@tool(effects="pure")
def is_short(text: str) -> bool:
    return len(text) < 1000


def watched(flow: Any) -> Watching:
    """The engine after a run of a workflow, whose result must be that without hints."""
    compiled = workflow(flow)
    value, engine = asyncio.run(run(compile_workflow(compiled, cluster=CLUSTER).program))
    plain, _ = asyncio.run(run(unhinted(compiled)))
    assert value == plain
    return engine


def first(talks: Any, q: str) -> Any:
    """One of two arms releases a conversation, at once."""
    return map_(lambda t: branch(is_long(q), then=lambda: t.say("more").reply, otherwise=lambda: "skip"), talks)


def second(talks: Any, q: str) -> Any:
    """Turns that come later."""
    return map_(lambda t: t.say(look_up(look_up(q))).reply, talks)


def conversations(q: str) -> Any:
    return map_(lambda t: chat("s").say(t).chat, [q, q + "!"])


def two_maps(q: str) -> str:
    talks = conversations(q)
    return f"{first(talks, q)} {second(talks, q)}"


def maps_of_turns(q: str) -> str:
    talks = conversations(q)
    ends = map_(lambda t: t.say("at once").reply, talks)
    return f"{ends} {second(talks, q)}"


def map_and_pick(q: str) -> str:
    talks = conversations(q)
    one = talks[0]
    return f"{second(talks, q)} {branch(is_long(q), then=lambda: one.say('more').reply, otherwise=lambda: 'skip')}"


def samples(q: str) -> str:
    _, talks = chat("s").say(q, samples=2)
    return f"{first(talks, q)} {second(talks, q)}"


def samples_taken_once(q: str) -> str:
    _, talks = chat("s").say(q, samples=2)

    def item(t: Any, text: Any) -> Any:
        return branch(is_long(text), then=lambda: t.say("more").reply, otherwise=lambda: t.say(look_up(text)).reply)

    return f"{map_(item, talks, [q, q + 'x'])}"


def agents(q: str) -> str:
    talks = map_(lambda t: loop(lambda u: u.say(t).chat, chat("s").say(t).chat, max=2), [q, q + "!"])
    return f"{first(talks, q)} {second(talks, q)}"


def loops_on_items(q: str) -> str:
    talks = conversations(q)
    ends = map_(lambda t: loop(lambda u: u.say("go on").chat, t, max=2).say("end").reply, talks)
    return f"{ends} {second(talks, q)}"


def loops_over_nothing(q: str) -> str:
    talks = conversations(q)
    ends = map_(lambda t: loop(lambda u: u.say("x").chat, t, max=2, until=lambda _: is_short(q)), talks)
    return f"{map_(lambda t: f'{t}', ends)} {second(talks, q)}"


def through_an_arm(q: str) -> str:
    def item(text: Any) -> Any:
        talk = chat("s").say(text).chat
        return branch(is_long(text), then=lambda: talk.say("more").chat, otherwise=lambda: talk)

    talks = map_(item, [q, q + "!"])
    ends = map_(lambda t: t.say("at once").reply, talks)
    return f"{ends} {second(talks, q)}"


def list_of_one(q: str) -> str:
    talk = chat("s").say(q).chat
    return f"{map_(lambda t, text: t.say(look_up(text)).reply, [talk] * 2, [q, q + '!'])}"


def list_picked(q: str) -> str:
    talk, other = chat("s").say(q).chat, chat("t").say(q).chat
    one = [talk, other][1]
    ended = one.say("at once").reply
    return f"{ended} {talk.say(look_up(look_up(q))).reply}"


def state_of_one(q: str) -> str:
    talk = chat("s").say(q).chat

    def step(state: Any) -> Any:
        left, right, text = state
        text, right = right.say(text)
        return left, right, text

    left, right, text = loop(step, (talk, talk, q), max=2)
    ended = right.say(text).reply
    return f"{ended} {left.say(look_up(ended)).reply}"


def one_arm_of_a_race(q: str) -> str:
    talk = chat("s").say(q).chat

    def forking() -> Any:
        now = talk.say("at once").reply
        return f"{now} {talk.say(look_up(look_up(now))).reply}"

    return race(forking, lambda: lose(q))


def a_judge(q: str) -> str:
    talk = chat("s").say(q).chat
    return (
        loop(lambda t: t.say("improve").chat, talk, max=4, until=lambda t: is_long(t.say("good?").reply))
        .say("done")
        .reply
    )


def a_judge_alone(q: str) -> str:
    reply, talk = chat("s").say(q)
    return loop(
        lambda state: (look_up(state[0]), state[1]),
        (reply, talk),
        max=3,
        until=lambda state: is_long(state[1].say(state[0]).reply),
    )[0]


FLOWS = [
    two_maps,
    maps_of_turns,
    map_and_pick,
    samples,
    samples_taken_once,
    agents,
    loops_on_items,
    loops_over_nothing,
    through_an_arm,
    list_of_one,
    list_picked,
    state_of_one,
    one_arm_of_a_race,
    a_judge,
    a_judge_alone,
]


@pytest.mark.parametrize("flow", FLOWS)
def test_nothing_is_over_that_another_one_needs(flow: Any) -> None:
    assert watched(flow).objections == []


def test_the_judge_of_a_loop_is_a_fork_and_its_body_goes_on() -> None:
    engine = watched(a_judge)
    talk = [request.session for request in engine.requests if "good?" not in request.messages[-1].content]
    judges = [request.session for request in engine.requests if "good?" in request.messages[-1].content]
    assert len(set(talk)) == 1
    assert len(set(judges)) == 4
    assert max(engine.open) <= 2


def notes(q: str) -> str:
    def step(t: Any) -> Any:
        note = t.say("risks?").reply
        return t.say(f"go on, mind {note}").chat

    return loop(step, chat("s").say(q).chat, max=10).say("end").reply


def notes_in_notes(q: str) -> str:
    def step(t: Any) -> Any:
        note = t.say("risks?").reply
        return t.say(f"go on, mind {note}").chat

    return loop(lambda t: loop(step, t, max=4), chat("s").say(q).chat, max=3).say("end").reply


def notes_on_a_branch(q: str) -> str:
    def step(t: Any) -> Any:
        reply, new = t.say("improve")
        t = branch(is_short(reply), then=lambda: new.say("once more").chat, otherwise=lambda: new)
        note = t.say("risks?").reply
        return t.say(f"go on, mind {note}").chat

    return loop(step, chat("s").say(q).chat, max=10).say("end").reply


@pytest.mark.parametrize("flow", [notes, notes_in_notes, notes_on_a_branch])
def test_a_loop_that_forks_what_it_carries_leaves_nothing_behind(flow: Any) -> None:
    engine = watched(flow)
    assert engine.objections == []
    assert max(engine.open) <= 3


def test_shared_lists_end_behind_their_last_fork() -> None:
    def flow(q: str) -> str:
        talks = conversations(q)
        ends = map_(lambda t: t.say("one").reply, talks)
        others = map_(lambda t: t.say(f"two {ends}").reply, talks)
        return chat("t").say(f"{others}").reply

    engine = watched(flow)
    assert engine.objections == []
    assert engine.open[-1] == 1


def test_items_of_a_list_that_are_each_used_once_are_no_forks() -> None:
    def flow(q: str) -> str:
        talks = conversations(q)
        left, right = talks[0], talks[1]
        return f"{left.say('left').reply} {right.say('right').reply}"

    program = compile_workflow(workflow(flow), cluster=CLUSTER).program
    turns = [op.spec for region in program.regions.values() for op in region.ops() if isinstance(op.spec, Generate)]
    assert not any(turn.is_fork or (turn.pause is not None and turn.pause.is_shared) for turn in turns)
