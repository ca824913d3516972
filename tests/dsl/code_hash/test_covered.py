"""A hash changes with what a function does, and with nothing else; what it cannot cover is named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from orchestrator import tool
from orchestrator.dsl.code_hash import code_hash, covered

Imported = Callable[..., ModuleType]

SOURCE = """
import enum, functools, re
from dataclasses import dataclass, field
import helpers
from helpers import Base, helper

LIMIT = 3
NAMES = ("a", frozenset({"b", 1, (2, "c")}))
PATTERN = re.compile("a+")

class Colour(enum.Enum):
    RED = 1
    BLUE = 2

@dataclass(frozen=True)
class Settings:
    rate: float = 0.5
    colour: Colour = Colour.RED

SETTINGS = Settings()

class Service(Base):
    def run(self, x): return self.step(x)
    def step(self, x): return x * 2

def logged(f):
    @functools.wraps(f)
    def call(*given): return f(*given)
    return call

@logged
def decorated(x): return x - 5

def own(x): return own(x - 1) if x else f(x)

def f(x: int, y: int = 2, *, z: tuple[int, ...] = (7, 8)) -> int:
    total: int = helper(x) + helpers.RATE + LIMIT + SETTINGS.rate
    chosen = [each for each in NAMES if each in {1, "q", 2} and PATTERN.match(each)]
    return total + Service().run(x) + decorated(y) + own(x) + (Colour.BLUE is not None)
"""
HELPERS = """
RATE = 11
def inner(x): return x + 1
def helper(x): return inner(x)
class Base:
    def go(self): return 21
"""


def hash_of(imported: Imported, source: str = SOURCE, helpers: str = HELPERS) -> str:
    found = covered(imported(source, helpers=helpers).f)
    assert found.unseen == ()
    return found.hash


@pytest.mark.parametrize(
    "same",
    [
        ("\ndef f", "\n\n\n# a comment\ndef f"),
        ("int:\n    total", "int:\n    'A docstring.'\n    total"),
        ("x: int, y: int = 2", "x: float, y = 2"),
        ("total: int = ", "total = "),
        ('{1, "q", 2}', "{1,'q',\n   2}"),
        ("    chosen", "    pass; ...\n    chosen"),
        ("return x * 2", "return (x * 2)  # twice"),
        ("def decorated(x): ", "def decorated(x):\n    'Text.'\n    "),
        ("def helper(x):", "def helper(x: 'int') -> int:"),
        ("LIMIT = 3", "UNUSED = 4\nLIMIT = 2 + 1"),
        ("f(*given)\n", "f(*given)\n\n"),
        ("class Service(Base):", "class Service(Base):\n    '''A docstring.'''\n"),
    ],
)
def test_unchanged_by(imported: Imported, same: tuple[str, str]) -> None:
    assert same[0] in SOURCE + HELPERS
    assert hash_of(imported, SOURCE.replace(*same), HELPERS.replace(*same)) == hash_of(imported)


@pytest.mark.parametrize(
    "change",
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("LIMIT = 3", "LIMIT = 3.0"),
        ("LIMIT = 3", "LIMIT = True + 2.0"),
        ('(2, "c")', '(2, "d")'),
        ('"a+"', '"b+"'),
        ("RED = 1", "RED = 9"),
        ("rate: float = 0.5", "rate: float = 0.6"),
        ("SETTINGS = Settings()", "SETTINGS = Settings(0.7)"),
        ("SETTINGS = Settings()", "SETTINGS = Settings(colour=Colour.BLUE)"),
        ("x * 2", "x * 3"),
        ("f(*given)", "f(*given[::-1])"),
        ("x - 5", "x - 6"),
        ("own(x - 1)", "own(x - 2)"),
        ("y: int = 2", "y: int = 3"),
        ("(7, 8)", "(7, 9)"),
        ('"q"', '"r"'),
        ("Colour.BLUE is", "Colour.RED is"),
        ("is not None", "is None"),
        ("x + 1", "x + 2"),
        ("RATE = 11", "RATE = 12"),
        ("return 21", "return 22"),
    ],
)
def test_changed_by(imported: Imported, change: tuple[str, str]) -> None:
    assert change[0] in SOURCE + HELPERS
    assert hash_of(imported, SOURCE.replace(*change), HELPERS.replace(*change)) != hash_of(imported)


def test_equal_in_every_process_and_folder(imported: Imported, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text("# moved\n\n" + SOURCE)
    (tmp_path / "helpers.py").write_text("import math\n" + HELPERS)
    command = "import elsewhere; from orchestrator.dsl.code_hash import code_hash; print(code_hash(elsewhere.f))"
    for seed in ("1", "2"):
        path = os.pathsep.join([str(tmp_path), *sys.path])
        run = subprocess.run(
            [sys.executable, "-c", command],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": path},
        )
        assert run.stdout.strip() == hash_of(imported)


def test_the_same_under_every_version_of_python(imported: Imported) -> None:
    assert hash_of(imported) == "dc70b373eea82e0b"


READS = """
import os, sqlite3, threading, logging
from os import environ
from pathlib import Path
import helpers

FOLDER, COUNT = Path(__file__).parent, 0
def counted():
    global COUNT
    COUNT += 1
    return COUNT
counted.calls = {}

DB = sqlite3.connect(":memory:")
LOCK, LOG = threading.Lock(), logging.getLogger("x")
PRICES = {"a": 1}
BOTH = (1, [2])

class Client:
    cache = []
    def __init__(self): self.open = True
    def ask(self, q): return PRICES[q]

CLIENT = Client()

def make():
    held = [1]
    def inner(): return held
    return inner

CLOSURE = make()
"""
OF_CLIENT = ["`Client` reads `PRICES` (a dict)", "`Client` reads `Client.cache` (a list)"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("DB.execute('')", ["`f` reads `DB` (a sqlite3.Connection)"]),
        ("PRICES['a']", ["`f` reads `PRICES` (a dict)"]),
        ("BOTH", ["`f` reads `BOTH[1]` (a list)"]),
        ("CLIENT.ask(1)", [*OF_CLIENT, "`f` reads `CLIENT` (a MAIN.Client)"]),
        ("Client.cache", ["`f` reads `Client.cache` (a list)", *OF_CLIENT]),
        ("CLOSURE()", ["`inner` reads `held` (a list)"]),
        ("helpers.TABLE", ["`f` reads `helpers.TABLE` (a dict)"]),
        ("helpers.later", ["`f` reads `helpers.later` (not there yet)"]),
        ("getattr(helpers, 'x')", ["`f` reads `helpers` (a module, as a whole)"]),
        ("missing", ["`f` reads `missing` (not there yet)"]),
        ("os.environ['A']", ["`f` reads `os.environ` (the environment)"]),
        ("os.getenv('A')", ["`f` reads `os.getenv` (the environment)"]),
        ("environ['A']", ["`f` reads `environ` (the environment)"]),
        ("open('x').read()", ["`f` reads `open` (a file)"]),
        ("Path('x').read_text()", ["`f` reads `read_text` (a file)"]),
        ("FOLDER", ["`f` reads `FOLDER` (a PATH)"]),
        ("COUNT", ["`f` reads `COUNT` (a name that a function binds anew)"]),
        ("counted()", ["`counted` reads `COUNT` (a name that a function binds anew)"]),
        (
            "counted.calls",
            ["`counted` reads `COUNT` (a name that a function binds anew)", "`f` reads `counted.calls` (a dict)"],
        ),
        ("helpers.STATE", ["`f` reads `helpers.STATE` (a name that a function binds anew)"]),
        ("__file__ + __name__", []),
        ("[LOCK, LOG, os.sep, len, Exception]", []),
        ("[DB for DB in ()]", []),
        ("(lambda PRICES: PRICES)(1)", []),
    ],
)
def test_what_is_read_beside_is_named_and_left_out(imported: Imported, body: str, said: list[str]) -> None:
    helpers = "TABLE, STATE = {}, 1\ndef change():\n    global STATE\n    STATE = 2"
    first = imported(f"{READS}\ndef f(): return {body}", helpers=helpers)
    second = imported(f"{READS.replace(': 1', ': 2').replace('[2]', '[3]')}\ndef f(): return {body}", helpers=helpers)
    found = covered(first.f)
    path = f"{type(first.FOLDER).__module__}.{type(first.FOLDER).__qualname__}"
    said = [each.replace("MAIN", first.__name__).replace("PATH", path) for each in said]
    assert sorted(map(str, found.unseen)) == sorted(said)
    assert found.hash == covered(second.f).hash


def test_a_module_that_is_imported_when_the_function_runs(imported: Imported) -> None:
    source = "def f():\n    import json, helpers, pydantic\n    from .near import x"
    found = covered(imported(source, helpers="").f)
    assert [each.name for each in found.unseen] == ["helpers", ".near"]
    assert found.packages == ("pydantic",)


@pytest.mark.parametrize(
    ("default", "said"), [("[1]", []), ("{'a': [2]}", []), ("[LIMIT]", ["`f` reads `x` (a list, its default)"])]
)
def test_a_default_that_can_change_counts_as_it_is_written(imported: Imported, default: str, said: list[str]) -> None:
    made = imported(f"LIMIT = 1\ndef f(x={default}): return x").f
    before = covered(made)
    made.__defaults__[0].clear()
    assert covered(made) == before
    assert list(map(str, before.unseen)) == said


def test_names_that_only_annotations_use_need_not_be_there(imported: Imported) -> None:
    source = (
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a import B\n"
        "class C:\n    b: B\n    def m(self, b: B) -> B: return b\ndef f(c: C) -> B: return C()"
    )
    assert covered(imported(source).f).unseen == ()


def test_a_model_that_remembers_what_it_has_computed_is_still_what_it_was(imported: Imported) -> None:
    module = imported(
        "from functools import cached_property\nfrom typing import Generic, TypeVar\n"
        "from pydantic import BaseModel, ConfigDict\nT = TypeVar('T')\n"
        "class A(BaseModel, Generic[T]):\n    model_config = ConfigDict(frozen=True)\n    x: T\n"
        "    @cached_property\n    def twice(self): return self.x * 2\n"
        "VALUE = A[int](x=1)\ndef f(): return VALUE.twice"
    )
    before = covered(module.f)
    assert module.f() == 2
    assert covered(module.f) == before
    assert before.unseen == ()


def test_functions_on_one_line_are_told_apart(imported: Imported) -> None:
    module = imported("both = [lambda x: x + 1, lambda x: x + 2]")
    assert code_hash(module.both[0]) != code_hash(module.both[1])


def test_what_a_partial_holds_is_named_as_it_is_given(imported: Imported) -> None:
    module = imported("from functools import partial\ndef g(x, y): return x\nf = partial(g, 1, y=[2])")
    assert [str(each) for each in covered(module.f).unseen] == ["`g` reads `y=` (a list)"]


def test_nothing_is_asked_of_an_object(imported: Imported) -> None:
    module = imported(
        "class Lazy:\n    @property\n    def __class__(self): raise RuntimeError\n"
        "    def __getattr__(self, name): raise RuntimeError(name)\n    def __init__(self): self.x = 1\n"
        "LAZY = Lazy()\ndef f(): return LAZY.value"
    )
    assert [each.name for each in covered(module.f).unseen] == ["LAZY"]


def test_a_table_of_constants_may_be_long(imported: Imported) -> None:
    source = "TABLE = tuple(range(300_000)) + (LAST,)\nKEYS = frozenset(TABLE)\ndef f(): return TABLE, KEYS"
    assert code_hash(imported(source.replace("LAST", "1")).f) != code_hash(imported(source.replace("LAST", "-1")).f)


def test_a_container_that_holds_itself() -> None:
    container: list[Any] = [1]
    container.append(container)

    def function() -> Any:
        return container

    assert [str(each) for each in covered(function).unseen] == ["`function` reads `container` (a list)"]


def test_closures_count() -> None:
    def make(limit: int) -> Callable[[int], int]:
        return lambda x: x + limit

    assert code_hash(make(1)) == code_hash(make(1))
    assert code_hash(make(1)) != code_hash(make(2))
    assert code_hash(partial(make, 1)) != code_hash(partial(make, 2))


def test_a_method_counts_with_the_methods_it_calls(imported: Imported) -> None:
    assert code_hash(imported(SOURCE, helpers=HELPERS).Service().run) != code_hash(
        imported(SOURCE.replace("x * 2", "x * 3"), helpers=HELPERS).Service().run
    )


def test_the_object_of_a_method_is_named_where_it_holds_something(imported: Imported) -> None:
    module = imported(READS, helpers="")
    said = [str(each) for each in covered(module.CLIENT.ask).unseen if "cache" not in each.name]
    assert said == ["`ask` reads `PRICES` (a dict)", f"`ask` reads `self` (a {module.__name__}.Client)"]


def test_recursive_functions_end() -> None:
    def down(n: int) -> int:
        return n and down(n - 1)

    assert len(code_hash(down)) == 16


def test_effects_count_and_policies_do_not() -> None:
    def f(x: int) -> int:
        return x

    assert tool(f).code != tool(f, effects="pure").code
    assert tool(f).code == tool(f, retry=3, timeout="5s", name="g").code


def test_policies_of_a_tool_within_a_class_do_not_count(imported: Imported) -> None:
    def source(options: str) -> str:
        return (
            "from orchestrator import tool\nclass A:\n    @tool(effects='pure')\n    def g(self): return 1\n"
            "def f(): return A().g()"
        ).replace("effects='pure'", options)

    plain = code_hash(imported(source("effects='pure'")).f)
    assert code_hash(imported(source("effects='pure', retry=4")).f) == plain
    assert code_hash(imported(source("effects='once'")).f) != plain


def test_a_tool_counts_the_models_in_its_annotations(imported: Imported) -> None:
    source = "from pydantic import BaseModel\nclass A(BaseModel):\n    x: int = 1\ndef f(a: 'list[A]') -> None: ..."
    assert code_hash(imported(source).f) != code_hash(imported(source.replace("= 1", "= 2")).f)


def test_a_function_of_a_module_whose_name_is_no_text() -> None:
    names: dict[str, Any] = {"__name__": "caf\udce9"}
    exec("def function(): return 1", names)
    assert len(code_hash(names["function"])) == 16


def executed(source: str) -> Any:
    names: dict[str, Any] = {"__name__": "m"}
    exec(source, names)
    return covered(names["f"])


def test_without_a_source_it_is_the_bytecode_and_that_is_said() -> None:
    source = (
        "def helper(x): return x + 1\nLIMIT = 3\ndef f(x, y=2): return [helper(v) for v in (x, LIMIT) if v in {1, 'a'}]"
    )
    plain = executed(source)
    assert [each.reader for each in plain.unseen] == ["f", "helper"]
    assert "bytecode" in str(plain.unseen[0])
    assert executed("\n# moved\n" + source).hash == plain.hash
    for change in [("x + 1", "x + 2"), ("= 3", "= 4"), ("y=2", "y=3"), ("'a'", "'b'"), ("(x, LIMIT)", "(LIMIT, x)")]:
        assert executed(source.replace(*change)).hash != plain.hash


@pytest.mark.parametrize("calls", ["step_{next}(x)", "[step_{next}][0](x)"])
def test_chains_of_functions_may_be_long(imported: Imported, calls: str) -> None:
    count = 1500

    def chain(last: str) -> str:
        lines = [f"def step_{n}(x): return {calls.format(next=n + 1)}" for n in range(count)]
        return "\n".join([*lines, f"def step_{count}(x): return {last}", "f = step_0"])

    assert code_hash(imported(chain("x")).f) != code_hash(imported(chain("x + 1")).f)
    assert executed(chain("x")).hash != executed(chain("x + 1")).hash


def test_defaults_may_be_nested_deeply(imported: Imported) -> None:
    def nested(inside: int) -> str:
        return f"v = {inside}\nfor _ in range(5000): v = (v,)\ndef f(x=v): return x"

    assert code_hash(imported(nested(1)).f) != code_hash(imported(nested(2)).f)


def test_sets_within_sets_end_with_a_word(imported: Imported) -> None:
    found = covered(imported("v = frozenset()\nfor _ in range(300): v = frozenset({v})\ndef f(): return v").f)
    assert [str(each) for each in found.unseen] == ["`f` reads `v` (sets within sets)"]


def test_the_versions_of_libraries_are_beside_the_hash(imported: Imported) -> None:
    import pydantic

    found = covered(imported("import json\nfrom pydantic import BaseModel as B\ndef f(): return json, B").f)
    assert found.versions == {"pydantic": pydantic.VERSION}
