"""Whether a session fits until it ends, against the sum written out turn by turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.kv.footprint import MOST_TURNS, Footprint
from orchestrator.runtime.kv.prefixes import Prefix, own

SESSION = st.tuples(st.integers(0, 40), st.integers(0, 6))


def written_out(sessions: list[tuple[int, int]], new: tuple[int, int], growth: float, total: int) -> bool:
    return all(
        sum(held + turn * growth for held, left in [*sessions, new] if left >= turn) <= total
        for turn in range(new[1] + 1)
    )


@given(st.lists(SESSION, max_size=6), SESSION, st.integers(0, 10))
def test_a_session_fits_if_it_fits_in_every_turn_until_it_ends(
    sessions: list[tuple[int, int]], new: tuple[int, int], growth: int
) -> None:
    memory = Footprint(total_blocks=100)
    for number, (blocks, left) in enumerate(sessions):
        memory.begins(f"s{number}", blocks, left)
    assert memory.fits(*new, growth=growth) == written_out(sessions, new, growth, 100)


def test_growth_is_a_running_mean() -> None:
    memory = Footprint(total_blocks=100)
    memory.grew(8)
    assert memory.growth == 8.0
    memory.grew(18)
    assert memory.growth == 9.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.integers(0, 6), st.booleans()), max_size=30))
def test_it_counts_as_if_it_were_made_anew(events: list[tuple[str, int, int, bool]]) -> None:
    """Whatever came and went before, with a prefix that some share."""
    memory = Footprint(total_blocks=100)
    held: dict[str, tuple[int, int, Prefix | None]] = {}
    for session, blocks, left, alike in events:
        prefix = Prefix("system", 10) if alike else None
        if blocks == 0:
            memory.leaves(session)
            held.pop(session, None)
            continue
        memory.begins(session, blocks, left, prefix)
        held[session] = blocks, left, prefix
    alone = [(own(blocks, prefix), left) for blocks, left, prefix in held.values()]
    shared = 10 * any(prefix for _, _, prefix in held.values())
    assert memory.fits(20, 3, growth=2.0) == written_out(alone, (20, 3), 2.0, 100 - shared)
    with_system = own(20, Prefix("system", 10)), 3
    assert memory.fits(20, 3, growth=2.0, prefix=Prefix("system", 10)) == written_out(alone, with_system, 2.0, 90)


def test_who_was_first_with_a_prefix_shares_it_from_then_on() -> None:
    memory, system = Footprint(total_blocks=100), Prefix("system", 40)
    memory.begins("a", 60, 1.0)
    memory.begins("b", 60, 1.0, system)
    assert not memory.fits(1, 0.0)
    memory.shares("a", system)
    assert memory.fits(20, 0.0)
    assert not memory.fits(21, 0.0)
    memory.shares("a", Prefix("shorter", 20))
    memory.shares("nobody", system)
    memory.leaves("b")
    assert memory.fits(40, 0.0)
    assert not memory.fits(41, 0.0)


def test_a_session_may_hold_less_than_it_was_expected_to() -> None:
    memory = Footprint(total_blocks=100)
    memory.begins("a", 95, 3.0)
    memory.holds("a", 20)
    assert memory.fits(80, 3.0)
    assert not memory.fits(80, 3.0, growth=1.0), "it still has turns left"


def test_the_version_moves_whenever_an_answer_may_change() -> None:
    memory = Footprint(total_blocks=10)
    memory.begins("a", 10, 0.0)
    assert not memory.fits(1, 0.0)
    before = memory.version
    memory.leaves("nobody")
    assert memory.version == before
    memory.leaves("a")
    assert memory.version > before
    assert memory.fits(1, 0.0)
    assert len(memory) == 0


def test_turns_without_end_count_as_many() -> None:
    memory = Footprint(total_blocks=100)
    assert memory.fits(1, 1e9, growth=0.0)
    assert not memory.fits(1, 1e9, growth=100.0 / MOST_TURNS)
