"""What a definition reads from around it: names that it does not bind itself, with the attributes looked up in them.

``config.LIMIT`` is ``("config", "LIMIT")``. Scopes are those of Python: comprehensions, lambdas, nested functions and
classes have their own, and a class's names are not seen by its methods.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

Chain: TypeAlias = tuple[str, ...]

_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES: Final = (*_FUNCTIONS, *_COMPREHENSIONS, ast.ClassDef)


@dataclass(slots=True)
class Reads:
    """What a definition reads: each chain once, in the order in which they stand."""

    chains: list[Chain]
    imports: list[ast.Import | ast.ImportFrom]
    """Those that it executes itself."""
    attributes: set[str]
    """All that it looks up, in anything."""
    annotations: list[Chain]
    """What its own parameters and result are annotated with, and the fields of classes."""


@dataclass(slots=True)
class _Scope:
    bound: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)
    globals: set[str] = field(default_factory=set)
    chains: list[Chain] = field(default_factory=list)
    inner: list[ast.AST] = field(default_factory=list)
    annotations: list[Chain] = field(default_factory=list)
    """These are the annotations of the fields of a class."""
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)
    attributes: set[str] = field(default_factory=set)


def reads_of(definition: ast.AST) -> Reads:
    """What a function or class reads. Of a function, its own decorators and defaults do not count."""
    found: dict[Chain, None] = {}
    imports: list[ast.Import | ast.ImportFrom] = []
    attributes: set[str] = set()
    annotations = list(_annotated(definition))
    if isinstance(definition, ast.ClassDef):
        definition = ast.Module([definition], [])
    unfinished: list[tuple[ast.AST, frozenset[str]]] = [(definition, frozenset())]
    while unfinished:
        node, around = unfinished.pop()
        scope = _scope(node)
        around -= scope.globals
        bound = scope.bound - scope.nonlocals - scope.globals
        found.update(dict.fromkeys(each for each in scope.chains if each[0] not in bound and each[0] not in around))
        imports += scope.imports
        attributes |= scope.attributes
        annotations += (each for each in scope.annotations if each[0] not in around)
        visible = around if isinstance(node, ast.ClassDef) else around | bound
        unfinished += [(inner, visible) for inner in reversed(scope.inner)]
    return Reads(list(found), imports, attributes, list(dict.fromkeys(annotations)))


def _scope(node: ast.AST) -> _Scope:
    """One scope: what it binds and reads, and the scopes in it."""
    scope = _Scope()
    unfinished = list(reversed(list(_inside(node, scope))))
    while unfinished:
        each = unfinished.pop()
        if isinstance(each, _SCOPES):
            if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                scope.bound.add(each.name)
            scope.inner.append(each)
            unfinished += reversed(list(_outside(each)))
            if isinstance(each, _COMPREHENSIONS):  # `:=` in one binds a name around it
                scope.bound |= {
                    inner.target.id
                    for inner in ast.walk(each)
                    if isinstance(inner, ast.NamedExpr) and isinstance(inner.target, ast.Name)
                }
            continue
        unfinished += reversed(list(_visit(each, scope)))
    return scope


def _visit(node: ast.AST, scope: _Scope) -> Iterator[ast.AST]:
    """Take note of one node that opens no scope; gives what is inside it."""
    match node:
        case ast.Name(id=name, ctx=ast.Load()):
            scope.chains.append((name,))
        case ast.Name(id=name):
            scope.bound.add(name)
            scope.chains.append((name,))  # which counts where the name is declared to be of another scope
        case ast.Attribute():
            yield from _looked_up(node, scope)
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            (scope.globals if isinstance(node, ast.Global) else scope.nonlocals).update(names)
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            scope.bound |= {alias.asname or alias.name.partition(".")[0] for alias in names}
            scope.imports.append(node)
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            scope.bound.add(name)
            yield from ast.iter_child_nodes(node)
        case ast.MatchMapping(rest=str(name)):
            scope.bound.add(name)
            yield from ast.iter_child_nodes(node)
        case ast.AnnAssign(target=target, value=value):
            yield target
            if value is not None:
                yield value
        case _:
            yield from ast.iter_child_nodes(node)


def _looked_up(node: ast.Attribute, scope: _Scope) -> Iterator[ast.AST]:
    chain = chain_of(node)
    scope.attributes.update([node.attr] if chain is None else chain[1:])
    if chain is None:
        yield node.value
    else:
        scope.chains.append(chain)


def chain_of(node: ast.expr) -> Chain | None:
    """``("a", "b", "c")`` of ``a.b.c``; None where it begins with anything but a name."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else None


def _inside(node: ast.AST, scope: _Scope) -> Iterator[ast.AST]:
    """What is evaluated in the scope that ``node`` opens."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            scope.bound |= _parameters(node.args)
            yield from node.body
        case ast.Lambda():
            scope.bound |= _parameters(node.args)
            yield node.body
        case ast.ClassDef():
            for each in node.body:
                if isinstance(each, ast.AnnAssign):  # of a field
                    scope.annotations += _in_annotations([each.annotation])
            yield from node.body
        case ast.Module():
            yield from node.body
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
            yield from _generators(node.generators)
            yield node.elt
        case ast.DictComp():
            yield from _generators(node.generators)
            yield from (node.key, node.value)


def _generators(generators: list[ast.comprehension]) -> Iterator[ast.AST]:
    for number, each in enumerate(generators):
        yield each.target
        if number:
            yield each.iter
        yield from each.ifs


def _outside(node: ast.AST) -> Iterator[ast.AST]:
    """What of a nested scope is evaluated around it."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from node.decorator_list
            yield from _defaults(node.args)
        case ast.Lambda():
            yield from _defaults(node.args)
        case ast.ClassDef():
            yield from (*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords))
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            yield node.generators[0].iter


def _defaults(arguments: ast.arguments) -> Iterator[ast.expr]:
    yield from arguments.defaults
    yield from (each for each in arguments.kw_defaults if each is not None)


def _parameters(arguments: ast.arguments) -> set[str]:
    groups = (*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg)
    return {each.arg for each in groups if each is not None}


def _annotated(node: ast.AST) -> Iterator[Chain]:
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return
    arguments = node.args
    groups = (*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg)
    yield from _in_annotations([*(each.annotation for each in groups if each is not None), node.returns])


def _in_annotations(annotations: Sequence[ast.expr | None]) -> Iterator[Chain]:
    unfinished: list[ast.AST] = [each for each in reversed(annotations) if each is not None]
    while unfinished:
        each = unfinished.pop()
        chain = chain_of(each) if isinstance(each, ast.expr) else None
        if chain is not None:
            yield chain
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            try:
                unfinished.append(ast.parse(each.value, mode="eval").body)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue  # a text in Literal or Annotated
        else:
            unfinished += reversed(list(ast.iter_child_nodes(each)))
