"""Fields of generic models have the types that their arguments say."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel

from orchestrator import llm, workflow
from orchestrator.testing import fake

T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    one: T
    many: list[T] = []


class Boxes(BaseModel):
    number: Box[int]
    text: Box[str]


@workflow
def opened(question: str) -> str:
    boxes = llm(question, returns=Boxes)
    last = llm(question, returns=Box[bool]).one
    return f"{boxes.number.one + 1} {boxes.text.one.upper()} {sum(boxes.number.many)} {last}"


def test_each_argument_takes_the_place_of_its_variable() -> None:
    boxes = {"number": {"one": 3, "many": [1, 2]}, "text": {"one": "x"}}
    with fake([boxes, {"one": True}]):
        assert opened("q") == "4 X 3 True"
