"""What a compiled form depends on: whatever tracing again would find changed has its effect."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator import call, llm, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import TraceError
from orchestrator.testing import fake
from tests.notebook import cell, prompt_of


class Settings(BaseModel):
    tone: str = "kind"
    more: list[str] = []


@dataclass
class Style:
    tones: list[str] = field(default_factory=list)


class Plain:
    def __init__(self) -> None:
        self.tone = "kind"
        self.count = 0


WORDS: Any = None


def asked(q: str) -> str:
    return llm(f"{WORDS} {q}")


def attribute(q: str) -> str:
    return llm(f"{WORDS.tone} {q}")


def helped(q: str) -> str:
    return asked(q)


def _append(value: Any) -> None:
    value.append("more")


CHANGES: list[tuple[Any, Callable[[Any], None]]] = [
    (["a"], _append),
    ([1, 2], lambda value: value.__setitem__(0, True)),
    ([["a"], "b"], lambda value: _append(value[0])),
    ({"a": [1]}, lambda value: _append(value["a"])),
    ({"a": 1}, lambda value: value.update(a=2)),
    ({"a", "b"}, lambda value: value.discard("b")),
    (([1], 2), lambda value: _append(value[0])),
    (Settings(), lambda value: setattr(value, "tone", "rude")),
    (Settings(), lambda value: _append(value.more)),
    (Style(), lambda value: _append(value.tones)),
]


@pytest.mark.parametrize(("value", "change"), CHANGES)
@pytest.mark.parametrize("function", [asked, helped])
def test_a_constant_that_is_changed(
    function: Any, value: Any, change: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "WORDS", value)
    flow = workflow(function)
    assert prompt_of(flow) == f"{value} x"
    change(value)
    assert prompt_of(flow) == f"{value} x"


def test_an_attribute_of_an_object_or_a_module_that_is_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "prompts_of_a_test.py").write_text("tone = 'kind'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = __import__("prompts_of_a_test")
    monkeypatch.setitem(sys.modules, "prompts_of_a_test", module)
    for holder in (Plain(), module, types.SimpleNamespace(tone="kind"), Settings()):
        monkeypatch.setitem(globals(), "WORDS", holder)
        flow = workflow(attribute)
        assert prompt_of(flow) == "kind x"
        holder.tone = "rude"
        assert prompt_of(flow) == "rude x"


def test_an_attribute_that_the_code_does_not_name_costs_no_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    holder = Plain()
    monkeypatch.setitem(globals(), "WORDS", holder)
    flow = workflow(attribute)
    first = compile_workflow(flow)
    holder.count += 1
    assert compile_workflow(flow) is first


def test_a_class_that_is_defined_again() -> None:
    names: dict[str, Any] = {"__name__": "notebook"}
    cell(names, "from orchestrator import *\nfrom pydantic import BaseModel\nclass Q(BaseModel):\n    a: int\n")
    cell(names, "@workflow\ndef flow(x: str) -> str:\n    return f'{llm(x, returns=Q)}'\n")
    with fake(lambda messages: '{"a": 1, "b": 2}'):
        assert names["flow"]("x") == '{"a":1}'
        cell(names, "class Q(BaseModel):\n    a: int\n    b: int\n")
        assert names["flow"]("x") == '{"a":1,"b":2}'


def test_a_class_that_is_defined_again_without_what_names_it_is_told_apart() -> None:
    names: dict[str, Any] = {"__name__": "notebook"}

    def run(source: str) -> None:
        exec(compile(source, "<cell>", "exec", dont_inherit=True), names)  # annotations are evaluated at once

    declared = (
        "class Part(BaseModel):\n    size: int = 1\n"
        "@tool(effects='pure')\ndef part(n: int) -> Part: return Part(size=n)\n"
    )
    run("from orchestrator import tool, workflow\nfrom pydantic import BaseModel\n" + declared)
    run("@workflow\ndef flow(n: int) -> Part: return part(n)\n")
    run(declared)
    with pytest.raises(TraceError, match="expects Part, but gets another type of that name") as caught, fake():
        names["flow"](3)
    assert "defined with the earlier class" in (caught.value.diagnostics[0].fix or "")
    run("@workflow\ndef flow(n: int) -> Part: return part(n)\n")  # as it says
    with fake():
        assert names["flow"](3).size == 3


def test_a_tool_that_is_made_again_around_another_object() -> None:
    names: dict[str, Any] = {"__name__": "notebook"}
    cell(names, "from orchestrator import *\n")
    cell(
        names,
        "def made(stock):\n    @tool\n    def take() -> str:\n        return stock.pop()\n    return take\n"
        "take = made(['first'])\n@workflow\ndef flow(x: str) -> str:\n    return take()\n",
    )
    with fake():
        assert names["flow"]("x") == "first"
        cell(names, "take = made(['second'])\n")
        assert names["flow"]("x") == "second"


def test_a_sub_workflow_that_is_declared_otherwise() -> None:
    names: dict[str, Any] = {"__name__": "notebook"}
    cell(names, "from orchestrator import *\ndef inner(x: str) -> str:\n    return llm(x)\nsub = workflow(inner)\n")
    cell(names, "@workflow\ndef flow(x: str) -> str:\n    return sub(x)\n")
    with fake(["a", "b"]):
        names["flow"]("x")
        cell(names, "sub = workflow(model='other')(inner)\n")
        first = compile_workflow(names["flow"])
    assert 'model = "other"' in first.level1


def _shout(text: str) -> str:
    return text.upper()


@pytest.mark.parametrize("declared", [{"cheap": True}, {"kind": "retrieve"}, {"timeout": 5}, {"typical_s": 2.0}])
def test_a_tool_that_is_declared_otherwise(declared: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def through(q: str) -> str:
        return WORDS(q)

    monkeypatch.setitem(globals(), "WORDS", tool(_shout, effects="pure"))
    flow = workflow(through)
    first = compile_workflow(flow)
    monkeypatch.setitem(globals(), "WORDS", tool(_shout, effects="pure", **declared))
    assert compile_workflow(flow) is not first


@pytest.mark.parametrize("name", ["effects", "timeout", "name", "typical_s", "pause_features", "retry", "kind"])
@pytest.mark.parametrize("wrong", [["x"], None, {}, object()])
def test_a_declaration_that_is_wrong_is_reported_as_such(
    name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def through(q: str) -> str:
        return WORDS(q)

    monkeypatch.setitem(globals(), "WORDS", tool(_shout, **{name: wrong}))  # type: ignore[call-overload]
    if wrong is None and name in ("timeout", "typical_s", "retry"):
        compile_workflow(workflow(through))
        return
    with pytest.raises(TraceError) as caught:
        compile_workflow(workflow(through))
    assert caught.value.diagnostics[0].fix


def test_what_is_no_workflow_cannot_be_compiled() -> None:
    with pytest.raises(TraceError, match="no workflow") as caught:
        compile_workflow(asked)  # type: ignore[arg-type]
    assert caught.value.diagnostics[0].where.file == __file__  # type: ignore[union-attr]


class Agent:
    def __init__(self, name: str) -> None:
        self.name = name
        self.log: list[str] = []

    @tool
    def note(self, text: str) -> str:
        self.log.append(text)
        return f"{self.name} {text}"

    @workflow
    def run(self, q: str, tone: str = "kind") -> str:
        """Answer."""
        return f"{self.note(llm(f'{self.name} {tone} {q}'))} {call(self.plain, q)}"

    def plain(self, text: str) -> str:
        return f"{text} of {self.name}"


def test_methods_are_tools_and_workflows_of_their_object() -> None:
    ada, bob = Agent("Ada"), Agent("Bob")
    with fake(lambda messages: messages[-1].content) as engine:
        assert ada.run("hi") == "Ada Ada kind hi hi of Ada"
        assert bob.run("hi", tone="rude") == "Bob Bob rude hi hi of Bob"
        ada.name = "Eve"
        assert ada.run("hi") == "Eve Eve kind hi hi of Eve"
    assert len(engine.requests) == 3
    assert (ada.log, bob.log) == (["Ada kind hi", "Eve kind hi"], ["Bob rude hi"])
    assert compile_workflow(ada.run) is compile_workflow(ada.run)
    assert compile_workflow(ada.run) is not compile_workflow(bob.run)


def test_an_unchanged_workflow_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, _ in CHANGES:
        monkeypatch.setitem(globals(), "WORDS", value)
        flow = workflow(helped)
        assert compile_workflow(flow) is compile_workflow(flow)


EDITS = {
    "the same step once more": (
        "def more(q): return llm('more ' + q)\nSTEPS = [more]",
        "for step in STEPS: q = step(q)\n    return q",
        "STEPS.append(more)",
    ),
    "other groups of the same steps": (
        "def a(q): return llm('a ' + q)\ndef b(q): return llm('b ' + q)\nSTEPS = [[a], b]",
        "for step in STEPS: q = step(q) if callable(step) else llm(f'{len(step)} {q}')\n    return q",
        "STEPS[:] = [[a, b]]",
    ),
    "an attribute named by the second function that uses an object": (
        "class Of: one, two = '1', '2'\nobject_ = Of()\ndef zz(): return object_.two",
        "return llm(object_.one + zz() + q)",
        "object_.two = '3'",
    ),
    "a class's attribute": ("class Of: tone = 'kind'", "return llm(Of.tone + q)", "Of.tone = 'rude'"),
    "an inherited one": (
        "class Of: tone = 'kind'\nclass By(Of): pass\nby = By()",
        "return llm(by.tone + q)",
        "Of.tone = 'rude'",
    ),
    "what a method uses": (
        "TONE = 'kind'\nclass Of:\n    def say(self, q): return llm(TONE + q)\nof = Of()",
        "return of.say(q)",
        "TONE = 'rude'",
    ),
    "what an object that is called uses": (
        "TONE = 'kind'\nclass Of:\n    def __call__(self, q): return llm(TONE + q)\nof = Of()",
        "return of(q)",
        "TONE = 'rude'",
    ),
    "what a property uses": (
        "class Of:\n    def __init__(self): self._tone = 'kind'\n    @property\n    def tone(self): return self._tone\n"
        "of = Of()",
        "return llm(of.tone + q)",
        "of._tone = 'rude'",
    ),
    "a slot": (
        "class Of: __slots__ = ('tone',)\nof = Of()\nof.tone = 'kind'",
        "return llm(of.tone + q)",
        "of.tone = 'x'",
    ),
    "an object behind a default": (
        "class Of: tone = 'kind'\nof = Of()\ndef tone(of=of): return of.tone",
        "return llm(tone() + q)",
        "of.tone = 'rude'",
    ),
    "an attribute by its name as text": (
        "class Of: tone = 'kind'",
        "return llm(getattr(Of, 'tone') + q)",
        "Of.tone = 'rude'",
    ),
    "one library function for another": (
        "from textwrap import dedent as f, indent",
        "return llm(f('  a') if f is not indent else q)",
        "f = indent",
    ),
    "a member of a set that is equal": ("A = {1}", "return llm(f'{A}{q}')", "A.clear(); A.add(True)"),
    "a key that is equal": ("A = {1: llm}", "return llm(f'{list(A)}{q}')", "A[1.0] = A.pop(1)"),
    "a zero of the other sign": ("A = 0.0", "return llm(f'{A}{q}')", "A = -0.0"),
    "a queue": ("from collections import deque\nA = deque('a')", "return llm(A[-1] + q)", "A.append('b')"),
    "bytes that change": ("A = bytearray(b'a')", "return llm(A.decode() + q)", "A.extend(b'b')"),
    "the environment": (
        "import os\nos.environ['ORCH_TEST_TONE'] = 'kind'",
        "return llm(os.environ['ORCH_TEST_TONE'] + q)",
        "os.environ['ORCH_TEST_TONE'] = 'rude'",
    ),
    "the environment, asked by a function": (
        "from os import getenv\nimport os\nos.environ.pop('ORCH_TEST_TONE', None)\n"
        "def tone(): return getenv('ORCH_TEST_TONE', 'kind')",
        "return llm(tone() + q)",
        "os.environ['ORCH_TEST_TONE'] = 'rude'",
    ),
    "a list that holds itself": ("A = ['a']; A.append(A); A.append(A)", "return llm(A[0] + q)", "A[0] = 'b'"),
}


@pytest.mark.parametrize(("setup", "body", "edit"), EDITS.values(), ids=EDITS)
def test_whatever_is_changed_is_compiled_again(
    setup: str, body: str, edit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_TEST_TONE", "to be put back")
    names: dict[str, Any] = {"__name__": "notebook"}
    cell(names, f"from orchestrator import llm, workflow\n{setup}\ndef flow(q: str) -> str:\n    {body}\n")
    flow = workflow(names["flow"])
    before = compile_workflow(flow)
    assert compile_workflow(flow) is before
    cell(names, edit)
    after = compile_workflow(flow)
    assert after.level1 != before.level1
    assert after.level1 == compile_workflow(workflow(names["flow"])).level1


HELD = {
    "nested deeply": "A = []\nfor _ in range(3000): A = [A]",
    "objects in a ring": "class N:\n    def f(self): return self.next\nA = N(); A.next = N(); A.next.next = A",
    "a list of itself alone": "A = []\nA.append(A)",
    "a dict of a function and itself": "A = {1: print}\nA[2] = A",
    "a function that calls itself": "def A(): return A()",
    "a proxy of nothing": "class P:\n    def __getattribute__(self, name): raise RuntimeError(name)\nA = P()",
    "a text without a hash": "class S(str):\n    def __eq__(self, other): return True\nA = S('a')",
    "many functions, one behind the other": "\n".join(
        [*(f"def f{i}(): return f{i + 1}()" for i in range(1500)), "f1500 = None", "A = f0"]
    ),
}


@pytest.mark.parametrize("setup", HELD.values(), ids=HELD)
def test_whatever_code_mentions_costs_no_compiling_where_it_is_unchanged(setup: str) -> None:
    names: dict[str, Any] = {"__name__": "notebook"}
    cell(names, f"from orchestrator import llm, workflow\n{setup}\ndef flow(q: str) -> str:\n    A; return llm(q)\n")
    flow = workflow(names["flow"])
    assert compile_workflow(flow) is compile_workflow(flow)


def test_what_a_list_of_objects_is_to_one_function_and_to_another() -> None:
    names: dict[str, Any] = {"__name__": "notebook"}
    cell(names, "from orchestrator import llm, workflow\nclass Of: one, two = '1', '2'\nA = [Of()]\n")
    cell(names, "def zz(): return A[0].two\ndef flow(q: str) -> str: return llm(A[0].one + zz() + q)\n")
    flow = workflow(names["flow"])
    assert prompt_of(flow) == "12x"
    names["A"][0].two = "3"
    assert prompt_of(flow) == "13x"
