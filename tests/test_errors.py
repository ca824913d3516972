"""The type and the text of an exception, whatever happens while the text is made."""

from __future__ import annotations

import signal

import pytest

from orchestrator.errors import described


class Untold(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class Interrupted(Exception):
    def __str__(self) -> str:
        signal.raise_signal(signal.SIGINT)
        return "went on"


def test_a_text_that_cannot_be_made_says_so() -> None:
    assert described(Untold()) == "Untold: (its text cannot be made: KeyboardInterrupt)"
    assert described(ValueError("no")) == "ValueError: no"
    assert described(ValueError()) == "ValueError"


def test_a_ctrl_c_while_the_text_is_made_goes_on() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            described(Interrupted())
    finally:
        signal.signal(signal.SIGINT, before)
