import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.interval import Interval
from orchestrator.planner.tokens import REPLY_TOKENS, SCALAR_TOKENS, is_scalar, part_of, reply_tokens, text_tokens


def test_four_characters_a_token() -> None:
    assert text_tokens(1000).mid == 250


@pytest.mark.parametrize("scalar", ["bool", "int", "float", "None", "int | None", "Literal['yes', 'no']"])
def test_scalars(scalar: str) -> None:
    assert is_scalar(scalar)


@pytest.mark.parametrize("large", ["str", "list[int]", "Query", "str | None", "dict[str, int]", "integer"])
def test_not_scalars(large: str) -> None:
    assert not is_scalar(large)


def test_a_cap_is_the_upper_bound_and_half_of_it_the_guess() -> None:
    assert reply_tokens("str", 100) == Interval(1, 50, 100)
    assert reply_tokens("str", 10_000) == Interval(REPLY_TOKENS.lo, REPLY_TOKENS.mid, 10_000)
    assert reply_tokens("str", None) == REPLY_TOKENS


def test_a_scalar_reply_is_short_whatever_its_cap() -> None:
    assert reply_tokens("bool", 4096) == SCALAR_TOKENS
    assert reply_tokens("bool", 1) == Interval(1, 1, 1)


def test_a_text_that_may_not_end_has_as_many_tokens_as_it_may_have() -> None:
    assert reply_tokens("str", 48, ignore_eos=True) == Interval.exact(48)
    assert reply_tokens("str", None, ignore_eos=True) == REPLY_TOKENS
    assert reply_tokens("Query", 48, ignore_eos=True) == reply_tokens("Query", 48), "its brackets close"


@given(st.one_of(st.none(), st.integers(1, 10**6)), st.integers(0, 10**6))
def test_no_reply_is_shorter_than_asked_but_for_its_cap(cap: int | None, least: int) -> None:
    assert reply_tokens("str", cap, least).lo >= min(least, cap or least)


@given(st.sampled_from(["str", "bool", "Query"]), st.integers(1, 10**6))
def test_no_reply_exceeds_its_cap(returns: str, cap: int) -> None:
    assert reply_tokens(returns, cap).hi <= cap


def test_a_part_is_no_more_than_the_whole() -> None:
    assert part_of(Interval(10, 20, 30)) == Interval(1, 10, 30)
    assert part_of(Interval(0, 0.5, 1)).lo == 0
