"""What is rewritten is the text that Python has loaded, under its own file and lines."""

from __future__ import annotations

import gc
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from orchestrator.dsl.rewrite import function
from orchestrator.dsl.rewrite.function import rewrite, source_of
from orchestrator.dsl.source import location
from orchestrator.errors import TraceError
from tests.dsl.recording import record

Loaded = Callable[[str, str], ModuleType]

CHOOSES = "def choose(x):\n    return 'a' if x else 'b'\n"


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """``loaded(name, source)``: the module of a file, which may have been there with another text."""

    def load(name: str, source: str) -> ModuleType:
        file = tmp_path / name
        file.write_text(source)
        spec = spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        exec(compile(source, file, "exec", dont_inherit=True), vars(module))
        return module

    return load


def test_functions_with_equal_code_keep_their_own_files(loaded: Loaded) -> None:
    first, second = loaded("first.py", CHOOSES).choose, loaded("second.py", CHOOSES).choose
    assert first.__code__ == second.__code__
    files = [Path(rewrite(each).__code__.co_filename).name for each in (first, second)]
    assert files == ["first.py", "second.py"]


def test_a_file_that_is_loaded_again_is_read_again(loaded: Loaded) -> None:
    assert "'a'" in str(source_of(loaded("flow.py", CHOOSES).choose))
    again = loaded("flow.py", CHOOSES.replace("'a'", "'other'")).choose
    assert "'other'" in str(source_of(again))
    assert rewrite(again)(True) == "other"


def test_the_text_that_was_known_when_a_file_was_edited_is_that_of_its_functions(
    loaded: Loaded, tmp_path: Path
) -> None:
    choose = loaded("flow.py", CHOOSES).choose
    assert source_of(choose) is not None
    (tmp_path / "flow.py").write_text(CHOOSES.replace("'a'", "'other'"))
    assert rewrite(choose)(True) == "a"


def test_an_edited_file_is_not_the_source_of_what_was_loaded_before(loaded: Loaded, tmp_path: Path) -> None:
    choose = loaded("flow.py", CHOOSES).choose
    (tmp_path / "flow.py").write_text(CHOOSES.replace("'a'", "'other'"))
    with pytest.warns(UserWarning, match="the source of workflow `choose` is not to be had, or not what runs"):
        assert rewrite(choose) is choose
    assert source_of(choose) is None


STATEMENTS = """\
from orchestrator import llm, workflow


@workflow
def flow(task: str, names: list[str]) -> str:
    draft = llm(task)
    if draft == "x":
        draft = llm("a")
        draft += llm("b")
    for name in names:
        draft += llm(
            name
        )
    while draft != "y":
        draft = llm(draft)
        draft = llm(draft)
    match draft:
        case "z":
            return llm("c")
        case _:
            return llm("d")
"""


def test_the_op_of_a_statement_is_where_the_statement_begins(loaded: Loaded) -> None:
    ops = record(loaded("statements.py", STATEMENTS).flow).ops
    assert [op.where.line for op in ops if op.kind in ("branch", "loop", "switch")] == [7, 10, 14, 17]


ONE_PATH = """\
from orchestrator import llm, workflow


@workflow
def flow(task: str) -> str:
    draft = llm(task)
    if draft == "x":
        note = "fine"
        draft = "y"
    return note
"""


def test_a_name_that_one_path_leaves_unbound_names_the_line_of_the_test(loaded: Loaded) -> None:
    with pytest.raises(TraceError, match="the `else` of line 7 does not bind it"):
        loaded("one_path.py", ONE_PATH).flow.trace()


FLOW = """
from orchestrator import tool, workflow

@tool(effects="pure")
def size(text: str) -> int:
    return len(text)

@workflow
def flow(text: str) -> int:
    count = 0
    for word in text.split():
        if size(word) > 2:
            count += 1
    return count
"""


def _known() -> list[int]:
    return [len(function._made), len(function._linted), len(location._rewritten)]


def test_what_is_known_of_a_function_goes_with_it(loaded: Loaded) -> None:
    gc.collect()
    before = _known()
    flow = loaded("flow.py", FLOW).flow
    flow.trace()
    during = _known()
    assert all(now > then for now, then in zip(during, before, strict=True))
    del flow
    gc.collect()
    assert _known() == before
