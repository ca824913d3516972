"""Admission by tokens of KV, with pause and resume: what it never does, and whom it pauses and resumes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.kv.capacity import Order, TokenCapacity
from benchmarks.kv.driving import Capacity, Client, no_hints, play
from benchmarks.kv.serving import Reply
from benchmarks.kv.workload import BLOCK_TOKENS, Case


def turn(control: TokenCapacity, program: str, tokens: int) -> bool:
    return control.request(program, 0.0, tokens=tokens)


def done(control: TokenCapacity, program: str, tokens: int) -> Sequence[str]:
    control.used(program, program, input_tokens=tokens, cached_tokens=0)
    control.end(program, 0.0)
    return control.admitted()


def test_programs_are_taken_on_as_long_as_they_fit() -> None:
    control = TokenCapacity(100, "oldest")
    assert [turn(control, name, 40) for name in "abc"] == [True, True, False]
    control.finish("a", 0.0)
    assert control.admitted() == ["c"]


def test_one_program_always_runs() -> None:
    control = TokenCapacity(100, "shortest")
    assert turn(control, "a", 500)
    assert not turn(control, "b", 1)
    assert turn(control, "a", 600), "and goes on"


@pytest.mark.parametrize(("order", "paused"), [("oldest", "c"), ("shortest", "b")])
def test_who_outgrows_the_memory_has_others_paused_while_their_tools_run(order: Order, paused: str) -> None:
    control = TokenCapacity(100, order)
    for name, tokens in (("a", 20), ("b", 40), ("c", 30)):
        assert turn(control, name, tokens)
        assert done(control, name, tokens) == []
    assert turn(control, "a", 50)
    assert not turn(control, paused, 41), "its next turn waits"
    assert turn(control, "bc".replace(paused, ""), 41)


@pytest.mark.parametrize(("order", "first"), [("oldest", "b"), ("shortest", "c")])
def test_memory_goes_to_the_shortest_or_the_oldest(order: Order, first: str) -> None:
    control = TokenCapacity(100, order)
    assert [turn(control, name, tokens) for name, tokens in (("a", 90), ("b", 60), ("c", 50))] == [True, False, False]
    control.finish("a", 0.0)
    assert control.admitted() == [first]


def test_a_turn_that_runs_is_not_broken_off() -> None:
    control = TokenCapacity(100, "oldest")
    assert turn(control, "a", 50)
    assert turn(control, "b", 50)
    assert turn(control, "a", 90)
    control.finish("a", 0.0)
    assert turn(control, "b", 60), "it was never paused"


def test_who_withdraws_is_not_let_in() -> None:
    control = TokenCapacity(100, "oldest")
    assert turn(control, "a", 90)
    assert not turn(control, "b", 90)
    control.withdraw("b")
    control.finish("a", 0.0)
    assert control.admitted() == []


@given(
    st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=4), min_size=1, max_size=6),
    st.sampled_from(["shortest", "oldest"]),
    st.randoms(use_true_random=False),
)
def test_every_program_ends_and_what_is_taken_on_fits(programs: list[list[int]], order: Order, draw: object) -> None:
    control, left = TokenCapacity(100, order), {str(n): list(turns) for n, turns in enumerate(programs)}
    context, running, waiting = dict.fromkeys(left, 0), set[str](), set[str]()
    while left:
        idle = sorted(left.keys() - running - waiting)
        name = draw.choice([*idle, *sorted(running)])  # type: ignore[attr-defined]
        if name in running:
            running.remove(name)
            left[name].pop(0)
            control.used(name, name, input_tokens=context[name], cached_tokens=0)
            control.end(name, 0.0)
            if not left[name]:
                control.finish(name, 0.0)
                del left[name]
        else:
            context[name] += left[name][0]
            (running if turn(control, name, context[name]) else waiting).add(name)
        for each in control.admitted():
            waiting.remove(each)
            running.add(each)
        assert left.keys() - waiting or not left, "somebody can always go on"


class Slow:
    """An engine whose turns take a while; how many ran at once, and with how many tokens."""

    def __init__(self) -> None:
        self.now: list[int] = []
        self.most = 0

    async def generate(self, prompt: Sequence[int], output_tokens: int, hint: object) -> Reply:
        self.now.append(len(prompt))
        if len(self.now) > 1:
            self.most = max(self.most, sum(self.now))
        await asyncio.sleep(0.001)
        self.now.remove(len(prompt))
        return Reply((5,) * output_tokens, 0)

    async def release(self, session: str) -> None:
        pass


@pytest.mark.parametrize("order", ["shortest", "oldest"])
async def test_clients_wait_for_memory_and_all_get_through(order: Order) -> None:
    case = Case("tiny", jobs=8, spread_s=0.05, kv_blocks=200, time_scale=1000.0, token_scale=64.0)
    engine = Slow()
    played = await play(engine, case, 1, Client(no_hints, Capacity(0.5, order)))
    assert len(played.jct_s) == 8
    assert 0 < engine.most <= 1.5 * 0.5 * case.kv_blocks * BLOCK_TOKENS


async def test_an_engine_of_unknown_room_is_not_bounded() -> None:
    admission = Capacity(0.9, "oldest")
    admission.room(0)
    assert admission._control.capacity == inf
