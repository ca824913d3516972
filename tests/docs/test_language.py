"""docs/language.md: its first program does what the page says."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from orchestrator.testing import fake

PAGE = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
PROGRAM, *_ = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture
def triage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "triage_of_the_page.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module("triage_of_the_page").triage
    sys.modules.pop("triage_of_the_page", None)
    linecache.clearcache()


def test_what_the_program_does(triage: Any) -> None:
    with fake(["other", "Hello."]) as engine:
        assert triage("Hi!", "Ada") == "Hello."
    assert len(engine.requests) == 2
    with fake({"classify": "billing", "*": lambda messages: messages[-1].content}):
        assert triage("Twice!", "Ada").endswith('Done so far: ["refunded A-17"]')
    with fake({"classify": "bug", "*": lambda messages: messages[-1].content}):
        assert triage("It is slow", "Ada").endswith("Done so far: nothing")


def test_a_refund_that_fails_is_a_note(triage: Any) -> None:
    def refuse(order: str) -> str:
        raise PermissionError("not you")

    with fake({"classify": "billing", "*": lambda messages: messages[-1].content}, tools={"refund": refuse}):
        assert triage("Twice!", "Ada").endswith('Done so far: ["no refund: not you"]')
