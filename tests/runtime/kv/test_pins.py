"""The pin table against a plain model of it."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.kv.pins import Outcome, Pin, PinTable
from orchestrator.runtime.kv.prefixes import Prefix, own

SESSIONS = ("a", "b", "c", "d")


def pin(session: str, blocks: int = 2, *, arrival_s: float = 0.0, expires_s: float = 10.0) -> Pin[str]:
    return Pin(session, f"run of {session}", arrival_s, blocks, f"blocks of {session}", 0.0, expires_s)


def test_a_pin_beyond_the_budget_is_an_error_of_the_caller() -> None:
    table = PinTable[str](budget_blocks=3)
    table.pin(pin("a"))
    with pytest.raises(ValueError, match="room for 1"):
        table.pin(pin("b"))


def test_a_sessions_second_pin_replaces_its_first_even_where_both_do_not_fit() -> None:
    table = PinTable[str](budget_blocks=3)
    first = pin("a")
    table.pin(first)
    assert table.pin(pin("a", 3)) == [first]
    assert table.pinned_blocks == 3
    assert table.outcomes[Outcome.SUPERSEDED] == 1


def test_an_extended_pin_outlives_its_first_ttl_and_a_shortened_one_does_not() -> None:
    table = PinTable[str](budget_blocks=9)
    table.pin(pin("a"))
    table.pin(pin("b"))
    assert table.extend("a", 20.0)
    assert table.extend("b", 5.0)
    assert not table.extend("nobody", 5.0)
    assert [each.session for each in table.expire(10.0)] == ["b"]
    assert [each.session for each in table.expire(20.0)] == ["a"]


def test_the_program_that_came_last_gives_up_first_and_the_spared_session_last_of_all() -> None:
    table = PinTable[str](budget_blocks=9)
    for session, arrival_s in (("a", 1.0), ("b", 3.0), ("c", 2.0)):
        table.pin(pin(session, arrival_s=arrival_s))
    given_up = []
    while (victim := table.victim(spared="b")) is not None:
        given_up += [each.session for each in table.end(victim.session, Outcome.EVICTED)]
    assert given_up == ["c", "a", "b"]


def test_a_prefix_of_several_pins_takes_room_once_and_as_long_as_one_of_them_lasts() -> None:
    table = PinTable[str](budget_blocks=10)
    system = Prefix("system", 6)
    for session in "ab":
        assert table.clipped(session, 8, system) == 8
        table.pin(replace(pin(session, 8), prefix=system))
    assert table.pinned_blocks == 10
    assert table.clipped("c", 8, system) == 6, "nothing but what is pinned anyway"
    assert table.clipped("c", 8, Prefix("another", 6)) == 0
    assert table.clipped("a", 12, system) == 8, "its own earlier pin makes room"
    table.end("a", Outcome.RELEASED)
    assert table.pinned_blocks == 8
    table.end("b", Outcome.RELEASED)
    assert table.pinned_blocks == 0


def test_each_pin_is_reviewed_when_it_asked_to_be_and_not_after_its_end() -> None:
    table = PinTable[str](budget_blocks=9)
    for session, at_s in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        made = pin(session)
        table.pin(made)
        table.review_at(made, at_s)
    table.end("b", Outcome.RELEASED)
    assert table.to_review(1.5) is None
    reviewed = table.to_review(9.0), table.to_review(9.0), table.to_review(9.0)
    assert [each and each.session for each in reviewed] == ["c", "a", None]


ACTION = st.tuples(
    st.sampled_from(("pin", "extend", "end", "expire", "victim", "shares")),
    st.sampled_from(SESSIONS),
    st.integers(1, 6),
    st.integers(0, 12),
    st.sampled_from((None, Prefix("system", 2), Prefix("system and more", 3), Prefix("another", 4))),
)
Model = dict[str, tuple[int, float, Prefix | None]]


def taken(model: Model) -> int:
    """Blocks that the pins take of the budget: what several begin with, once."""
    return sum(own(blocks, prefix) for blocks, _, prefix in model.values()) + sum(
        prefix.blocks for prefix in {prefix for _, _, prefix in model.values()} if prefix is not None
    )


@given(st.lists(ACTION, max_size=200))
def test_whatever_happens_the_table_agrees_with_a_dictionary(
    actions: list[tuple[str, str, int, int, Prefix | None]],
) -> None:
    table = PinTable[str](budget_blocks=10)
    model: Model = {}
    now = 0.0
    for kind, session, blocks, at, prefix in actions:
        if kind == "pin":
            kept = table.clipped(session, blocks, prefix)
            assert 0 <= kept <= blocks
            begins = prefix if prefix is not None and prefix.blocks <= kept else None
            if kept:
                replaced = table.pin(
                    replace(pin(session, kept, arrival_s=at, expires_s=now + at), prefix=begins)
                )  # never more than there is room for
                assert [each.session for each in replaced] == ([session] if session in model else [])
                model[session] = kept, now + at, begins
        elif kind == "extend":
            assert table.extend(session, now + at) == (session in model)
            if session in model:
                model[session] = model[session][0], now + at, model[session][2]
        elif kind == "shares" and prefix is not None:
            table.shares(session, prefix)
            kept, until_s, known = model.get(session, (0, 0.0, None))
            if known is None and kept >= prefix.blocks:
                model[session] = kept, until_s, prefix
        elif kind == "end":
            assert bool(table.end(session, Outcome.RELEASED)) == (model.pop(session, None) is not None)
        elif kind == "expire":
            now += blocks
            gone = {name for name, (_, expires_s, _) in model.items() if expires_s <= now}
            assert {each.session for each in table.expire(now)} == gone
            model = {name: entry for name, entry in model.items() if name not in gone}
        else:
            victim = table.victim()
            assert (victim is None) == (not model)
            assert victim is None or victim.session in model
        assert {each.session for each in table.pins()} == set(model)
        assert table.pinned_blocks == taken(model) <= 10
        assert table.next_expiry_s <= min((expires_s for _, expires_s, _ in model.values()), default=inf)


def test_memory_follows_the_live_pins() -> None:
    table = PinTable[str](budget_blocks=2)
    for turn in range(10_000):
        table.pin(pin("a", expires_s=1e9 + turn, arrival_s=turn))
        table.extend("a", 2e9 + turn)
        table.review_at(table.pins()[0], 3e9)
    assert len(table._by_expiry) < 200
    assert len(table._by_program) < 200
    assert len(table._by_review) < 200
