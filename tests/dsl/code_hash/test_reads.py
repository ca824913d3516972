"""Which names a definition reads from around it."""

from __future__ import annotations

import ast

import pytest

from orchestrator.dsl.code_hash.reads import reads_of


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(x, *a, k=D, **b): return x, a, k, b, y", "y"),
        ("@deco\ndef f(x: A) -> B: return x.z", ""),
        ("def f(): return a.b.c, d().e, g[0].h", "a.b.c d g"),
        ("def f():\n    x = 1\n    return x, [x for x in xs], x", "xs"),
        ("def f(): return [y for y in ys if y in z], y", "y ys z"),
        ("def f(): return {k: v for k, v in m.items() for w in k}, w", "m.items w"),
        ("def f(): return [last := v for v in vs], last", "vs"),
        ("def f():\n    global COUNT\n    COUNT += 1", "COUNT"),
        (
            "def f():\n    n = 0\n    def g():\n        nonlocal n\n        n += 1\n        def h(): return n, m",
            "m",
        ),
        ("def f():\n    n = 0\n    def g():\n        global n\n        n += 1", "n"),
        ("def f():\n    import a.b, c as d\n    from e import g as h\n    return a, d, h, c, g", "c g"),
        ("def f():\n    try: a\n    except E as e: e\n    with o as w: w\n    for i in r: i", "a E o r"),
        ("def f(v):\n    match v:\n        case {'k': x, **rest}: x, rest\n        case [y, *z] | C(n=y): y, z", "C"),
        ("def f():\n    class A(B):\n        x = 1\n        def m(self): return x, A", "B x"),
        ("def f():\n    x: T = y\n    return lambda a=b: a + c", "y b c"),
        ("class A(B):\n    n: T = d\n    def m(self: Q): return n, A\n    q: 'list[W]'", "B d n"),
        ("def f():\n    del gone\n    (z := 1)\n    return z", ""),
    ],
)
def test_reads(source: str, names: str) -> None:
    found = reads_of(ast.parse(source).body[0])
    assert sorted(".".join(each) for each in found.chains) == sorted(names.split())


def test_annotations_and_imports_are_beside_them() -> None:
    found = reads_of(ast.parse("def f(x: list[A.b], y: 'C | None') -> D:\n    import z").body[0])
    assert [".".join(each) for each in found.annotations] == ["list", "A.b", "C", "D"]
    assert len(found.imports) == 1
    fields = reads_of(ast.parse("class A(B):\n    n: T\n    q: 'list[W]'\n    class I:\n        r: R").body[0])
    assert sorted(".".join(each) for each in fields.annotations) == ["R", "T", "W", "list"]
