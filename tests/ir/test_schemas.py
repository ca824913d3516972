"""Schemas are compared for what they say of values, and told apart where they differ."""

from __future__ import annotations

import pytest

from orchestrator.ir.schemas import first_difference, meaning


def test_the_meaning_has_no_words_and_keeps_what_users_name_and_give() -> None:
    values = '{"default": {"title": 1}, "enum": ["description"], "type": "object"}'
    schema = f'{{"title": "T", "properties": {{"description": {values}}}, "items": [{{"description": "x"}}]}}'
    assert meaning(schema) == f'{{"items": [{{}}], "properties": {{"description": {values}}}}}'
    assert meaning("") == ""


@pytest.mark.parametrize(
    ("then", "now", "found"),
    [
        ('{"a": [{"b": 1}]}', '{"a": [{"b": 2}]}', ("a.0.b", 1, 2)),
        ('{"a": 1}', '{"a": 1, "b": 2}', ("b", None, 2)),
        ('{"a": {"b": 1, "c": 2}}', '{"a": {"c": 2, "b": 1}}', ("a", ["b", "c"], ["c", "b"])),
        ("[1]", "[1, 2]", ("", [1], [1, 2])),
        (None, '{"a": 1}', ("", None, {"a": 1})),
    ],
)
def test_the_first_difference(then: str | None, now: str, found: tuple[str, object, object]) -> None:
    assert first_difference(then, now) == found
