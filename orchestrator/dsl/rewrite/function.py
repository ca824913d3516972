"""Rewriting a function: its source, as ``ast``, with operators in it; compiled under the user's file and lines.

The new function has the globals, defaults and closure cells of the old one, so it reads and binds the same names;
tracebacks, breakpoints and coverage are the user's. Rewritten code is kept by code object. Functions without source
(typed at Python's prompt, made by ``exec``, in a file that has been edited since) are traced as they are, and a warning
says so once.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any, Final, TypeVar
from weakref import ref

from orchestrator.dsl.rewrite import operators
from orchestrator.dsl.rewrite.lint import lint
from orchestrator.dsl.rewrite.statements import rewritten
from orchestrator.dsl.rewrite.watching import is_users
from orchestrator.dsl.source.location import (
    BY_VALUE,
    definition_of,
    forget_rewritten,
    is_rewritten,
    is_user_file,
    note_rewritten,
)
from orchestrator.dsl.source.syntax import function_at
from orchestrator.dsl.types.typing import fields_of
from orchestrator.errors import Diagnostic

OPERATORS: Final = "orch"
"""What the operators are called in rewritten code, unless the user has such a name."""
_SHARED: Final = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop)
N = TypeVar("N", bound=ast.AST)
_FLAGS: Final = __future__.annotations.compiler_flag

_made: dict[int, tuple[ref[CodeType], CodeType | None]] = {}
"""The user's code and the rewritten one, None where there is no source; by identity, as functions of two files may have
equal code, for as long as the user's is there."""

_linted: dict[int, tuple[ref[CodeType], list[Diagnostic]]] = {}
"""What :mod:`.lint` found, by the identity of the code."""


def rewrite(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` rewritten; itself where that cannot be, or is not to be."""
    if isinstance(function, MethodType):
        return MethodType(rewrite(function.__func__), function.__self__)
    if not isinstance(function, FunctionType) or is_rewritten(function.__code__):
        return function
    code = _code_for(function)
    if code is None:
        return function
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    closure = tuple(cells.get(name) or CellType(operators) for name in code.co_freevars)
    made = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
    made.__kwdefaults__ = function.__kwdefaults__
    made.__annotations__ = function.__annotations__
    made.__qualname__ = function.__qualname__
    made.__module__ = function.__module__
    made.__doc__ = function.__doc__
    return made


def findings(function: Callable[..., Any]) -> list[Diagnostic]:
    """What in a workflow's function is asked or changed while it is traced; see :mod:`.lint`."""
    inner = getattr(function, "__func__", function)
    if not isinstance(inner, FunctionType):
        return []
    code = inner.__code__
    if id(code) not in _linted:
        node, found = function_at(code), list[Diagnostic]()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found += lint(node, inner)
        _linted[id(code)] = ref(code, partial(_forget_findings, id(code))), found
    return _linted[id(code)][1]


def _forget_findings(key: int, _: ref[CodeType]) -> None:
    _linted.pop(key, None)


def _forget_made(key: int, _: ref[CodeType]) -> None:
    found = _made.pop(key, None)
    if found is not None and found[1] is not None:
        forget_rewritten(found[1])


def source_of(function: Callable[..., Any]) -> str | None:
    """The rewritten source, for people; None where there is none."""
    inner = getattr(function, "__func__", function)
    module = _module_for(inner) if isinstance(inner, FunctionType) else None
    if module is None:
        return None
    definition = _Shown().visit(_definition(module[0], inner.__name__))
    return ast.unparse(ast.fix_missing_locations(definition))


class _Shown(ast.NodeTransformer):
    """Leaves out what only makes names local."""

    def visit_If(self, node: ast.If) -> ast.stmt | None:
        is_never = isinstance(node.test, ast.Constant) and node.test.value is False
        return None if is_never else self.generic_visit(node)  # type: ignore[return-value]


def _code_for(function: FunctionType) -> CodeType | None:
    key = id(function.__code__)
    if key not in _made:
        module = _module_for(function)
        made = None if module is None else _compiled(*module, function)
        _made[key] = ref(function.__code__, partial(_forget_made, key)), made
        if module is None:
            _warn(function)
    return _made[key][1]


def _module_for(function: FunctionType) -> tuple[ast.Module, frozenset[str]] | None:
    """A module in which a function is defined as it is to be, within one that has the names from around it.

    With it come the names in it that are made up.
    """
    code = function.__code__
    node = function_at(code)
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return None
    node = _copy(node)
    nodes = [*ast.walk(node)]
    words = (word for each in nodes for word in vars(each).values() if isinstance(word, str))
    taken = frozenset((*words, *code.co_freevars, *function.__globals__))
    name = OPERATORS
    while name in taken:
        name += "_"
    made_up: set[str] = set()
    made = rewritten(node, name, taken | {name}, _foreign(nodes, function), made_up)
    made.args.defaults = [ast.copy_location(ast.Constant(None), each) for each in made.args.defaults]
    made.args.kw_defaults = [
        None if each is None else ast.copy_location(ast.Constant(None), each) for each in made.args.kw_defaults
    ]
    its_own = [] if made.name in code.co_freevars else [ast.Global([made.name])]  # a function that calls itself
    around: ast.stmt = ast.FunctionDef(
        "around", ast.arguments([], [ast.arg(each) for each in (*code.co_freevars, name)], None, [], [], None, []),
        [*its_own, made], [],
    )  # fmt: skip
    owner = function.__qualname__.rpartition(".")[0].rpartition(".")[2]
    if owner and owner != "<locals>":  # for the names that Python mangles
        inner = ast.FunctionDef("around", around.args, [*its_own, made], [])  # type: ignore[attr-defined]
        around = ast.ClassDef(owner, [], [], [inner], [])
    ast.copy_location(around, node)
    return ast.fix_missing_locations(ast.Module([around], [])), frozenset(made_up)


def _copy(node: N) -> N:
    """A syntax tree to change; ``copy.deepcopy`` takes four times as long. Contexts and operators are shared."""
    made: N = type(node)()
    for name, value in vars(node).items():
        if type(value) is list:
            value = [_copy(each) if isinstance(each, ast.AST) else each for each in value]  # noqa: PLW2901
        elif isinstance(value, ast.AST) and not isinstance(value, _SHARED):
            value = _copy(value)  # noqa: PLW2901
        setattr(made, name, value)
    return made


def _foreign(nodes: Sequence[ast.AST], function: FunctionType) -> frozenset[str]:
    """The names of functions that are Python's or its library's, of classes, and of what nobody knows beforehand."""
    named = [each for each in nodes if isinstance(each, ast.Name)]
    own = {each.id for each in named if isinstance(each.ctx, ast.Store)}
    own |= {each.arg for each in nodes if isinstance(each, ast.arg)}
    own |= {*function.__code__.co_freevars}
    own |= {each.asname or each.name for each in nodes if isinstance(each, ast.alias)}
    names = {each.id for each in named} - own
    foreign = {name for name in names if _is_foreign(function.__globals__.get(name, vars(builtins).get(name)))}
    return frozenset(foreign | own)


def _is_foreign(thing: Any) -> bool:
    if not callable(thing) or (isinstance(thing, type) and issubclass(thing, BaseException)):
        return False
    if isinstance(thing, type) and fields_of(thing) is not None:
        return True
    if is_users(thing):
        return True
    module = getattr(thing, "__module__", None) or type(thing).__module__
    return str(module).lstrip("_").partition(".")[0] in sys.stdlib_module_names


def _definition(module: ast.Module, name: str) -> ast.stmt:
    return next(node for node in ast.walk(module) if isinstance(node, ast.FunctionDef) and node.name == name)


def _compiled(module: ast.Module, made_up: frozenset[str], function: FunctionType) -> CodeType:
    old = function.__code__
    whole = compile(module, old.co_filename, "exec", flags=old.co_flags & _FLAGS, dont_inherit=True)
    bodies: set[int] = set()
    made = _named(_within(whole, old.co_name, "around"), old, made_up, bodies)
    note_rewritten(made, bodies, made_up)
    return made


def _named(code: CodeType, user: CodeType, made_up: frozenset[str], bodies: set[int]) -> CodeType:
    """Code with the names that the user knows, in tracebacks say: bodies that became functions have the user's."""
    consts = code.co_consts
    inner = tuple(_named(each, user, made_up, bodies) if isinstance(each, CodeType) else each for each in consts)
    is_body = code.co_name in made_up
    name = user.co_name if is_body else code.co_name
    qualified = name if name != user.co_name else user.co_qualname
    made = code.replace(co_consts=inner, co_name=name, co_qualname=qualified)
    if is_body:
        bodies.add(id(made))
    return made


def _within(code: CodeType, name: str, around: str) -> CodeType:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            if each.co_name == name and code.co_name == around:
                return each
            try:
                return _within(each, name, around)
            except LookupError:
                continue
    raise LookupError(name)


def _warn(function: FunctionType) -> None:
    file = function.__code__.co_filename
    if function.__name__ == "<lambda>" or not is_user_file(file) or file == BY_VALUE:
        return
    where = definition_of(function)
    warnings.warn(
        f"the source of workflow `{function.__name__}` is not to be had, or not what runs ({where}), so its `if`, "
        "`for` and `while` cannot be compiled: use branch, map_ and loop, or write it into a file",
        stacklevel=2,
    )
