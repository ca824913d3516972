"""``switch``: one of several regions, by the value or the class of something. It is one level deep, however many.

A case is written into the IR as JSON: a value as it is, a class as ``{"type": "Row"}``, the member of an ``Enum`` as
``{"type": "Colour", "value": "red"}``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from enum import Enum, Flag
from typing import Any, Final, TypeVar, Unpack, get_args

from orchestrator.dsl.declared.policy import Opts
from orchestrator.dsl.options import Policy, policy_of
from orchestrator.dsl.regions.alternatives import alternatives, trace_arm
from orchestrator.dsl.tracing.constants import LossyConstantError, constant_json, describe, is_symbolic, named, shown
from orchestrator.dsl.tracing.lifting import lift
from orchestrator.dsl.tracing.tracer import Tracer, Value, require_tracer
from orchestrator.dsl.types.typing import UNIONS, NoneType, TypeForm, literals_of, origin_of, plain, type_string

T = TypeVar("T")

Case = tuple[tuple[object, ...], Callable[[], object]]
"""The values or classes that it is for, and what then happens."""

_CONSTANTS: Final = (str, int, float, Enum, NoneType, type)


def switch(
    value: Any,
    cases: Mapping[Any, Callable[[], T]],
    otherwise: Callable[[], T] | None = None,
    **policy: Unpack[Policy],
) -> T:
    """Run the case of ``value``: ``switch(kind, {"bug": fix, "question": answer})``.

    A case is a value, a class (of which ``value`` then is), or a tuple of such. Without ``otherwise`` the cases cover
    all that the type of ``value`` allows: each member of its ``Literal``, ``Enum`` or union. Where the types of what
    they yield differ, the result is one or the other.
    """
    tracer = require_tracer("switch")
    name, opts = policy_of(tracer, "switch", policy)
    if not isinstance(cases, Mapping) or isinstance(cases, Value):
        fix = 'switch(value, {"a": lambda: ..., "b": lambda: ...})'
        return tracer.report("ORCH-D041", f"switch gets {describe(cases)} for its cases", fix=fix)  # type: ignore[return-value]
    if not cases and otherwise is None:
        return tracer.report("ORCH-D025", "a switch without cases", fix="give it a case, or decide nothing")  # type: ignore[return-value]
    given = [(case if isinstance(case, tuple) else (case,), function) for case, function in cases.items()]
    return switch_op(tracer, lift(tracer, value), given, otherwise, opts=opts, name=name)  # type: ignore[no-any-return]


def switch_op(
    tracer: Tracer,
    subject: Value[Any],
    cases: Sequence[Case],
    default: Callable[[], object] | None,
    *,
    opts: Opts,
    name: str | None = None,
) -> Any:
    """What the first case that ``subject`` is of gives, else ``default``; without one, the cases cover its type."""
    subject = lift(tracer, subject)
    reported = len(tracer.diagnostics)
    encoded = encoded_cases(tracer, subject, [values for values, _ in cases])
    if default is None and len(tracer.diagnostics) == reported:
        _check_exhaustive(tracer, subject, [each for values, _ in cases for each in values])
    named = [", ".join(map(_name, values)) for values, _ in cases]
    arms = [trace_arm(tracer, f"case {each} of switch", cases[at][1]) for at, each in enumerate(named)]
    if default is not None:
        arms.append(trace_arm(tracer, "`otherwise` of switch", default))
    return alternatives(tracer, "switch", [subject], arms, attrs={"cases": encoded}, opts=opts, name=name)


def _encoded(tracer: Tracer, subject: Value[Any], case: object) -> str | None:
    """A case as JSON; None after reporting that it is none."""
    if is_symbolic(case) or not isinstance(case, _CONSTANTS):
        why = "which case it is is looked up among values that are known before"
        fix = "use texts, numbers, None, members of an Enum, or classes; compare anything else in a tool"
        what = named(case) if is_symbolic(case) else shown(case)
        tracer.report("ORCH-D025", f"{what} cannot be a case of a switch", why=why, fix=fix)
        return None
    possible = possibilities(subject._type)
    if possible is not None and not any(_may_be(each, case) for each in possible):
        names = list(map(_name, possible))
        close = get_close_matches(_name(case), names, n=1)
        tracer.report(
            "ORCH-D025",
            f"`{subject._origin.name}` is never {_name(case)}: it is {type_string(subject._type)}",
            fix=f"did you mean {close[0]}?" if close else f"it can be {', '.join(names)}",
        )
        return None
    if isinstance(case, type):
        return json.dumps(None if case is NoneType else {"type": tracer.register_type(case)})
    try:
        text = constant_json(case, type(case))
    except LossyConstantError as error:
        tracer.report("ORCH-D025", f"{shown(case)} cannot be a case of a switch", why=str(error), fix="use a text")
        return None
    if not isinstance(case, Enum):
        return text
    return json.dumps({"type": tracer.register_type(type(case)), "value": json.loads(text)}, ensure_ascii=False)


def encoded_cases(tracer: Tracer, subject: Value[Any], cases: Sequence[Sequence[object]]) -> list[list[str | None]]:
    """The attribute ``cases`` of an ``agent.switch``; a case that its subject can never be is reported."""
    return [[_encoded(tracer, subject, each) for each in values] for values in cases]


def _check_exhaustive(tracer: Tracer, subject: Value[Any], cases: Sequence[object]) -> None:
    possible = possibilities(subject._type)
    why = f"`{subject._origin.name}` at {subject._origin.where} is {type_string(subject._type)}"
    if possible is None and subject._type is Any and tracer.diagnostics:
        return  # what stands for the result of an erroneous op
    if possible is None:
        fix = "give otherwise=, or declare its type as a Literal, an Enum or a union of classes"
        tracer.report("ORCH-D025", "a switch that may have no case", why=why, fix=fix)
        return
    missing = [_name(each) for each in possible if not any(_covers(case, each) for case in cases)]
    if missing:
        fix = "add it, or give otherwise=" if len(missing) == 1 else "add them, or give otherwise="
        tracer.report("ORCH-D025", f"no case of the switch is for {', '.join(missing)}", why=why, fix=fix)


def are_exhaustive(cases: Sequence[object], tp: TypeForm) -> bool:
    """Whether each value of the type has a case."""
    possible = possibilities(tp)
    return possible is not None and all(any(_covers(case, each) for case in cases) for each in possible)


def possibilities(tp: TypeForm) -> list[object] | None:
    """What a value of the type is one of: values, and classes of which there are more; None where nobody knows."""
    tp = plain(tp)
    origin = origin_of(tp)
    if (values := literals_of(tp)) is not None:
        return list(values)
    if origin in UNIONS:
        found: list[object] = []
        for member in get_args(tp):
            inner = possibilities(member)
            if inner is None:
                return None
            found += inner
        return found
    cls = origin or tp
    if cls is Any or cls is object or not isinstance(cls, type):
        return None
    if cls is bool:
        return [True, False]
    return list(cls) if issubclass(cls, Enum) and not issubclass(cls, Flag) else [cls]  # flags can be combined


def _may_be(possible: object, case: object) -> bool:
    """Whether something that is one of ``possible`` may be what the case is for."""
    if isinstance(possible, type):
        if isinstance(case, type):
            return issubclass(case, possible) or issubclass(possible, case)
        return isinstance(case, possible) or (possible is float and isinstance(case, int))
    return _covers(case, possible)


def _covers(case: object, possible: object) -> bool:
    """Whether the case is for all that ``possible`` is."""
    if isinstance(case, type):
        return issubclass(possible, case) if isinstance(possible, type) else isinstance(possible, case)
    return not isinstance(possible, type) and case == possible and isinstance(case, bool) is isinstance(possible, bool)


def _name(case: object) -> str:
    return case.__qualname__ if isinstance(case, type) else str(case) if isinstance(case, Enum) else repr(case)
