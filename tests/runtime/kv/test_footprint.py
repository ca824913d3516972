"""Whether a session fits until it ends, against the sum written out turn by turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.kv.footprint import MOST_TURNS, Footprint

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


def test_growth_is_learned_from_sessions_that_come_back() -> None:
    memory = Footprint(total_blocks=100)
    memory.begins("a", 10, 3.0)
    assert memory.growth == 0.0
    memory.begins("a", 18, 2.0)
    assert memory.growth == 8.0
    memory.begins("a", 18, 1.0)
    assert memory.growth == 8.0


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
