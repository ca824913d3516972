"""What is wrong with a value is said by the schema alone, and what fits the class always fits its schema."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, TypeAdapter

from orchestrator.runtime.journal.versions.schema_misfit import misfit


class Grade(Enum):
    GOOD = "good"
    BAD = "bad"


class Review(BaseModel):
    grade: Grade
    notes: list[str] = []
    score: float | None = None
    inner: Review | None = None


@pytest.mark.parametrize(
    ("tp", "value"),
    [
        (str, "x"),
        (int, 3),
        (int, 3.0),
        (float, 3),
        (bool, False),
        (Decimal, "1.5"),
        (date, "2026-01-01"),
        (Literal["a", 1], 1),
        (list[int], [1, 2]),
        (tuple[int, str], [1, "x"]),
        (dict[str, int], {"a": 1}),
        (Review, {"grade": "good", "inner": {"grade": "bad", "score": 1}}),
        (Review | None, None),
        (Any, {"whatever": [1]}),
    ],
)
def test_what_a_class_takes_fits_its_schema(tp: Any, value: object) -> None:
    TypeAdapter(tp).validate_python(value)
    assert misfit(TypeAdapter(tp).json_schema(), value) is None


@pytest.mark.parametrize(
    ("tp", "value", "said"),
    [
        (str, 1, "1 is no string"),
        (int, True, "True is no integer"),
        (int, 1.5, "1.5 is no integer"),
        (int, float("nan"), "nan is no integer"),
        (bool, 1, "1 is no boolean"),
        (Literal["a", "b"], "c", "'c' is none of 'a', 'b'"),
        (list[int], [1, "x"], "1: 'x' is no integer"),
        (Review, {}, "`grade` is missing"),
        (Review, {"grade": "good", "inner": {"grade": "ugly"}}, "ugly"),
        (Review, {"grade": "good", "notes": "x"}, "notes: 'x' is no array"),
        (Review, "good", "'good' is no object"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(tp: Any, value: object, said: str) -> None:
    found = misfit(TypeAdapter(tp).json_schema(), value)
    assert found is not None
    assert said in found


def test_a_reference_that_leads_nowhere_refuses_nothing() -> None:
    assert misfit({"$ref": "#/$defs/Gone"}, 1) is None
    assert misfit({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, 1) is None
