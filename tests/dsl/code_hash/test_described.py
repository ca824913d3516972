"""Words about the fields of a class are no part of what its users do; arguments of other functions are."""

from __future__ import annotations

import pytest

from orchestrator.dsl.code_hash import code_hash
from tests.dsl.code_hash.conftest import Imported

SOURCE = """
from typing import Annotated
import pydantic
from pydantic import BaseModel, Field
from helpers import Label

ABOUT = "rows"

class Query(BaseModel):
    sql: str = Field(description="a query", title="SQL")
    rows: Annotated[int, pydantic.Field(description=ABOUT, examples=[3], ge=0)] = 3
    label: Label = Label(title="label")

    def described(self): return Field(description="made when it runs")

def tool(query: Query): return query.described()
"""
HELPERS = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Label:
    title: str
"""


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("a query", "another", True),
        (', title="SQL"', "", True),
        ('ABOUT = "rows"', 'ABOUT = "lines"', True),
        ("examples=[3], ", "", True),
        ("ge=0", "ge=1", False),
        ('title="label"', 'title="other"', False),
        ("made when it runs", "made then", False),
        ("pydantic import BaseModel, Field", "pydantic import BaseModel, Field as Field", True),
    ],
)
def test_words_about_fields(imported: Imported, old: str, new: str, *, is_same: bool) -> None:
    assert old in SOURCE
    hashes = [code_hash(imported(text, helpers=HELPERS).tool) for text in (SOURCE, SOURCE.replace(old, new))]
    assert (hashes[0] == hashes[1]) == is_same
