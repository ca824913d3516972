"""The text of a definition says what it means, and nothing that differs between versions of Python."""

from __future__ import annotations

import ast

import pytest

from orchestrator.dsl.code_hash.canonical import canonical


def text(source: str) -> str:
    return canonical(ast.parse(source).body[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(x): return x", "def g(x): return (x)"),
        ("def f(x): return u'a'", "def f(x): return 'a'"),
        ("def f(x): return f'a' 'b' f'{x}'", "def f(x): return f'ab{x}'"),
        ("def f(x): pass", "def f(x):\n    'Text.'"),
        ("def f(x):\n    y: int\n    y = 1", "def f(x):\n    y: float = 1"),
        ("def f(x):\n    def g(a: int) -> int: return a", "def f(x):\n    def g(a): return a"),
        ("@tool(retry=3)\nclass A: x = 1", "@tool()\nclass A: x = 1"),
    ],
)
def test_equal(one: str, other: str) -> None:
    assert text(one) == text(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(x): return 1", "def f(x): return True"),
        ("def f(x): return 1", "def f(x): return 1.0"),
        ("def f(x): return 'a'", "def f(x): return b'a'"),
        ("def f(x): return f'{x!r}'", "def f(x): return f'{x}'"),
        ("def f(x): return f'{x:>3}'", "def f(x): return f'{x:>4}'"),
        ("def f(x): return x[1:]", "def f(x): return x[:1]"),
        ("def f(x): return (a, b)", "def f(x): return [a, b]"),
        ("def f(x):\n    if x: a()\n    b()", "def f(x):\n    if x:\n        a()\n        b()"),
        ("def f(x, *, y): ...", "def f(x, y): ..."),
        ("def f(x, /): ...", "def f(x): ..."),
        ("async def f(x): ...", "def f(x): ..."),
        ("class A:\n    x: int", "class A:\n    x: str"),
        ("class A:\n    @check\n    def f(self, x: int): ...", "class A:\n    @check\n    def f(self, x: str): ..."),
        ("class A:\n    @other(retry=1)\n    def f(self): ...", "class A:\n    @other(retry=2)\n    def f(self): ..."),
        ("class A(B): x = 1", "class A: x = 1"),
        ("def f():\n    from a import b", "def f():\n    from .a import b"),
    ],
)
def test_different(one: str, other: str) -> None:
    assert text(one) != text(other)


def test_fields_that_only_some_versions_have() -> None:
    older, newer = ast.parse("class A:\n    def f(self): return f'a{self:}b'"), ast.parse("")
    node = ast.parse("class A:\n    def f(self): return f'a{self}b'").body[0]
    assert isinstance(node, ast.ClassDef)
    method = node.body[0]
    for each in (node, method):  # since 3.12
        each.type_params = []  # type: ignore[attr-defined]
        each._fields = (*type(each)._fields, "type_params")  # type: ignore[misc]
    newer.body = [node]
    assert canonical(older.body[0]) == canonical(newer.body[0])


def test_an_expression_may_be_nested_deeply() -> None:
    node: ast.expr = ast.Constant(1)
    for _ in range(20_000):
        node = ast.UnaryOp(ast.Not(), node)
    assert canonical(ast.Lambda(ast.parse("lambda: 0", mode="eval").body.args, node)).count("UnaryOp") == 20_000  # type: ignore[attr-defined]


def test_an_int_may_have_more_digits_than_are_printed() -> None:
    assert text(f"def f(): return 0x{'f' * 9000}") != text(f"def f(): return 0x{'e' * 9000}")
