"""A text is refused for words about its types and tools where a model is shown them, and nowhere else."""

from __future__ import annotations

import json
import linecache
from pathlib import Path

import pytest

from tests.cli.conftest import Orch

FLOW = '''
from typing import Annotated
from enum import Enum

import pydantic
from pydantic import BaseModel, Field
from orchestrator import Reply, llm, react, tool, workflow

class Kind(Enum):
    """Kinds there are."""
    ONE = "one"

class Inner(BaseModel):
    """About the inner."""
    description: str = Field("x", description="about x", examples=["y"])
    title: Annotated[int, pydantic.Field(title="Number")] = 3
    kind: Kind = Kind.ONE

class Query(BaseModel):
    """About the query."""
    sql: str
    inner: Inner

@tool(effects="pure")
def look(inner: Inner) -> str:
    """The first line.

    The third line.
    """
    return inner.description

@tool(effects="pure")
def written(query: Query) -> str:
    """About written."""
    return query.sql

@workflow
def offers(question: str) -> Reply:
    """About the workflow."""
    return llm(question, tools=[look])

@workflow
def agent(question: str) -> str:
    """About the workflow."""
    return react(question, [look])

@workflow
def called(question: Query) -> str:
    """About the workflow."""
    return written(question)

@workflow
def structured(question: str) -> str:
    """About the workflow."""
    return written(llm(question, returns=Query))
'''
FLOWS = ("offers", "agent", "called", "structured")


@pytest.fixture
def texts(orch: Orch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("flow.py").write_text(FLOW)
    for name in FLOWS:
        assert orch("compile", f"flow.py:{name}", "-o", f"{name}.mlir").err == ""
    return tmp_path / "flow.py"


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        ("About the workflow.", "Another.", {}),
        ("About written.", "Another.", {}),
        ("About the query.", "Another.", {"structured": "`description` of `schema` is About the query., and must be"}),
        ("About the inner.", "Another.", {"structured": "`$defs.Inner.description`", "agent": "of `tools`"}),
        ("Kinds there are.", "Others.", {"structured": "`$defs.Kind.description`", "agent": "of `tools`"}),
        ('description="about x"', 'description="z"', {"structured": "of `schema`", "agent": "of `tools`"}),
        (', examples=["y"]', "", {"structured": "of `schema`", "agent": "of `tools`"}),
        ('title="Number"', 'title="No"', {"structured": "of `schema`", "agent": "of `tools`"}),
        (
            "    sql: str\n    inner: Inner",
            "    inner: Inner\n    sql: str",
            {"structured": "`written`", "called": "`written`"},
        ),
        ("The third line.", "Another.", {"agent": "`0.description` of `tools`"}),
        ("The first line.", "Another.", {"agent": "tool `builtin.read_call_"}),
        ('Field("x",', 'Field("z",', {"structured": "`written`", "called": "`written`", "agent": "`look`"}),
        ("= 3", "= 4", {"structured": "`written`", "called": "`written`", "agent": "`look`"}),
        ('ONE = "one"', 'ONE = "two"', {"structured": "`written`", "called": "`written`", "agent": "`look`"}),
    ],
)
def test_words_count_where_a_model_is_shown_them(
    orch: Orch, texts: Path, old: str, new: str, refused: dict[str, str]
) -> None:
    assert old in FLOW
    before = {name: json.loads(orch("compile", f"flow.py:{name}", "--json").out)["hash"] for name in FLOWS}
    texts.write_text(FLOW.replace(old, new))
    linecache.clearcache()  # each command is as in a process of its own
    for name in FLOWS:
        is_same = json.loads(orch("compile", f"flow.py:{name}", "--json").out)["hash"] == before[name]
        ended = orch("check", f"{name}.mlir", "--json")
        errors = [] if ended.code == 0 else json.loads(ended.out)["errors"]
        said = " ".join(each["message"] for each in errors)
        assert ({each["code"] for each in errors} == {"ORCH-U016"}) == (name in refused), (name, errors)
        assert refused.get(name, "") in said
        assert is_same == (name not in refused) or name == "offers"  # no tool is named there: the text says all


def test_a_text_with_words_in_its_types_is_read(orch: Orch, texts: Path) -> None:
    text = Path("called.mlir").read_text()
    schema = r'schema = "{\22$defs\22: {'
    assert schema in text
    Path("called.mlir").write_text(text.replace(schema, schema.replace("{", r"{\22title\22: \22Old\22, ", 1)))
    assert orch("check", "called.mlir").code == 0
