"""What happens where Python needs a symbolic value concretely: a coded error, and an answer to go on with.

Answers let the rest of the function be traced so that all its errors appear at once. A truth value alternates between
True and False at each place in the code, which takes ``while value:`` and ``while not value:`` to their end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

from orchestrator.dsl.location import user_frame
from orchestrator.dsl.syntax import condition_at
from orchestrator.dsl.typing import origin_of, plain, type_string

if TYPE_CHECKING:
    from orchestrator.dsl.value import Value

_TRACED_ONCE = "the function is traced once, before any model or tool has answered"
_FIXES = {
    "if": "branch({test}, then=..., otherwise=...)",
    "assert": "check it in a tool that raises, or branch({test}, then=..., otherwise=...)",
    "while": "loop(body, init, max=..., until=...)",
    "and": "`a & b`, which builds an expression",
    "or": "`a | b`, which builds an expression",
    "chained comparison": "`(a < b) & (b < c)`, which builds an expression",
    "not": "`~{test}`, which builds an expression",
}


def truth(value: Value[Any]) -> bool:
    """``bool(value)``."""
    tracer = value._tracer
    frame = user_frame()
    place = (frame.f_code, frame.f_lineno)
    tracer.truths[place] = count = tracer.truths.get(place, 0) + 1
    if count == 1:
        keyword, test = condition_at(frame)
        test = (test or value._origin.name).replace("not ", "~")
        tracer.report(
            "ORCH-D004",
            f"`{keyword}` needs a concrete value, but `{test.removeprefix('~')}` is only known when the workflow runs",
            why=_TRACED_ONCE,
            fix="use " + _FIXES.get(keyword, _FIXES["if"]).format(test=test),
        )
    return count % 2 == 1


def items(value: Value[Any]) -> Iterator[Any]:
    """``iter(value)``: the items of a tuple of known arity; an error for anything else."""
    arguments = get_args(plain(value._type))
    if origin_of(plain(value._type)) is tuple and Ellipsis not in arguments:
        return iter([value[position] for position in range(len(arguments))])
    length = value._length
    value._tracer.report(
        "ORCH-D005",
        f"iterating over `{value._origin.name}` ({type_string(value._type)}), only known when the workflow runs",
        why=_TRACED_ONCE,
        fix="use map_(fn, values)" if length else "use map_(fn, values, limit=...), or index a fixed item with [0]",
    )
    return iter([value._tracer.poison()])


def membership(value: Value[Any]) -> bool:
    """``item in value``."""
    value._tracer.report(
        "ORCH-D005",
        f"`in` needs the items of `{value._origin.name}`, which are only known when the workflow runs",
        why=_TRACED_ONCE,
        fix="test it in a tool that returns bool: @tool(effects='pure')",
    )
    return False


def length(value: Value[Any]) -> int:
    """``len(value)``."""
    value._tracer.report(
        "ORCH-D005",
        f"len() of `{value._origin.name}`, whose length is only known when the workflow runs",
        why=_TRACED_ONCE,
        fix="compute it in a tool that takes the list: @tool(effects='pure')",
    )
    return 1


def number(value: Value[Any], what: str) -> int:
    """``int(value)``, ``float(value)``, ``range(value)`` or ``sequence[value]``."""
    value._tracer.report(
        "ORCH-D006",
        f"{what} needs a concrete number, but `{value._origin.name}` is only known when the workflow runs",
        why=_TRACED_ONCE,
        fix="convert or index inside a tool; repeat with loop(max=...) instead of range()",
    )
    return 1


def called(value: Value[Any]) -> Value[Any]:
    """``value(...)``: silent after the error that made ``value`` a poison value, as in ``reply.strip()``."""
    if value._type is not Any:
        value._tracer.report(
            "ORCH-D006",
            f"`{value._origin.name}` is a value of type {type_string(value._type)}, not a function",
            fix="call tools and workflows by name",
        )
    return value._tracer.poison()
