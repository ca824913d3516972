"""Python source of a region's inline ops.

One assignment a line, in program order, so that the line number of a failure tells the op::

    def s0(v):
        v[2] = f1(v[0], v[1])
        v[3] = v[2].sql
        v[4] = "".join(("Question: ", text(v[0])))

A region inside another one that never suspends is one function, ``whole``, which the op around it calls once per item
or iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, get_args, get_origin

from orchestrator.dsl.types.typing import UNIONS, is_typed_dict
from orchestrator.dsl.types.typing import plain as unannotated
from orchestrator.errors import SourceLoc
from orchestrator.runtime.values.numpy_scalars import plain


@dataclass(frozen=True, slots=True)
class OneOf:
    """The values of a ``Literal``, in place of a class: ``isinstance("a", OneOf(("a", "b")))``."""

    values: tuple[object, ...]

    def __instancecheck__(self, value: object) -> bool:
        return any(type(value) is type(each) and value == each for each in self.values)

    @property
    def __name__(self) -> str:
        return " | ".join(map(repr, self.values))


Classes = type | OneOf | tuple[type | OneOf, ...]
"""What a result must be an instance of: a class or a literal, or one of several."""


def outer_classes(tp: Any) -> Classes | None:
    """What every value of type ``tp`` is an instance of, as far as that is worth checking."""
    tp = unannotated(tp)
    cls = get_origin(tp) or tp
    if cls in UNIONS:
        found: list[type | OneOf] = []
        for member in get_args(tp):
            classes = outer_classes(member)
            if classes is None:
                return None
            found += classes if isinstance(classes, tuple) else (classes,)
        return (*found, int) if float in found else tuple(found)
    if cls is Literal:
        return OneOf(get_args(tp))
    if cls is Any or not isinstance(cls, type) or cls is object or getattr(cls, "_is_protocol", False):
        return None
    return dict if is_typed_dict(cls) else cls


class Slotted(Protocol):
    """A value that has been given a slot."""

    slot: int


@dataclass(slots=True)
class Line:
    """An inline op before its slots are known."""

    id: str
    where: SourceLoc | None
    value: Any
    args: Sequence[Slotted]
    emit: Callable[..., str]
    bound: tuple[str, ...]
    """The name of the object the expression refers to, if any."""
    check: Classes | None
    tool: str | None = None


class Names:
    """Globals for generated code: one short name for each object."""

    def __init__(self) -> None:
        self.env: dict[str, Any] = {}
        self._known: dict[int, str] = {}

    def of(self, target: object) -> str:
        """The name of ``target``, which ``env`` keeps alive."""
        name = self._known.get(id(target))
        if name is None:
            name = self._known[id(target)] = f"f{len(self._known)}"
            self.env[name] = target
        return name


class ResultTypeError(TypeError):
    """A function returned something else than it declares."""

    def __init__(self, value: object, expected: Classes) -> None:
        parts = expected if isinstance(expected, tuple) else (expected,)
        declared = " | ".join(cls.__name__.replace("NoneType", "None") for cls in parts)
        found = repr(value) if any(isinstance(each, OneOf) for each in parts) else type(value).__name__
        super().__init__(f"it returned {found}, and declares {declared}")


def _fits(value: object, expected: Classes) -> bool:
    return isinstance(value, cast("Any", expected)) or (expected is float and isinstance(value, int))


def check_result(value: object, expected: Classes) -> object:
    """``value``, if it may stand where ``expected`` is declared; numpy's scalars as Python's.

    Raises :class:`ResultTypeError`.
    """
    if _fits(value, expected):
        return value
    if _fits(told := plain(value), expected):
        return told
    raise ResultTypeError(value, expected)


def check_results(v: list[Any], first: int, expected: Sequence[Classes | None]) -> None:
    """:func:`check_result` for consecutive slots from ``first``; None accepts anything."""
    for slot, cls in enumerate(expected, first):
        if cls is not None and type(v[slot]) is not cls:
            v[slot] = check_result(v[slot], cls)


def region_source(
    groups: Sequence[Sequence[Line]], slots: tuple[int, int] | None, yields: Sequence[int], names: Names
) -> tuple[str, tuple[int | None, ...]]:
    """The source of a region's segments, and for each line the index of the op that it computes, if it does.

    With ``slots`` (how many are inputs, and how many there are) it is one function ``whole`` from inputs to what the
    region yields; else a function ``s<n>`` over the list of slots for each segment that computes something. Results
    are checked one by one in ``whole``, which is short and called often, and together at the end of a segment, because
    a second line an op would double the time that Python needs to compile a long one.
    """
    text: list[str] = []
    lines: list[int | None] = []

    def add(line: str, op: int | None = None) -> None:
        text.append(line)
        lines.append(op)

    index = 0
    for number, group in enumerate(groups):
        if slots is not None:
            inputs = [f"x{slot}" for slot in range(slots[0])]
            add(f"def whole({','.join(inputs)}):")
            add(f" v=[{','.join(inputs + ['None'] * (slots[1] - slots[0]))}]")
        elif group:
            add(f"def s{number}(v):")
        else:
            continue
        for line in group:
            target = f"v[{line.value.slot}]"
            add(f" {target}={line.emit(*line.bound, *[f'v[{arg.slot}]' for arg in line.args])}", index)
            if slots is not None and line.check is not None:
                cls = names.of(line.check)
                add(f" if type({target}) is not {cls}:{target}={names.of(check_result)}({target},{cls})", index)
            index += 1
        if slots is not None:
            add(f" return ({''.join(f'v[{slot}],' for slot in yields)})")
        elif any(line.check for line in group):
            expected = names.of(tuple(line.check for line in group))
            add(f" {names.of(check_results)}(v,{group[0].value.slot},{expected})")
    return "\n".join(text) + "\n", tuple(lines)
