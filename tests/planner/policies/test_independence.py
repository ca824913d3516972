"""The runtime calls the same functions, so they may depend on nothing but each other and the standard library."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from orchestrator.planner import policies

FILES = sorted(Path(policies.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_policies_import_policies_and_the_standard_library_only(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert names
    foreign = [name for name in names if name.split(".")[0] not in sys.stdlib_module_names]
    assert [name for name in foreign if not name.startswith("orchestrator.planner.policies.")] == []
