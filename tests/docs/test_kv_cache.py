"""The page about KV names every hint and every option, with its default."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from orchestrator.runtime.kv.hints import PREFIX, KvHint
from orchestrator.runtime.kv.retention_options import RetentionOptions

PAGE = (Path(__file__).parents[2] / "docs" / "kv-cache.md").read_text(encoding="utf-8")


def test_it_names_every_hint_and_no_other() -> None:
    assert set(re.findall(rf"`{PREFIX}(\w+)", PAGE)) - {"session"} == {field.name for field in fields(KvHint)}


@pytest.mark.parametrize("option", fields(RetentionOptions), ids=lambda option: option.name)
def test_it_names_every_option_with_its_default(option: object) -> None:
    name, default = option.name, option.default  # type: ignore[attr-defined]
    (row,) = re.findall(rf"^\| `{name}` \| (.*?) \|", PAGE, re.MULTILINE)
    if isinstance(default, bool):
        assert row == str(default).lower()
    elif default is not None:
        assert float(row) == default
