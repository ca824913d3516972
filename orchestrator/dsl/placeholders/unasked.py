"""What Python does with a placeholder without asking it.

Most of what a workflow does with a symbolic value calls one of its methods, which answers for it. Some does not:
``x is None``, ``type(x)``, ``"%-5s" % x``, and whatever reads a text that a value has been formatted into. Tracing
would go on with an answer about the placeholder. So the source of the functions that ran is searched for these once
they have ended, each name taken for what it held::

    prompt = f"About {topic}"      # topic holds a value, so prompt holds a text with a placeholder
    if len(prompt) > 4000: ...     # found here

What cannot be seen in this way, as in a library, changes the placeholder and is found where the text is used; see
:mod:`orchestrator.dsl.tracing.template`.

Of a function whose source is not to be had, as one typed at the prompt, a warning tells (docs/first-workflow.md).
"""

from __future__ import annotations

import ast
import builtins
import random
import re
import string
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from itertools import islice, pairwise, zip_longest
from types import BuiltinFunctionType, CodeType, MethodDescriptorType, WrapperDescriptorType
from typing import Any, Final, NamedTuple, TypeAlias

from orchestrator.dsl.placeholders.meaning import (
    LAYOUT,
    UNKNOWN,
    Functions,
    Kind,
    Meaning,
    arguments_of,
    module_of,
    understand,
)
from orchestrator.dsl.placeholders.misuse import IN_A_TOOL, ON_THE_PLACEHOLDER, TRACED_ONCE
from orchestrator.dsl.source.location import BY_VALUE, is_rewritten
from orchestrator.dsl.source.syntax import has_source
from orchestrator.dsl.tracing.template import has_marker, without_markers
from orchestrator.dsl.tracing.tracer import Tracer, Value
from orchestrator.dsl.types.typing import assignable
from orchestrator.errors import SourceLoc

_OF_VALUES: Final = frozenset({"type", "id", "callable", "print", "repr", "ascii", "vars", "dir"})
_OF_TEXTS: Final = frozenset(
    {"len", "hash", "int", "float", "complex", "ord", "bytes", "bytearray", "list", "tuple", "set", "frozenset", "dict"}
    | {"sorted", "reversed", "enumerate", "iter", "min", "max", "any", "all", "open", "eval", "exec", "print", "repr"}
    | {"ascii", "input", "map", "filter", "zip"}
)  # fmt: skip
_OF_COLLECTIONS: Final = frozenset({"sorted", "min", "max", "set", "frozenset", "print", "repr", "ascii"})
READERS: Final = frozenset(
    {"re", "textwrap", "json", "html", "hashlib", "hmac", "logging", "warnings", "io", "difflib", "shlex", "base64"}
    | {"unicodedata", "binascii", "zlib", "urllib", "fnmatch", "pprint", "pickle", "csv", "sre", "blake2", "sha1"}
    | {"sha2", "sha256", "sha512", "sha3", "md5", "os", "posix", "posixpath", "ntpath", "genericpath", "pathlib"}
    | {"glob", "shutil", "subprocess", "sqlite3", "socket", "http", "email", "statistics", "uuid"}
)  # fmt: skip
"""Modules whose functions and objects read the texts they are given; those in C have an underscore more."""
_SEEKING: Final = frozenset(
    {"startswith", "endswith", "find", "rfind", "index", "rindex", "count", "split", "rsplit", "partition"}
    | {"rpartition", "removeprefix", "removesuffix", "strip", "lstrip", "rstrip", "translate", "maketrans"}
    | {"get", "pop", "setdefault", "add", "remove", "discard"}
)  # fmt: skip
"""Methods of texts and collections that look for what they are given."""
_COMPARING: Final = frozenset({"sort", "index", "count", "remove"})
"""Methods of lists that compare their members."""
_SHAPING: Final = LAYOUT | {"__add__", "__str__"}
_NATIVE: Final = (BuiltinFunctionType, type)
_COLLECTIONS: Final = (str, bytes, list, tuple, dict, set, frozenset)
_DISPLAYS: Final = (ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.Set)
_PERCENT: Final = re.compile(r"%(?:\(([^)]*)\))?([#0\- +]*(?:\*|\d+)?(?:\.(?:\*|\d+))?)[hlL]?(.)")
_LONGEST: Final = 60
_warned: dict[str, dict[str | tuple[str, type[Warning], int], int]] = {}
"""What the warnings module notes of each file, to say a thing once."""


class Finding(NamedTuple):
    """An error at an expression of the user's."""

    code: str
    node: ast.expr
    message: str
    why: str | None
    fix: str


def report_unasked(tracer: Tracer) -> None:
    """Record an error for each use of a placeholder that no method of it has seen."""
    reported = {(each.where.file, each.where.line) for each in tracer.diagnostics if each.where is not None}
    functions: Functions = {}
    for ran in list(tracer.runs):
        file = ran.code.co_filename
        if understand(ran, functions) is None and not has_source(file) and file != BY_VALUE:
            _warn(ran.code)
    for meaning in _each(functions):
        if is_rewritten(meaning.ran.code):  # its operators have asked; what it calls has not been
            for node in meaning.nodes:
                if isinstance(node, ast.Call):
                    meaning.kind(node)
            continue
        for finding in _findings(meaning):
            where = SourceLoc(meaning.ran.code.co_filename, finding.node.lineno, meaning.ran.code.co_name)
            if (where.file, where.line) not in reported:
                reported.add((where.file, where.line))
                tracer.report(finding.code, finding.message, why=finding.why, fix=finding.fix, where=where)


def _each(functions: Functions) -> Iterator[Meaning]:
    """Give what is understood of each function, those included that are come across meanwhile."""
    read = 0
    while read < len(functions):
        new = list(islice(functions.values(), read, None))
        read += len(new)
        yield from new


def _warn(code: CodeType) -> None:
    text = (
        f"the source of `{code.co_name}` is not to be had, so it is not seen what Python does there with placeholders, "
        "as in len(prompt): write the function into a file"
    )
    file = code.co_filename
    warnings.warn_explicit(text, UserWarning, file, code.co_firstlineno, registry=_warned.setdefault(file, {}))


def _findings(meaning: Meaning) -> Iterator[Finding]:
    for node in meaning.nodes:
        check = _CHECKS.get(type(node))
        if check is not None:
            yield from check(meaning, node)


def _subscripted(meaning: Meaning, node: ast.Subscript) -> Iterator[Finding]:
    if meaning.kind(node.value) is Kind.TEXT:
        yield _reads(node, "slicing" if isinstance(node.slice, ast.Slice) else "indexing")
    elif meaning.kind(node.slice) is Kind.TEXT and meaning.kind(node.value) is not Kind.VALUE:
        yield _reads(node, "a look-up")


def _hashed(meaning: Meaning, node: ast.Set | ast.Dict | ast.SetComp | ast.DictComp) -> Iterator[Finding]:
    match node:
        case ast.Set(elts=keys) | ast.Dict(keys=keys):
            pass
        case ast.SetComp(elt=key) | ast.DictComp(key=key):
            keys = [key]
    for each in keys:
        if each is not None and meaning.kind(each) is Kind.TEXT:
            yield _reads(each, "a set, or a dict's key,")


def _formatted(meaning: Meaning, node: ast.FormattedValue) -> Iterator[Finding]:
    """``f"{text:>5}"``, and ``f"{value!s:>5}"``."""
    kind = meaning.kind(node.value)
    if node.format_spec is not None and (kind is Kind.TEXT or (kind is Kind.VALUE and node.conversion == ord("s"))):
        yield _formats(node.value, ":" + ast.unparse(node.format_spec)[2:-1])


def _iterated(meaning: Meaning, node: ast.For | ast.comprehension) -> Iterator[Finding]:
    if meaning.kind(node.iter) is Kind.TEXT:
        yield _reads(node.iter, "`for`")
    if isinstance(node, ast.comprehension):
        yield from _untrue(meaning, node.ifs)


def _compared(meaning: Meaning, node: ast.Compare) -> Iterator[Finding]:
    operands = [node.left, *node.comparators]
    for op, (left, right) in zip(node.ops, pairwise(operands), strict=True):
        kinds = meaning.kind(left), meaning.kind(right)
        if isinstance(op, (ast.Is, ast.IsNot)):
            if Kind.VALUE in kinds:
                yield from _identified(meaning, node, left, right)
        elif Kind.TEXT in kinds and Kind.VALUE not in kinds:
            other = right if kinds[0] is Kind.TEXT else left
            if not isinstance(other, ast.Call) or None not in kinds:  # what a call gives may be a value
                yield _reads(node, "a comparison")
        elif Kind.VALUE not in kinds and _compares_members(meaning, op, left, right):
            yield _reads(node, "a comparison")


def _compares_members(meaning: Meaning, op: ast.cmpop, left: ast.expr, right: ast.expr) -> bool:
    if isinstance(op, (ast.In, ast.NotIn)):
        return meaning.holds_in_order(right)
    is_empty = any(not held for held in map(meaning.held, (left, right)) if isinstance(held, _COLLECTIONS))
    is_empty |= any(isinstance(each, (ast.List, ast.Tuple)) and not each.elts for each in (left, right))
    return not is_empty and (meaning.holds(left) or meaning.holds(right))


def _identified(meaning: Meaning, node: ast.Compare, left: ast.expr, right: ast.expr) -> Iterator[Finding]:
    value, other = (left, right) if meaning.kind(left) is Kind.VALUE else (right, left)
    held, against = meaning.held(value), meaning.held(other)
    if held is against is not UNKNOWN:  # so it is when the workflow runs
        return
    if against is None and isinstance(held, Value) and not assignable(type(None), held._type):
        return
    sign = "!=" if isinstance(node.ops[0], ast.IsNot) else "=="
    fix = f"use branch({_source(left)} {sign} {_source(right)}, then=..., otherwise=...): `{sign}` builds an expression"
    yield Finding("ORCH-D006", node, f"`is` compares the placeholder of `{_source(value)}`", TRACED_ONCE, fix)


def _called(meaning: Meaning, node: ast.Call) -> Iterator[Finding]:
    meaning.kind(node)  # comes across the function, if it is one of the user's
    callee, given = meaning.held(node.func), arguments_of(node)
    kinds = [meaning.kind(each) for each in given]
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    files = [keyword.value for keyword in node.keywords if keyword.arg == "file"]
    into = [node.func.value] if isinstance(node.func, ast.Attribute) else files
    if any(isinstance(meaning.held(each), StringIO) for each in into):  # where a prompt is put together
        return
    native = callee.__name__ if isinstance(callee, _NATIVE) else name  # it may have another name here
    if native and callee is getattr(builtins, native, None):  # where libraries also put a `print` of their own
        yield from _by_a_builtin(meaning, node, native, given)
    elif _is_of_texts(meaning, node.func):
        if kinds[:1] == [Kind.TEXT]:
            yield _reads(node, f"`{_source(node.func)}()`")
    elif (meant := meaning.meant(node)) is not None:
        yield from _CHECKS[type(meant)](meaning, meant)
    elif _reader(meaning, node.func, callee) and name not in LAYOUT and any(map(meaning.holds, given)):
        values = [each for each, kind in zip(given, kinds, strict=True) if kind is Kind.VALUE]
        what = f"{_source(node.func)}()"
        yield _looks(values[0], what) if values and Kind.TEXT not in kinds else _reads(node, f"`{what}`")
    elif isinstance(node.func, ast.Attribute):
        yield from _of_a_method(meaning, node, node.func, given)


def _by_a_builtin(meaning: Meaning, node: ast.Call, name: str, given: Sequence[ast.expr]) -> Iterator[Finding]:
    kinds = [meaning.kind(each) for each in given]
    fix = "print it in a tool that takes it: @tool" if name == "print" else IN_A_TOOL
    collects = meaning.holds if name in ("print", "repr", "ascii") else meaning.holds_in_order
    for argument, kind in zip(given, kinds, strict=True):
        if kind is Kind.VALUE and name in _OF_VALUES:
            yield _looks(argument, f"{name}()", fix)
        elif (kind is Kind.TEXT and name in _OF_TEXTS) or (name in _OF_COLLECTIONS and collects(argument)):
            yield _reads(argument, f"`{name}()`", fix)
    if name in ("map", "filter") and node.args:
        yield from _by_each(meaning, node, name)
    if name == "bool":
        yield from _untrue(meaning, given)
    if name == "format" and len(given) > 1 and kinds[0] is Kind.TEXT:
        yield _formats(given[0], _source(given[1]))


def _by_each(meaning: Meaning, node: ast.Call, name: str) -> Iterator[Finding]:
    """``map(len, texts)``: what is found in a call with one of them."""
    function, *sources = node.args
    what = f"{_source(function)}()"
    if name == "filter" and meaning.held(function) is None:
        function, what = ast.Constant(bool), "bool()"  # type: ignore[arg-type]
    calls = zip_longest(*map(meaning.members, sources), fillvalue=ast.Constant(UNKNOWN))  # type: ignore[arg-type]
    for members in {tuple(map(_likeness, each)): each for each in calls}.values():
        found = next(_called(meaning, meaning.made_up(ast.Call(function, list(members), []))), None)
        if found is not None:
            yield _looks(node, what) if found.code == "ORCH-D006" else _reads(node, f"`{what}`")
            return


def _likeness(member: ast.expr) -> object:
    """The same for members in which the same is found; a list may have many."""
    held: object = member.value if isinstance(member, ast.Constant) else member
    if isinstance(held, str):
        return bool(without_markers(held)) if has_marker(held) else held
    return Value if isinstance(held, Value) else id(held)


def _is_of_texts(meaning: Meaning, function: ast.expr) -> bool:
    """``str.lower`` and others, which take the text as an argument."""
    callee = meaning.held(function)
    if not isinstance(callee, (MethodDescriptorType, WrapperDescriptorType)):
        return False
    if isinstance(function, ast.Attribute) and meaning.held(function.value) is not str:  # it is of one text
        return False
    return callee.__objclass__ is str and callee.__name__ not in _SHAPING


def _of_a_method(
    meaning: Meaning, node: ast.Call, method: ast.Attribute, given: Sequence[ast.expr]
) -> Iterator[Finding]:
    receiver, held = meaning.kind(method.value), meaning.held(method.value)
    if (receiver is Kind.TEXT and method.attr not in LAYOUT) or (
        receiver is None and method.attr in _COMPARING and meaning.holds_in_order(method.value)
    ):
        yield _reads(node, f"`.{method.attr}()`")
    elif receiver is None and method.attr == "format" and isinstance(held, str):
        yield from _str_formatted(meaning, held, node)
    elif receiver is None and method.attr in _SEEKING and any(map(meaning.holds, given[:1])):
        in_a_collection = isinstance(method.value, _DISPLAYS) or isinstance(held, _COLLECTIONS)
        if in_a_collection:
            yield _reads(node, f"`.{method.attr}()`")


def _reader(meaning: Meaning, function: ast.expr, callee: object) -> bool:
    owner = meaning.held(function.value) if isinstance(function, ast.Attribute) else UNKNOWN
    if isinstance(function, ast.Attribute) and isinstance(made := function.value, ast.Call):
        return _reader(meaning, made.func, meaning.held(made.func))  # re.compile(...).sub(...)
    modules = [module_of(each).lstrip("_").partition(".")[0] for each in (callee, owner) if each is not UNKNOWN]
    seeds = callee is random.seed or callee is random.Random
    return seeds or not READERS.isdisjoint(modules)


def _str_formatted(meaning: Meaning, template: str, node: ast.Call) -> Iterator[Finding]:
    """``"{:>5}".format(text)``, and ``"{!s:>5}".format(value)``."""
    named = {keyword.arg: keyword.value for keyword in node.keywords}
    automatic = iter(range(len(node.args)))
    try:
        fields = list(string.Formatter().parse(template))
    except ValueError:  # tracing has said so
        return
    for _, field, spec, conversion in fields:
        if field is None:
            continue
        key = field.partition(".")[0].partition("[")[0] or next(automatic, "")
        argument = named.get(str(key))
        if str(key).isdigit() and int(key) < len(node.args):
            argument = node.args[int(key)]
        kind = None if argument is None else meaning.kind(argument)
        if argument is not None and spec and (kind is Kind.TEXT or (kind is Kind.VALUE and conversion == "s")):
            yield _formats(argument, f":{spec}")


def _percent_formatted(meaning: Meaning, node: ast.BinOp) -> Iterator[Finding]:
    """``"%-5s" % value``."""
    if not isinstance(node.op, ast.Mod):
        return
    if meaning.kind(node.left) is Kind.TEXT:
        yield _reads(node, "`%`")
        return
    template = meaning.held(node.left)
    if not isinstance(template, str) or not meaning.holds(node.right):
        return
    specs = [found for found in _PERCENT.findall(template) if found[2] != "%"]
    arguments: Mapping[object, ast.expr] = dict(enumerate([node.right]))
    if isinstance(node.right, ast.Tuple):
        arguments = dict(enumerate(node.right.elts))
    elif isinstance(node.right, ast.Dict):
        keys = [meaning.held(key) if key is not None else None for key in node.right.keys]
        arguments = dict(zip(keys, node.right.values, strict=True))
    for position, (key, spec, kind) in enumerate(specs):
        argument = arguments.get(key or position, node.right)
        if spec and kind in "sra" and meaning.holds(argument):
            yield _formats(argument, f"%{spec}{kind}")


def _tested(meaning: Meaning, node: _Test | ast.UnaryOp | ast.BoolOp) -> Iterator[Finding]:
    """A text that may turn out empty."""
    match node:
        case ast.BoolOp(values=values):
            tests = values[:-1]
        case ast.UnaryOp(operand=test):
            tests = [test] if isinstance(node.op, ast.Not) else []
        case _:
            tests = [node.test]
    yield from _untrue(meaning, tests)


def _untrue(meaning: Meaning, tests: Sequence[ast.expr]) -> Iterator[Finding]:
    for test in tests:
        if meaning.kind(test) is Kind.TEXT and _may_be_empty(meaning, test):
            yield _reads(test, "a test")


def _may_be_empty(meaning: Meaning, text: ast.expr) -> bool:
    held, text = meaning.held(text), meaning.written(text)
    if isinstance(held, str):
        return not without_markers(held)
    if isinstance(text, ast.JoinedStr):
        return all(isinstance(part, ast.FormattedValue) for part in text.values)
    if not isinstance(text, ast.Call):
        return False
    if isinstance(text.func, ast.Attribute) and text.func.attr in LAYOUT:
        return meaning.kind(text.func.value) is Kind.TEXT and _may_be_empty(meaning, text.func.value)
    return meaning.held(text.func) is str


def _matched(meaning: Meaning, node: ast.Match) -> Iterator[Finding]:
    subject, patterns = node.subject, [pattern for case in node.cases for pattern in ast.walk(case.pattern)]
    if meaning.kind(subject) is Kind.TEXT:
        yield _reads(subject, "`match`")
    elif meaning.kind(subject) is Kind.VALUE and any(
        isinstance(pattern, (ast.MatchSingleton, ast.MatchSequence, ast.MatchMapping)) for pattern in patterns
    ):
        yield _looks(subject, "match", "use branch(..., then=..., otherwise=...) for each case")


def _looks(node: ast.expr, what: str, fix: str = IN_A_TOOL) -> Finding:
    message = f"`{what}` looks at the placeholder of `{_source(node)}`, which is only known when the workflow runs"
    return Finding("ORCH-D006", node, message, TRACED_ONCE, fix)


def _reads(node: ast.expr, what: str, fix: str = IN_A_TOOL) -> Finding:
    message = f"{what} reads a text whose placeholders are filled when the workflow runs: `{_source(node)}`"
    return Finding("ORCH-D008", node, message, ON_THE_PLACEHOLDER, fix)


def _formats(node: ast.expr, spec: str) -> Finding:
    message = f"format spec `{spec}` on `{_source(node)}`"
    fix = "write it without a spec; format it inside a tool: @tool(effects='pure')"
    return Finding("ORCH-D007", node, message, "there is nothing to format until the workflow runs", fix)


def _source(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


_Test: TypeAlias = "ast.If | ast.IfExp | ast.While | ast.Assert"
_CHECKS: Final[Mapping[type[ast.AST], Callable[[Meaning, Any], Iterator[Finding]]]] = {
    ast.Compare: _compared, ast.Call: _called, ast.Subscript: _subscripted, ast.FormattedValue: _formatted,
    ast.BinOp: _percent_formatted, ast.For: _iterated, ast.comprehension: _iterated, ast.If: _tested,
    ast.IfExp: _tested, ast.While: _tested, ast.Assert: _tested, ast.UnaryOp: _tested, ast.BoolOp: _tested,
    ast.Match: _matched, ast.Set: _hashed, ast.Dict: _hashed, ast.SetComp: _hashed, ast.DictComp: _hashed,
}  # fmt: skip
