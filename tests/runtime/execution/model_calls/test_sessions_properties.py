"""Random workflows of conversations: hints change no result, and never say that something is over which goes on."""

from __future__ import annotations

import asyncio
import hashlib
from random import Random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator import attempt, branch, chat, loop, map_, race, switch, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.workflow import Workflow
from tests.runtime.watching import CLUSTER, run, unhinted


@tool(effects="idempotent", pause_features=("text",))
async def wait(text: str) -> str:
    await asyncio.sleep(0)
    return text[-20:]


@tool(effects="idempotent")
async def lose(text: str) -> str:
    await asyncio.sleep(60)
    return text


@tool(effects="pure")
def is_odd(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 1


@tool(effects="pure")
def is_even(text: str) -> str:
    if hashlib.sha256(text.encode()).digest()[1] % 2 == 1:
        raise ValueError("odd")
    return text


@tool(effects="pure")
def letters(text: str) -> int:
    return hashlib.sha256(text.encode()).digest()[2] % 5


def steps(seed: int, talk: Any, text: Any, depth: int) -> tuple[Any, Any]:
    """A few random steps on a conversation; tracing may take them twice, so they depend on the seed alone."""
    rng = Random(seed)
    for _ in range(rng.randint(1, 3)):
        kinds = ["turn", "turn", "wait", "fork", "beside", "compact"]
        kinds += ["branch", "race", "loop", "judge", "two", "map", "samples", "talks"] * (depth > 0)
        kinds += ["switch", "attempt"] * (depth > 0)
        inner, kind = rng.randrange(1 << 30), rng.choice(kinds)
        match kind:
            case "turn":
                text, talk = talk.say(text)
            case "wait":
                text = wait(text)
            case "fork":
                text = f"{text} {talk.say(wait(text)).reply}"
            case "beside":
                other = branch(is_odd(text), then=lambda text=text: wait(wait(text)), otherwise=lambda: "none")
                reply, talk = talk.say(text)
                text = f"{reply} {other} {wait(wait(text))}"
            case "compact":
                talk = chat(f"So far: {talk.say('summarise').reply}")
            case _:
                talk, text = _nested(kind, inner, talk, text, depth)
    return talk, text


def _nested(kind: str, seed: int, talk: Any, text: Any, depth: int) -> tuple[Any, Any]:
    """Steps in regions, on one or several conversations."""
    rng = Random(seed)
    bound, inner = rng.randint(1, 3), rng.randrange(1 << 30)
    match kind:
        case "branch":
            return _branch(inner, talk, text, depth, both=rng.random() < 0.5)
        case "switch":
            return _switch(inner, talk, text, depth)
        case "attempt":
            return _attempt(inner, talk, text, depth)
        case "race":  # against one that does the same, or one that loses
            other = (
                (lambda: steps(inner, talk, text, depth - 1))
                if rng.random() < 0.5
                else lambda: (chat("Late"), lose(text))
            )
            return race(lambda: steps(inner, talk, text, depth - 1), other)
        case "loop" | "judge":
            until = (lambda state: is_odd(state[1])) if kind == "loop" else _is_good_enough
            return loop(lambda state: steps(inner, *state, depth - 1), (talk, text), max=bound, until=until)
        case "two":
            talk, other, text = loop(
                lambda state: _both(inner, state, depth), (talk, talk, text), max=bound, until=lambda s: is_odd(s[2])
            )
            return talk, f"{text} {other.say(wait(text)).reply}"
        case "talks":
            return _talks(inner, talk, text, depth)
        case "map":
            return talk, map_(lambda each: steps(inner, talk, each, 0)[1], [text, text + "!"])[0]
        case _:
            drafts, talks = talk.say(text, samples=2)
            talks, texts = map_(lambda t, d: steps(inner, t, d, depth - 1), talks, drafts)
            return talks[bound % 2], texts[bound % 2]


def _is_good_enough(state: Any) -> Any:
    return is_odd(state[0].say("Good enough?").reply)


def _branch(seed: int, talk: Any, text: Any, depth: int, *, both: bool) -> tuple[Any, Any]:
    return branch(
        is_odd(text),
        then=lambda: steps(seed, talk, text, depth - 1),
        otherwise=lambda: steps(seed + 1, talk, text, depth - 1) if both else (talk, text),
    )


def _switch(seed: int, talk: Any, text: Any, depth: int) -> tuple[Any, Any]:
    cases = {
        0: lambda: steps(seed, talk, text, depth - 1),
        (1, 2): lambda: (talk, text),
        3: lambda: (chat("Anew"), text),
    }
    return switch(letters(text), cases, otherwise=lambda: steps(seed + 1, talk, text, depth - 1))


def _attempt(seed: int, talk: Any, text: Any, depth: int) -> tuple[Any, Any]:
    """The handler goes on with the conversation as it was before the body, which may have gone on with it, too."""

    def body() -> tuple[Any, Any]:
        later, said = steps(seed, talk, text, depth - 1)
        return later, is_even(said) if seed % 3 else said

    handled = [lambda error: (talk, text), lambda error: steps(seed + 1, talk, text, depth - 1)]
    cleanup = (lambda: talk.say("In the end").reply) if seed % 5 == 0 else None
    return attempt(body, handled[seed % 2], cleanup=cleanup)  # type: ignore[return-value]


def _both(seed: int, state: Any, depth: int) -> tuple[Any, Any, Any]:
    """An iteration on two conversations, which may change places."""
    one, other, text = state
    one, text = steps(seed, one, text, depth - 1)
    return (other, one, text) if seed % 2 else (one, other, text)


def _talks(seed: int, talk: Any, text: Any, depth: int) -> tuple[Any, Any]:
    """Conversations in a list, which several maps or picks may continue."""
    rng = Random(seed)
    match rng.choice(["opened", "forked", "same"]):
        case "opened":
            begin = rng.randrange(1 << 30)
            talks = map_(lambda each: steps(begin, *chat("Item").say(each)[::-1], depth - 1)[0], [text, text + "!"])
        case "forked":
            talks = map_(lambda each: talk.say(each).chat, [text, text + "!"])
        case _:
            talks = [talk, talk]
    texts = [text + "?", text]
    for _ in range(rng.randint(1, 2)):
        inner, release = rng.randrange(1 << 30), rng.random() < 0.5

        def item(each: Any, t: Any, inner: int = inner, release: bool = release) -> Any:
            if not release:
                return steps(inner, t, each, depth - 1)[1]
            return branch(is_odd(each), then=lambda: steps(inner, t, each, 0)[1], otherwise=lambda: each)

        texts = map_(item, texts, talks)
    match rng.choice(["none", "one", "both"]):
        case "one":
            talk = talks[rng.randrange(2)]
        case "both":
            text, talk = f"{text} {talks[0].say(wait(texts[1])).reply}", talks[1]
    return talk, f"{text} {texts[0]} {texts[1]}"


def flow_of(seed: int) -> Workflow[..., Any]:
    @workflow
    def flow(question: str) -> str:
        _, text = steps(seed, chat("Be brief. " * 20), f"{question} {seed}", 2)
        return text

    return flow


@example(33)  # a conversation's last turn begins before the engine is told how long the pause in front of it may be
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1 << 30))
def test_hints_change_no_result_and_end_nothing_that_goes_on(seed: int) -> None:
    flow = flow_of(seed)
    program = compile_workflow(flow, cluster=CLUSTER).program
    value, engine = asyncio.run(run(program))
    plain, _ = asyncio.run(run(unhinted(flow)))
    assert value == plain
    assert engine.objections == []
    assert {request.session for request in engine.requests} <= engine.over  # all of them are over in the end
