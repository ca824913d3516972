"""Sessions that are expected back soon."""

from __future__ import annotations

import pytest

from orchestrator.runtime.kv import returning
from orchestrator.runtime.kv.returning import Returning


def test_a_session_is_expected_until_its_time_is_over_or_it_is_back() -> None:
    soon = Returning()
    soon.pauses("a", "a/1", 10.0)
    soon.pauses("a", "a/2", 5.0)
    soon.pauses("b", "b/1", 5.0)
    assert soon.is_awaited("a", 9.0)
    assert not soon.is_awaited("b", 9.0)
    soon.resumes("a", "a/1")
    assert not soon.is_awaited("a", 9.0)


def test_the_last_word_on_a_session_counts() -> None:
    soon = Returning()
    soon.pauses("a", "a/1", 5.0)
    soon.pauses("a", "a/1", 10.0)
    assert soon.is_awaited("a", 7.0)
    soon.pauses("a", "a/1", 8.0)
    assert not soon.is_awaited("a", 9.0)


def test_what_is_over_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "MOST_PROGRAMS", 10)
    soon = Returning()
    for i in range(1000):
        soon.pauses("wide", f"wide/{i}", i / 100)
    assert soon.is_awaited("wide", 9.985)
    assert soon.count == 1
    assert not soon.is_awaited("wide", 9.99)
    assert soon.count == 0
    for i in range(100):
        soon.pauses(f"p{i}", f"p{i}/1", 1.0)
    assert soon.count == 10
    for i in range(100):
        soon.finish(f"p{i}")
    assert soon.count == 0
