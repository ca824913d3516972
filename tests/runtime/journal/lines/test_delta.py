"""What a text adds to the one before it is enough to make it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.journal.lines.delta import delta, patched

TEXT = st.text(st.sampled_from('ab"\\,é😀'), max_size=40)


@given(TEXT, TEXT, TEXT, TEXT)
def test_what_differs_makes_the_text_and_is_never_longer(front: str, one: str, other: str, back: str) -> None:
    before, after = front + one + back, front + other + back
    made = delta(before, after)
    if made is not None:
        assert patched(before, made) == after
        assert len(made) < len(after)


def test_only_what_was_added_is_written() -> None:
    before = '{"notes":["' + "a" * 10_000 + '"],"n":1}'
    after = '{"notes":["' + "a" * 10_000 + '","b"],"n":1}'
    made = delta(before, after)
    assert made is not None
    assert len(made) < 20
    assert patched(before, made) == after
    assert patched(after, delta(after, before) or "") == before


def test_a_text_that_is_another_is_written_whole() -> None:
    assert delta("abc", "xyz") is None
    assert delta("", "") is None


def test_a_text_that_repeats_itself_is_not_counted_twice() -> None:
    before, after = "ab" * 100, "ab" * 150
    assert patched(before, delta(before, after) or "") == after
    assert patched(after, delta(after, before) or "") == before


@pytest.mark.parametrize("made", ["", "1", "1,2", "9,9,x", "-1,0,x", "0,-1,x", "a,0,x"])
def test_what_is_no_difference_is_refused(made: str) -> None:
    with pytest.raises(ValueError):
        patched("before", made)
