"""No half of a character is left, however a text is cut into pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.engines.surrogates import Joiner, well_formed

UNITS = st.integers(0xD700, 0xE0FF) | st.sampled_from([0xD83D, 0xDE00, 0x41])
TEXT = st.lists(UNITS.map(chr) | st.just("\U0001f600"), max_size=12).map("".join)


@given(TEXT, st.data())
def test_pieces_make_the_same_text(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    joiner = Joiner()
    shown = [joiner.feed(piece) for piece in pieces] + [joiner.end()]
    for piece in shown:
        piece.encode()
    assert "".join(shown) == well_formed(text)


@given(st.text())
def test_text_that_is_well_formed_stays(text: str) -> None:
    assert well_formed(text) == text


def test_an_escaped_pair_is_its_character() -> None:
    assert well_formed("\ud83d\ude00") == "\U0001f600"
    assert well_formed("\ude00\ud83d") == "\ufffd\ufffd"
