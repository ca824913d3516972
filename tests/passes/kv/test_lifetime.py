"""Hints of workflows as users write them: what a pin knows, and which values it may use."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import branch, chat, loop, map_, race, tool, workflow
from orchestrator.ir.walk import bodies, op_id, opts, tree
from orchestrator.passes.pipeline import run_pipeline


@tool(effects="idempotent", pause_features=("query",))
async def run_sql(query: str) -> str:
    return query


@tool(effects="idempotent")
async def look_up(what: str) -> str:
    return what


@tool(effects="pure")
def is_bad(text: str) -> bool:
    return bool(text)


def hints(flow: Any) -> dict[str, Any]:
    """The KV hints that a workflow gets, by their ids; compiling must leave a valid module behind."""
    module, _ = run_pipeline(workflow(flow).trace().module)
    found = [node.op for body in bodies(tree(module)) for node in body.nodes if node.name.startswith("op.kv_")]
    return {op_id(op): op for op in found}


def _features(hint: Any) -> list[str]:
    return list(opts(hint).get("features", ()))


def turn(talk: Any, text: Any) -> tuple[Any, Any]:
    """A reply and the conversation after it, as a plain tuple."""
    reply, talk = talk.say(text)
    return reply, talk


def in_an_arm(q: str) -> str:
    sql, talk = chat("s").say(q)
    sql, talk = branch(is_bad(sql), then=lambda: turn(talk, "repair"), otherwise=lambda: (sql, talk))
    return talk.say(run_sql(sql)).reply


def in_a_map(q: str) -> str:
    replies, talks = map_(lambda each: chat("s").say(each), [q, q])
    return talks[0].say(run_sql(replies[1])).reply


def in_a_race(q: str) -> str:
    sql, talk = race(lambda: chat("s").say(q), lambda: chat("t").say(look_up(q)))
    return talk.say(run_sql(sql)).reply


def in_a_loop(q: str) -> str:
    sql, talk = loop(lambda state: turn(chat("s"), state[0]), (q, chat("none")), max=3)
    return talk.say(run_sql(sql)).reply


@pytest.mark.parametrize("flow", [in_an_arm, in_a_map, in_a_race, in_a_loop])
def test_a_pin_uses_nothing_that_comes_behind_the_region_it_is_in(flow: Any) -> None:
    for name, hint in hints(flow).items():
        assert not name.endswith(".pin") or not _features(hint)


def test_a_pin_in_a_region_does_not_make_it_wait_for_a_tool_beside_it() -> None:
    def flow(q: str) -> str:
        query = look_up(q)
        first, talk = chat("s").say(q)
        _, talk = branch(is_bad(first), then=lambda: turn(talk, "repair"), otherwise=lambda: (first, talk))
        return talk.say(run_sql(query)).reply

    for name, hint in hints(flow).items():
        assert not name.endswith(".pin") or not _features(hint)


def test_a_pin_in_a_region_knows_what_the_region_waits_for_anyway() -> None:
    def flow(q: str) -> str:
        query = look_up(q)

        def step(talk: Any) -> Any:
            reply, talk = talk.say("more")
            return talk.say(f"{reply} {run_sql(query)}").chat

        return loop(step, chat("s").say(q).chat, max=3).say("end").reply

    found = hints(flow)
    assert _features(found["llm_2.pin"]) == ["query"]
    assert _features(found["llm_1.pin"]) == []


def test_a_pin_in_a_region_knows_arguments_from_before_the_region() -> None:
    def flow(q: str) -> str:
        first, talk = chat("s").say(q)
        text, talk = branch(is_bad(first), then=lambda: turn(talk, "repair"), otherwise=lambda: (first, talk))
        return talk.say(f"{text} {run_sql(q)}").reply

    found = hints(flow)
    assert _features(found["llm_2.pin"]) == ["query"]


def test_a_pin_does_not_take_an_argument_of_this_iteration_for_one_of_the_next() -> None:
    def flow(q: str) -> str:
        def step(state: Any) -> Any:
            text, talk = state
            return turn(talk, run_sql(text))

        return loop(step, (q, chat("s")), max=3)[0]

    assert _features(hints(flow)["llm_1.pin"]) == []
