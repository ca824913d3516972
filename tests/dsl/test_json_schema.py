"""The schema of a reply is in the order in which a model is to write it."""

from __future__ import annotations

import json

from pydantic import BaseModel

from orchestrator.dsl.models.offered import offered
from orchestrator.dsl.tool import tool
from orchestrator.dsl.types.typing import json_schema


class Judged(BaseModel):
    reasoning: str
    answer: str


def test_fields_are_in_the_order_in_which_they_are_declared() -> None:
    schema = json.loads(json_schema(list[Judged]) or "")
    assert list(schema["$defs"]["Judged"]["properties"]) == ["reasoning", "answer"]


def test_a_thought_comes_before_its_action_and_parameters_as_they_are_written() -> None:
    @tool(effects="pure")
    def search(query: str, limit: int = 3, any_of: bool = False) -> str:
        return f"{query} {limit} {any_of}"

    known = offered("llm", [search])
    assert list(json.loads(known.schema)["properties"]) == ["thought", "action"]
    assert list(json.loads(known.tools)[0]["parameters"]["properties"]) == ["query", "limit", "any_of"]
