"""``"%s has %d" % (name, count)``: each conversion of a symbolic value is on its own, so a prompt stays a template.

A plain ``%s`` is a hole, as in an f-string; any other conversion is an op that makes its text. Where tracing does not
know the format, or which conversion gets what, the whole is one op.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestrator.dsl import operations
from orchestrator.dsl.operations.expressions import binary
from orchestrator.dsl.operations.operands import tracer_of
from orchestrator.dsl.tracing.template import has_marker
from orchestrator.dsl.tracing.tracer import Value
from orchestrator.dsl.types.kinds import class_of

_CONVERSION: Final = re.compile(r"%(?:\(([^)]*)\))?([#0\- +]*(?:\*|\d+)?(?:\.(?:\*|\d*))?)[hlL]?(.)", re.DOTALL)
_SEVERAL: Final = (None, tuple, dict)
"""Classes of which a value may be for several conversions; None is one that nobody knows."""


def filled(text: str, given: Any) -> Any:
    """``text % given``, of which something is symbolic."""
    if has_marker(text) or (isinstance(given, Value) and class_of(given._type) in _SEVERAL):
        return binary(tracer_of(given), "mod", operations.as_value(text), operations.as_value(given))
    arguments = _Arguments(given)
    parts: list[str] = []
    end = 0
    for found in _CONVERSION.finditer(text):
        parts += [text[end : found.start()], arguments.converted(*found.groups())]
        end = found.end()
    arguments.check()
    return "".join([*parts, text[end:]])


class _Arguments:
    """What is on the right of ``%``, as the conversions take it one by one."""

    def __init__(self, given: Any) -> None:
        self._given = given
        self._named = isinstance(given, Mapping)
        self._rest: Iterator[Any] = iter(given if isinstance(given, tuple) else (given,))

    def converted(self, key: str | None, spec: str, kind: str) -> str:
        """The text of one conversion."""
        if kind == "%":
            return "%"
        if key is not None and not self._named:
            raise TypeError("format requires a mapping")
        taken = (self._given[key],) if key is not None else tuple(self._next() for _ in range(spec.count("*") + 1))
        if not any(map(operations.holds_symbolic, taken)):
            return f"%{spec}{kind}" % taken
        if kind == "s" and not spec:
            return f"{operations.as_value(taken[0])}"
        return f"{binary(tracer_of(*taken), 'mod', f'%{spec}{kind}', taken)}"

    def check(self) -> None:
        """Raise what Python raises where something is left."""
        if not self._named and any(True for _ in self._rest):
            raise TypeError("not all arguments converted during string formatting")

    def _next(self) -> Any:
        for each in self._rest:
            return each
        raise TypeError("not enough arguments for format string")
