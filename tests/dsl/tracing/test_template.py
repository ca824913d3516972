"""Markers: whatever the text around them, a template has exactly the holes that were formatted into it."""

from __future__ import annotations

import string
import textwrap
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dsl.tracing.template import (
    ConvertedMarkerError,
    CutMarkerError,
    ForeignMarkerError,
    Markers,
    Template,
    has_marker,
)

text = st.text(st.characters(exclude_characters=[chr(c) for c in range(0xFDD0, 0xFDDF)]))


@given(st.lists(st.tuples(text, st.integers(0, 10**6))), text)
def test_round_trip(pairs: list[tuple[str, int]], last: str) -> None:
    markers = Markers()
    prompt = "".join(part + markers.of(hole) for part, hole in pairs) + last
    split = markers.split(prompt)
    assert split == Template((*(part for part, _ in pairs), last), tuple(hole for _, hole in pairs))
    assert not any(has_marker(part) for part in split.parts)


MARKERS = Markers()


@given(text, text, st.integers(1, len(MARKERS.of(7)) - 1), st.booleans())
def test_a_cut_marker_never_reaches_a_template(before: str, after: str, cut: int, keep_start: bool) -> None:
    marker = MARKERS.of(7)
    with pytest.raises(CutMarkerError):
        MARKERS.split(before + (marker[:cut] if keep_start else marker[cut:]) + after)


@pytest.mark.parametrize("operation", [str, str.strip, textwrap.dedent])
def test_operations_that_lay_out_a_template_keep_markers(operation: Callable[[str], str]) -> None:
    markers = Markers()
    assert markers.split(operation(f"  a{markers.of(1)}b")).holes == (1,)


@pytest.mark.parametrize("char", [*string.printable, "\u2028", "\u00e9"])
def test_a_marker_that_has_lost_one_kind_of_character_is_broken(char: str) -> None:
    marker = MARKERS.of(7)
    if char in "\n\r\x0b\x0c":
        assert char not in marker
    else:
        with pytest.raises(CutMarkerError):
            MARKERS.split(f"a{marker.replace(char, '')}b")


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
