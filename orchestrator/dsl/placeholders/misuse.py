"""What happens where Python needs a symbolic value concretely: a coded error, and an answer to go on with.

Answers let the rest of the function be traced so that all its errors appear at once. A truth value alternates between
True and False at each place in the code, which takes ``while value:`` and ``while not value:`` to their end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final, get_args

from orchestrator.dsl.operations.expressions import index as at
from orchestrator.dsl.source.location import is_asked_by_user, user_frame
from orchestrator.dsl.source.syntax import UNKNOWN, condition_at
from orchestrator.dsl.tracing.tracer import Value, current_tracer
from orchestrator.dsl.types.kinds import class_of as class_of_type
from orchestrator.dsl.types.typing import assignable, origin_of, plain, type_string
from orchestrator.errors import TraceError

TRACED_ONCE: Final = "the function is traced once, before any model or tool has answered"
ON_THE_PLACEHOLDER: Final = "it works on the placeholder, not on the text that will be there"
IN_A_TOOL: Final = "compute it in a tool that takes the values: @tool(effects='pure')"
_FIXES = {
    "if": "use branch({test}, then=..., otherwise=...)",
    "assert": "check it in a tool that raises, or use branch({test}, then=..., otherwise=...)",
    "while": "use loop(body, init, max=..., until=...)",
    "and": "use `{a} & {b}`, which builds an expression",
    "or": "use `{a} | {b}`, which builds an expression",
    "chained comparison": "use `(a < b) & (b < c)`, which builds an expression",
    "not": "use `{test}`, which builds an expression",
    "bool()": "use `{test}`, which builds an expression",
    "in": "use `({x} == a) | ({x} == b)`, which builds an expression, or test it in a tool that returns bool",
}


def truth(value: Value[Any]) -> bool:
    """``bool(value)``."""
    tracer = value._tracer
    frame = user_frame()
    place = (frame.f_code, frame.f_lineno)
    tracer.truths[place] = count = tracer.truths.get(place, 0) + 1
    if count == 1:
        condition = condition_at(frame)
        keyword, text, negated = condition
        text = text or value._origin.name
        negated ^= keyword == "not"
        what = f"but `{text}` is only known" if keyword in _NAMING else "and this one is only known"
        of_call = keyword.endswith("()") and keyword != "bool()"
        test = None if of_call or condition is UNKNOWN else _as_bool(text, value._type, negated)
        fix = _FIXES.get(keyword, IN_A_TOOL) if test is not None else IN_A_TOOL
        a, b = (_as_bool(letter, value._type, negated=False) or letter for letter in "ab")
        tracer.report(
            "ORCH-D004",
            f"`{keyword}` needs a concrete value, {what} when the workflow runs",
            why=TRACED_ONCE,
            fix=fix.format(test=test, x=text, a=_grouped(a), b=_grouped(b)),
        )
    return count % 2 == 1


_NAMING = ("if", "while", "assert", "not", "and", "or", "bool()", "chained comparison")


def _as_bool(text: str, tp: Any, negated: bool) -> str | None:
    """An expression that says whether Python would take a value of this type for true; None if a tool must."""
    tp = plain(tp)
    if assignable(tp, bool):
        return f"~{_grouped(text)}" if negated else text
    sign = "==" if negated else "!="
    if type(None) in get_args(tp):
        return f"{text} {sign} None"
    if assignable(tp, float):
        return f"{text} {sign} 0"
    if assignable(tp, str):
        return f'{text} {sign} ""'
    return f"{text} {sign} []" if origin_of(tp) is list else None


def _grouped(text: str) -> str:
    return text if text.replace(".", "").replace("_", "").isalnum() else f"({text})"


def items(value: Value[Any]) -> Iterator[Any]:
    """``iter(value)``: the items of a tuple of known arity; an error for anything else."""
    arguments = get_args(plain(value._type))
    if origin_of(plain(value._type)) is tuple and Ellipsis not in arguments:
        return iter([at(value, position) for position in range(len(arguments))])
    length = value._length
    value._tracer.report(
        "ORCH-D005",
        f"iterating over `{value._origin.name}` ({type_string(value._type)}), only known when the workflow runs",
        why=TRACED_ONCE,
        fix="use map_(fn, values)" if length else "use map_(fn, values, limit=...), or index a fixed item with [0]",
    )
    return iter([value._tracer.poison()])


def membership(value: Value[Any]) -> bool:
    """``item in value``."""
    value._tracer.report(
        "ORCH-D005",
        f"`in` needs the items of `{value._origin.name}`, which are only known when the workflow runs",
        why=TRACED_ONCE,
        fix="test it in a tool that returns bool: @tool(effects='pure')",
    )
    return False


def length(value: Value[Any]) -> int:
    """``len(value)``."""
    value._tracer.report(
        "ORCH-D005",
        f"len() of `{value._origin.name}`, whose length is only known when the workflow runs",
        why=TRACED_ONCE,
        fix="compute it in a tool that takes the list: @tool(effects='pure')",
    )
    return 1


def number(value: Value[Any], what: str) -> int:
    """``int(value)``, ``float(value)``, ``range(value)`` or ``sequence[value]``."""
    value._tracer.report(
        "ORCH-D006",
        f"{what} needs a concrete number, but `{value._origin.name}` is only known when the workflow runs",
        why=TRACED_ONCE,
        fix="convert or index inside a tool; repeat with loop(max=...) instead of range()",
    )
    return 1


def index(value: Value[Any]) -> int:
    """``sequence[value]``, ``range(value)``, and what takes the number of an open file, as ``open(value)``."""
    found = number(value, "an index or range()")
    if plain(value._type) is Any or not assignable(value._type, int):
        raise TraceError.collect([value._tracer.diagnostics.pop()])  # rather than to open, and close, that file
    return found


def hashed(value: Value[Any]) -> int:
    """``hash(value)``, also as the key of a dict, a member of a set or the argument of a cached function."""
    if _is_traced(value):
        value._tracer.report(
            "ORCH-D006",
            f"hash(), a dict's key or a set needs `{value._origin.name}`, which is only known when the workflow runs",
            why=TRACED_ONCE,
            fix="compare with ==, which builds an expression, or look it up in a tool: @tool(effects='pure')",
        )
    return object.__hash__(value)


def in_place(value: Value[Any], operator: str, made: Any) -> Any:
    """``value += other``, where that is ``made``."""
    if class_of_type(value._type) in (list, dict, set):
        value._tracer.report(
            "ORCH-D052",
            f"`{operator}` changes `{value._origin.name}`, in a function that is not compiled",
            why="a value of a workflow is never changed: only the name here would hold the new one, and nobody else",
            fix=f"give the name a new value: xs = xs {operator[0]} ys, and return it; or do it in the workflow",
        )
    return made


def class_of(value: Value[Any]) -> type:
    """``value.__class__``, which is what ``isinstance(value, int)`` asks for."""
    if is_asked_by_user(sys._getframe(2)) and _is_traced(value):
        value._tracer.report(
            "ORCH-D006",
            f"the class of `{value._origin.name}`, as isinstance() asks for it, is only known when the workflow runs",
            why=TRACED_ONCE,
            fix="test it in a tool that returns bool, and use branch(..., then=..., otherwise=...) with narrow()",
        )
    return type(value)


def _is_traced(value: Value[Any]) -> bool:

    return current_tracer() is value._tracer


def called(value: Value[Any]) -> Value[Any]:
    """``value(...)``: silent after the error that made ``value`` a poison value, as in ``reply.strip()``."""
    if value._type is not Any or value._ssa is not None:
        of_any = "say what it is before you call a method of it: narrow(value, str).strip()"
        value._tracer.report(
            "ORCH-D006",
            f"`{value._origin.name}` is a value of type {type_string(value._type)}, not a function",
            fix=of_any if value._type is Any else "call tools and workflows by name",
        )
    return value._tracer.poison()
