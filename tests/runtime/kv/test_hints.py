"""The wire format: what is sent arrives, and what nobody could have sent is dropped."""

from __future__ import annotations

import json
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.kv.hints import (
    MOST_FEATURE_CHARS,
    MOST_FEATURES,
    MOST_NAME_CHARS,
    MOST_SUPERSEDED,
    KvHint,
    has_hint,
)

NAMES = st.text(min_size=1, max_size=20)
SECONDS = st.floats(0, 1e9)
HINTS = st.builds(
    KvHint,
    program=st.none() | NAMES,
    program_arrival_s=st.none() | SECONDS,
    turns_left=st.none() | SECONDS,
    deadline_s=st.none() | SECONDS,
    call_s=st.none() | SECONDS,
    critical_path_s=st.none() | SECONDS,
    workflow=st.none() | NAMES,
    tool=st.none() | NAMES,
    features=st.lists(NAMES, max_size=3).map(tuple),
    pause_s=st.lists(SECONDS | st.just(inf), max_size=5).map(lambda times: tuple(sorted(times))),
    pin_ttl_s=st.none() | SECONDS,
    release=st.booleans(),
    supersedes=st.lists(NAMES, max_size=3).map(tuple),
    prefetch=st.booleans(),
    tenant=st.none() | NAMES,
)


@given(HINTS)
def test_a_hint_survives_json(hint: KvHint) -> None:
    assert KvHint.from_args(json.loads(json.dumps(hint.to_args()))) == hint


ARGUMENTS = st.sampled_from([f"orch_{field}" for field in KvHint.__slots__])
NUMBERS = st.floats() | st.integers() | st.just(10**400)
ANYTHING = st.none() | st.booleans() | NUMBERS | st.text() | st.lists(NUMBERS | st.text() | st.none())


@given(st.dictionaries(ARGUMENTS, ANYTHING))
def test_whatever_a_client_sends_is_read_without_an_error(args: dict[str, object]) -> None:
    hint = KvHint.from_args(args)
    assert hint.turns_left is None or 0 <= hint.turns_left < inf
    assert all(time >= 0 for time in hint.pause_s)
    assert list(hint.pause_s) == sorted(hint.pause_s)


@pytest.mark.parametrize("value", [-1.0, float("nan"), inf, "soon", True, [1.0]])
def test_a_malformed_number_is_no_opinion(value: object) -> None:
    assert KvHint.from_args({"orch_turns_left": value, "orch_tool": "t"}) == KvHint(tool="t")


def test_names_are_bounded() -> None:
    hint = KvHint.from_args({"orch_tool": "x" * 10_000, "orch_supersedes": ["s"] * 10_000})
    assert len(hint.tool or "") == MOST_NAME_CHARS
    assert len(hint.supersedes) == MOST_SUPERSEDED
    for features in (["f" * 10_000] * 10_000, ("f" * 1000 + ",") * 1000):
        read = KvHint.from_args({"orch_features": features}).features
        assert len(read) == MOST_FEATURES
        assert all(len(feature) == MOST_FEATURE_CHARS for feature in read)


def test_a_session_ends_when_it_is_released_or_no_turn_is_left() -> None:
    assert KvHint(release=True).ends
    assert KvHint(turns_left=0.0).ends
    assert not KvHint(turns_left=0.5).ends
    assert not KvHint().ends
    assert not has_hint({"temperature": 1})
    assert has_hint(KvHint(release=True).to_args())
