"""What an unfinished reply says: never more than the finished one, and at its end all of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.running.partial_json import Nothing, partial_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def is_part(part: Any, whole: Any) -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and is_part(value, whole[key]) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(map(is_part, part, whole))
    if isinstance(part, str) and isinstance(whole, str):
        return whole.startswith(part)
    if isinstance(part, int) and isinstance(whole, int) and not isinstance(part, bool):
        return str(whole).startswith(str(part)) or part == 0
    return bool(part == whole)


@given(
    st.lists(JSON, max_size=4) | st.dictionaries(st.text(max_size=3), JSON, max_size=4),
    st.sampled_from(["", "Sure: ", "<think>{}</think>", "```json\n"]),
)
def test_every_prefix_says_a_part(value: Any, before: str) -> None:
    text = json.dumps(value, ensure_ascii=False)
    for end in range(len(text) + 1):
        said = partial_json(before + text[:end])
        assert said is Nothing.YET or is_part(said, value)
    assert partial_json(before + text) == value


@pytest.mark.parametrize("text", ["", "   ", "Let me think", '<think>{"a": 1', "{'a': 1}", "```json\n", "}", "\ufeff"])
def test_no_value_is_no_value(text: str) -> None:
    assert partial_json(text) is Nothing.YET


@pytest.mark.parametrize("text", ['```json\n{"a": 1}\n```', '```json\n{"a": 1}\n``', '```\n{"a": 1}\n`'])
def test_the_end_of_a_fence_is_none_of_the_value(text: str) -> None:
    assert partial_json(text) == {"a": 1}
