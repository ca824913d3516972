"""The examples in docstrings are as the code is."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("agents", "kernels", "orchestrator", "planner", "runtime")


def _modules() -> list[str]:
    """Those with examples, by the one name that each is imported by."""
    files = {file.resolve() for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")}
    within = (file.relative_to(ROOT) for file in sorted(files) if ">>>" in file.read_text(encoding="utf-8"))
    return [
        ".".join((*(() if path.parts[0] == "orchestrator" else ("orchestrator",)), *path.with_suffix("").parts))
        for path in within
    ]


@pytest.mark.parametrize("name", _modules())
def test_examples_give_what_they_say(name: str) -> None:
    module = importlib.import_module(name.removesuffix(".__init__"))
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert found.attempted > 0 or "doctest: +SKIP" in Path(str(module.__file__)).read_text(encoding="utf-8")
    assert found.failed == 0


def test_modules_are_found() -> None:
    assert {"orchestrator.runtime.tools.threads", "orchestrator.runtime.journal.events"} <= set(_modules())
