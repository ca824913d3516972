"""What still runs while a workflow is traced, but looks as if it ran with it: found in its source.

A clock or a random number would be asked once, when the workflow is compiled, and every run would get that answer. The
same goes for a change of something that is not the workflow's own, like a list of the module.
"""

from __future__ import annotations

import ast
import datetime
import os
import random
import secrets
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple

from orchestrator.dsl.rewrite.scopes import FunctionNode, bound, own_nodes, parameters
from orchestrator.dsl.source.location import is_user_file
from orchestrator.dsl.source.syntax import function_at
from orchestrator.dsl.types.kinds import MUTATORS
from orchestrator.errors import Diagnostic, SourceLoc

_WHY: Final = "the workflow is traced once, so every run would get the same answer"


class Asked(NamedTuple):
    """What is asked while tracing, and what to write instead."""

    what: str
    fix: str


_CLOCK: Final = Asked("the time", "use now(), which is asked in each run and is the same when a run is resumed")
_CHANCE: Final = Asked("chance", "use random() or uuid(), which are drawn in each run; or draw in a tool")
_NAMES: Final = Asked("a new name", "use uuid(), which is made in each run and is the same when a run is resumed")
_FUNCTIONS: Final[Mapping[Any, Asked]] = {
    **{
        getattr(time, name): _CLOCK
        for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "localtime",
                     "gmtime", "ctime", "strftime", "process_time")
    },
    time.sleep: Asked("a pause", "use sleep(), which each run waits for, and a resumed one no longer than is left"),
    **{getattr(uuid, name): _NAMES for name in ("uuid1", "uuid4")},
    os.urandom: _CHANCE,
}  # fmt: skip
_COMPILED: Final = (time.sleep, time.time, random.random)
"""What is an op in the source that is compiled, and runs while it is traced in the functions that this calls; so is
``datetime.now(UTC)``."""
_BY_MODULE: Final[Mapping[str, Asked]] = {"random": _CHANCE, "secrets": _CHANCE, "numpy.random": _CHANCE}
_OF_DATES: Final = frozenset({"now", "utcnow", "today"})


def lint(node: ast.FunctionDef | ast.AsyncFunctionDef, function: FunctionType) -> Iterator[Diagnostic]:
    """What in a workflow's function, and in the functions in it, is asked or changed while it is traced.

    The user's functions that it calls are read too, for what they ask: what they change may be their own.
    """
    called: list[FunctionType] = []
    yield from _Reader(function, called, is_compiled=True).read(node, frozenset())
    seen = {id(function.__code__)}
    while called:
        each = called.pop()
        found = None if id(each.__code__) in seen else function_at(each.__code__)
        seen.add(id(each.__code__))
        if isinstance(found, (ast.FunctionDef, ast.AsyncFunctionDef)):
            asked = _Reader(each, called).read(found, frozenset())
            yield from (finding for finding in asked if finding.code == "ORCH-D057")


class _Reader:
    def __init__(self, function: FunctionType, called: list[FunctionType], *, is_compiled: bool = False) -> None:
        code = function.__code__
        self._is_compiled = is_compiled
        self._called = called
        """The user's functions that are called, to be read as well."""
        self._file = code.co_filename
        self._name = code.co_name
        self._globals: Mapping[str, Any] = function.__globals__
        self._around: dict[str, Any] = {}
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                self._around[name] = cell.cell_contents
            except ValueError:  # not bound yet
                continue

    def read(self, node: FunctionNode, outer: frozenset[str]) -> Iterator[Diagnostic]:
        """The findings in one function; ``outer`` are names of the functions around it, which are the workflow's."""
        body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else [*node.body]
        nodes = [*own_nodes(*body)]
        own = (outer | _bound_in(node, body, nodes)) - self._import(nodes)
        for each in nodes:
            if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if not each.decorator_list:
                    yield from self.read(each, own)
            elif isinstance(each, ast.Lambda):
                yield from self.read(each, own)
            else:
                yield from self._of(each, own)

    def _import(self, nodes: list[ast.AST]) -> frozenset[str]:
        """Note what a function imports, as far as it has been loaded; its names, where they have no other meaning."""
        imports = [each for each in nodes if isinstance(each, (ast.Import, ast.ImportFrom))]
        if not imports:
            return frozenset()
        found: dict[str, Any] = {}
        for each in imports:
            for alias in each.names:
                if isinstance(each, ast.ImportFrom):
                    module = sys.modules.get(each.module or "") if not each.level else None
                    found[alias.asname or alias.name] = getattr(module, alias.name, None)
                else:
                    name = alias.name if alias.asname else alias.name.partition(".")[0]
                    found[alias.asname or name] = sys.modules.get(name)
        stored = {each.id for each in nodes if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
        known = {name: held for name, held in found.items() if name not in stored and held is not None}
        self._around |= known
        return frozenset(known)

    def _of(self, node: ast.AST, own: frozenset[str]) -> Iterator[Diagnostic]:
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name) as owner, attr=attr)) if (
                attr in MUTATORS and name not in own and _is_changeable(self._held(owner, own))
            ):
                yield self._changes(node, name)
            case ast.Call(func=callee):
                asked = None if self._is_an_op(node, own) else self._asked(callee, own)
                is_seeded = self._held(callee, own) is random.Random and _has_seed(node)
                if asked is not None and not is_seeded:
                    yield self._finding(node, f"`{ast.unparse(callee)}()` asks for {asked.what}", asked)
                held = self._held(callee, own)
                if isinstance(held, FunctionType) and is_user_file(held.__code__.co_filename):
                    self._called.append(held)
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()) if name not in own:
                yield self._changes(node, name)
            case ast.Attribute(value=ast.Name(id=name), attr=attr, ctx=ast.Store() | ast.Del()) if (
                name not in own or name in ("self", "cls")
            ):
                yield self._changes(node, f"{name}.{attr}")
            case ast.Global(names=names):
                yield self._changes(node, names[0])

    def _changes(self, node: ast.AST, name: str) -> Diagnostic:
        return Diagnostic(
            "ORCH-D052",
            f"`{name}` is changed, which is not the workflow's own",
            SourceLoc(self._file, getattr(node, "lineno", 0), self._name),
            "it would be changed once, while the workflow is traced, and not when it runs",
            "change it in a tool, or keep it in a local name",
        )

    def _finding(self, node: ast.AST, message: str, asked: Asked) -> Diagnostic:
        where = SourceLoc(self._file, getattr(node, "lineno", 0), self._name)
        return Diagnostic("ORCH-D057", message, where, _WHY, asked.fix)

    def _is_an_op(self, node: ast.Call, own: frozenset[str]) -> bool:
        """Whether the call is rewritten to one of an op (:mod:`.calling`)."""
        if not self._is_compiled:
            return False
        held = self._held(node.func, own)
        if any(held is each for each in _COMPILED):
            return True
        zones = [*node.args, *(each.value for each in node.keywords)]
        is_clock = isinstance(held, BuiltinFunctionType) and held == datetime.datetime.now
        return is_clock and len(zones) == 1 and self._held(zones[0], own) is datetime.UTC

    def _asked(self, callee: ast.expr, own: frozenset[str]) -> Asked | None:
        held = self._held(callee, own)
        if held is None:
            return None
        try:
            known = _FUNCTIONS.get(held)
        except TypeError:
            return None
        if known is not None:
            return known
        owner = getattr(held, "__self__", None)
        if getattr(held, "__name__", "") in _OF_DATES and isinstance(owner, type) and issubclass(owner, datetime.date):
            return _CLOCK
        if isinstance(owner, (random.Random, secrets.SystemRandom)):
            return _CHANCE
        module = str(getattr(held, "__module__", None) or "")
        modules = [name for name in _BY_MODULE if module == name or module.startswith(f"{name}.")]
        return _BY_MODULE[modules[0]] if modules else None

    def _held(self, node: ast.expr, own: frozenset[str]) -> Any:
        """The object that an expression of names and attributes stands for, as far as that can be told."""
        if isinstance(node, ast.Name):
            if node.id in own:
                return None
            return self._around.get(node.id, self._globals.get(node.id))
        if isinstance(node, ast.Attribute):
            owner = self._held(node.value, own)
            if isinstance(owner, (ModuleType, type, random.Random)):
                return getattr(owner, node.attr, None)
        return None


def _has_seed(node: ast.AST) -> bool:
    """Whether a call of ``Random`` gives what it draws from: the same in each run."""
    match node:
        case ast.Call(args=[ast.Constant(value=None)]) | ast.Call(args=[], keywords=[]):
            return False
    return True


def _bound_in(node: FunctionNode, body: list[ast.AST], nodes: list[ast.AST]) -> frozenset[str]:
    """The names of a function's own; ``nodes`` are those of its scope."""
    drawn = {
        name.id
        for each in nodes
        if isinstance(each, ast.comprehension)
        for name in ast.walk(each.target)
        if isinstance(name, ast.Name)
    }
    declared = {n for each in nodes if isinstance(each, (ast.Global, ast.Nonlocal)) for n in each.names}
    return (bound(*body) | frozenset(parameters(node)) | drawn) - declared


def _is_changeable(thing: Any) -> bool:
    return isinstance(thing, (list, dict, set))
