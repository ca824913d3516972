"""What the documentation shows as right is right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.dsl.declared.policy import parse_budget

DOCS = Path(__file__).parents[1] / "docs"
TABLE = (DOCS / "effects-and-budgets.md").read_text().partition("## Budgets")[2].partition("The budget of an op")[0]


@pytest.mark.parametrize("text", re.findall(r'`"([^"]+)"`', TABLE))
def test_budgets_in_the_documentation_can_be_read(text: str) -> None:
    parse_budget(text)
