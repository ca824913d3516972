"""Markers: whatever the text around them, a template has exactly the holes that were formatted into it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dsl.template import (
    ConvertedMarkerError,
    CutMarkerError,
    ForeignMarkerError,
    Markers,
    Template,
    has_marker,
)

text = st.text(st.characters(exclude_characters=[chr(c) for c in range(0xFDD0, 0xFDDE)]))


@given(st.lists(st.tuples(text, st.integers(0, 10**6))), text)
def test_round_trip(pairs: list[tuple[str, int]], last: str) -> None:
    markers = Markers()
    prompt = "".join(part + markers.of(hole) for part, hole in pairs) + last
    split = markers.split(prompt)
    assert split == Template((*(part for part, _ in pairs), last), tuple(hole for _, hole in pairs))
    assert not any(has_marker(part) for part in split.parts)


MARKERS = Markers()


@given(text, text, st.integers(0, 99), st.integers(0, 99))
def test_a_cut_marker_never_reaches_a_template(before: str, after: str, start: int, stop: int) -> None:
    marker = MARKERS.of(7)
    fragment = marker[start:stop]
    if fragment in ("", marker):
        assert MARKERS.split(before + fragment + after).parts == (
            (before + after,) if not fragment else (before, after)
        )
    else:
        with pytest.raises(CutMarkerError):
            MARKERS.split(before + fragment + after)


@pytest.mark.parametrize("operation", [str.upper, str.strip, str.title, str.casefold, str.expandtabs])
def test_operations_that_keep_characters_keep_markers(operation: object) -> None:
    markers = Markers()
    assert markers.split(operation(f"a{markers.of(1)}b")).holes == (1,)  # type: ignore[operator]


def test_markers_of_another_trace_are_recognised() -> None:
    with pytest.raises(ForeignMarkerError):
        Markers().split(Markers().of(0))


def test_repr_is_recognised_even_when_escaped() -> None:
    markers = Markers()
    with pytest.raises(ConvertedMarkerError) as caught:
        markers.split(f"<Value x{markers.of_repr(3)}>")
    assert caught.value.hole == 3
    with pytest.raises(CutMarkerError):
        markers.split(ascii(markers.of_repr(3)))


@pytest.mark.parametrize("odd", ["\ufdd0", "a\ufdda", "\ufdda\ufdd1\ufddb\ufdd1\ufddd"])
def test_reserved_characters_are_refused(odd: str) -> None:
    with pytest.raises((CutMarkerError, ForeignMarkerError)):
        Markers().split(odd)
