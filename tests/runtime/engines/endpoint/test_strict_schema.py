"""What OpenAI takes strictly, and what a schema in these words still says."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from orchestrator.runtime.engines.endpoint.strict_schema import strict_schema, takes_objects


class Tint(Enum):
    LIGHT = "very light"
    DARK = "dark"


class Leaf(BaseModel):
    kind: Literal["leaf"] = "leaf"
    tint: Tint = Field(Tint.DARK, description="how it looks")


class Branch(BaseModel):
    kind: Literal["branch"]
    below: list[Annotated[Leaf | Branch, Field(discriminator="kind")]] = []
    default: str | None = None
    """A field by the name of a keyword."""


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Each schema in there, itself included."""
    if isinstance(schema, dict):
        yield schema
        for each in schema.values():
            yield from objects(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from objects(each)


def test_each_object_is_closed_and_complete_at_any_depth() -> None:
    strict = strict_schema(TypeAdapter(Branch).json_schema())
    assert strict["type"] == "object"
    found = [each for each in objects(strict) if isinstance(each.get("properties"), dict)]
    assert {tuple(each["required"]) for each in found} == {("kind", "below", "default"), ("kind", "tint")}
    assert all(each["additionalProperties"] is False for each in found)


def test_what_strict_mode_does_not_know_is_said_otherwise() -> None:
    strict = strict_schema(TypeAdapter(Branch).json_schema())
    for each in objects({name: each for name, each in strict.items() if name == "$defs"}):
        is_fields = "kind" in each
        assert is_fields or not each.keys() & {"oneOf", "discriminator", "default"}
        assert "$ref" not in each or len(each) == 1
    tint = strict["$defs"]["Leaf"]["properties"]["tint"]
    assert tint == {"anyOf": [{"$ref": "#/$defs/Tint"}], "description": "how it looks"}


def test_values_are_no_schemas() -> None:
    schema = {"enum": [{"default": 1, "oneOf": []}], "const": {"properties": {}}, "examples": [{"default": 2}]}
    assert strict_schema(schema) == schema


def test_a_dict_stays_one() -> None:
    assert strict_schema(TypeAdapter(dict[str, Leaf]).json_schema())["additionalProperties"] == {"$ref": "#/$defs/Leaf"}


@pytest.mark.parametrize(
    ("tp", "takes"),
    [
        (Branch, True),
        (Leaf | Branch, True),
        (Leaf | None, True),
        (dict[str, int], True),
        (Any, True),
        (list[Leaf], False),
        (Tint, False),
        (int | None, False),
        (Literal["a", 1], False),
        (tuple[int, str], False),
    ],
)
def test_whether_an_object_may_fit(tp: Any, takes: bool) -> None:
    assert takes_objects(TypeAdapter(tp).json_schema()) is takes


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


def test_a_model_that_takes_further_fields_is_closed_as_well() -> None:
    assert Open.model_json_schema()["additionalProperties"] is True
    assert strict_schema(Open.model_json_schema())["additionalProperties"] is False
