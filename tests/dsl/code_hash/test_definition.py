"""The text of a file counts only as long as it is what runs."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from orchestrator.dsl.code_hash import covered
from orchestrator.dsl.code_hash.definition import definition_of_class, definition_of_function

Imported = Callable[..., ModuleType]


def test_an_edited_file_is_no_source_of_what_was_loaded_before(imported: Imported) -> None:
    edited = imported("def f(x):\n    return x + 1\n")
    kept = imported("def f(x):\n    return x + 1\n")
    assert edited.__file__ is not None
    Path(edited.__file__).write_text("def f(x):\n    return x + 2\n")
    linecache.checkcache(edited.__file__)
    assert definition_of_function(edited.f.__code__) is None
    assert "bytecode" in str(covered(edited.f).unseen[0])
    assert definition_of_function(kept.f.__code__) is not None


def test_a_file_that_is_older_than_the_process_is_not_compiled_again(
    imported: Imported, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = imported("def f(x):\n    return x + 1\n")
    assert module.__file__ is not None
    monkeypatch.setattr("orchestrator.dsl.source.syntax._STARTED", Path(module.__file__).stat().st_ctime + 60)
    monkeypatch.setattr("orchestrator.dsl.source.syntax.Source._codes", None)
    assert definition_of_function(module.f.__code__) is not None


def test_classes_are_found_in_functions_and_in_the_arms_of_an_if(imported: Imported) -> None:
    module = imported(
        "def make():\n    class Inner:\n        x = 1\n    return Inner\n"
        "if make:\n    class A:\n        def f(self): return 1\nelse:\n    class A:\n        def f(self): return 2\n"
    )
    found = definition_of_class(module.A)
    assert found is not None
    assert "0x1" in found.text
    assert "0x2" not in found.text
    assert definition_of_class(module.make()) is not None
    assert definition_of_class(type("Made", (), {})) is None


@pytest.mark.parametrize(
    "made",
    [
        "from collections import namedtuple\nC = namedtuple('C', 'a b', defaults=[VALUE])",
        "import enum\nC = enum.Enum('C', {'A': VALUE})",
    ],
)
def test_classes_that_a_call_makes_count_by_what_they_hold(imported: Imported, made: str) -> None:
    hashes = []
    for value in ("1", "2"):
        found = covered(imported(f"{made.replace('VALUE', value)}\ndef f(): return C").f)
        assert found.unseen == ()
        hashes.append(found.hash)
    assert hashes[0] != hashes[1]


def test_another_class_that_a_call_makes_is_named(imported: Imported) -> None:
    found = covered(imported("C = type('C', (), {})\ndef f(): return C").f)
    assert ["its source" in str(each) for each in found.unseen] == [True]


def test_classes_whose_methods_are_made_are_found_in_their_module(imported: Imported) -> None:
    pytest.importorskip("attrs")
    for made in ("import attrs\n@attrs.define", "import dataclasses\n@dataclasses.dataclass(frozen=True)"):
        module = imported(f"{made}\nclass A:\n    x: int = 7\n")
        found = definition_of_class(module.A)
        assert found is not None
        assert "0x7" in found.text
