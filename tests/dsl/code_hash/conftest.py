"""Modules of the user's, written into files and imported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module, invalidate_caches
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest

Imported = Callable[..., ModuleType]


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Imported]:
    """``imported(source, helpers=source)``: the first as a module of any name, the others under theirs."""
    before = set(sys.modules)
    numbers = count()

    def make(source: str, **others: str) -> ModuleType:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        monkeypatch.syspath_prepend(str(folder))
        main = f"main_of_{folder.name}"
        for name, text in {main: source, **others}.items():
            (folder / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        invalidate_caches()
        return import_module(main)

    yield make
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
