"""Values out of what a workflow's function computes with: constants, texts with markers, lists of values, ranges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.dsl.tracing.constants import (
    LossyConstantError,
    constant_json,
    constant_type,
    culprit,
    describe,
    endless,
    fits_typed_dict,
    is_symbolic,
    joined,
    remedy,
    shown,
)
from orchestrator.dsl.tracing.known import is_fixed, of_object
from orchestrator.dsl.tracing.sharing import note
from orchestrator.dsl.tracing.template import ConvertedMarkerError, CutMarkerError, ForeignMarkerError, has_marker
from orchestrator.dsl.tracing.tracer import Result, Tracer, Value
from orchestrator.dsl.types.bounds import Length
from orchestrator.dsl.types.typing import TypeForm, assignable, dict_of, list_of, tuple_of, type_string, typed_items


def lift(tracer: Tracer, obj: object, expected: TypeForm = Any) -> Value[Any]:
    """``obj`` as a value: itself, a prompt template, a list of values, or a constant."""
    if isinstance(obj, Value):
        return tracer.usable(obj)
    if isinstance(obj, SymbolicRange):
        return tracer.usable(obj.as_list())
    if isinstance(obj, dict) and hasattr(type(obj), "__missing__"):
        return tracer.report(
            "ORCH-D013",
            f"{describe(obj)} cannot be a value of a workflow",
            why="a value is a plain dict, which does not make what it lacks",
            fix="use a dict: d[key] = d.get(key, 0) + 1, d.setdefault(key, []).append(x); or hand on dict(d)",
        )
    if (problem := endless(obj)) is not None:
        return tracer.report(
            "ORCH-D013",
            f"{describe(obj)} {problem}",
            why="what a workflow holds is written into the IR, level by level",
            fix="build it in a tool, from what it is made of",
        )
    if is_symbolic(obj) and isinstance(obj, str):
        return template_of(tracer, obj)
    made = (_container if is_symbolic(obj) else _constant)(tracer, obj, expected)
    return made if is_fixed(obj) else note(made, of_object(tracer, obj))


def _constant(tracer: Tracer, obj: object, expected: TypeForm) -> Value[Any]:
    tp = constant_type(obj, expected)
    if tp is None:
        return tracer.report(
            "ORCH-D013",
            f"{describe(culprit(obj))} cannot be a constant of a workflow",
            why="constants are written into the IR as JSON",
            fix=remedy(culprit(obj)),
        )
    length = Length(len(obj), len(obj)) if isinstance(obj, (list, tuple)) else None
    try:
        text = constant_json(obj, tp)
    except LossyConstantError as error:
        message, fix = (
            f"{describe(obj)} cannot be a constant of a workflow",
            "build it in a tool, from what it is made of",
        )
        return tracer.report("ORCH-D013", message, why=f"constants are written into the IR as JSON: {error}", fix=fix)
    if has_marker(text):
        return tracer.report(
            "ORCH-D013",
            f"{describe(obj)} holds a text with a symbolic value",
            why="constants are known before the workflow runs",
            fix="build it as an op: call(Model, field=value), or in a tool that takes the text",
        )
    return tracer.op("const", [], [Result(tp, length)], {"value": text})[0]


def feed(tracer: Tracer, obj: object, expected: TypeForm, role: str) -> Value[Any]:
    """``obj`` as a value where ``expected`` is required; ``role`` names the place in the message."""
    value = lift(tracer, obj, expected)
    if not assignable(value._type, expected):
        origin, wanted, got = value._origin, type_string(expected), type_string(value._type)
        why = f"`{origin.name}` at {origin.where} produces {got}"
        fix = f"convert it in a tool, or change one of the two types to {wanted}"
        if got == wanted:  # a cell or a module has run again
            got = "another type of that name"
            why += ", of a class that was defined again since the other was"
            fix = "define again, too, what was defined with the earlier class"
        return tracer.report("ORCH-D010", f"{role} expects {wanted}, but gets {got}", why=why, fix=fix)
    return value


def feed_text(tracer: Tracer, obj: object, role: str) -> Value[str]:
    """A prompt: like :func:`feed` of a string, but a literal becomes a template without holes."""
    if isinstance(obj, str):
        return template_of(tracer, obj)
    return feed(tracer, obj, str, role)


def template_of(tracer: Tracer, text: str) -> Value[str]:
    """The prompt template of a string that may contain markers."""
    try:
        split = tracer._markers.split(text)
    except ConvertedMarkerError as error:
        return tracer.report(
            "ORCH-D007",
            f"`!r` on `{tracer._holes[error.hole]._origin.name}` in an f-string",
            why="a hole of a prompt template is filled with the value's text",
            fix="write {value} without !r; format it inside a tool if the model needs quotes",
        )
    except ForeignMarkerError:
        return tracer.report(
            "ORCH-D033",
            "a prompt contains a value of another workflow",
            fix="pass the value in as a parameter of this workflow",
        )
    except CutMarkerError:
        return tracer.report(
            "ORCH-D008",
            "a string operation cut or changed the placeholder of a symbolic value",
            why="what changes a text changes the placeholder, and not the text that will be there",
            fix="slice or replace inside a tool, and put its result into the f-string",
        )
    holes = [tracer.usable(tracer._holes[hole]) for hole in split.holes]
    return tracer.op("prompt", holes, [Result(str)], {"parts": list(split.parts)})[0]


def _container(tracer: Tracer, obj: object, expected: TypeForm) -> Value[Any]:
    if isinstance(obj, dict):
        if not all(isinstance(key, str) and not has_marker(key) for key in obj):
            return tracer.report(
                "ORCH-D013",
                "a dict whose keys are no strings known while tracing cannot hold symbolic values",
                fix="use text keys, or build the dict in a tool",
            )
        wanted = typed_items(expected) or {}
        items = {key: lift(tracer, item, wanted.get(key, Any)) for key, item in obj.items()}
        values = {key: item._type for key, item in items.items()}
        is_typed = fits_typed_dict(values, expected)
        return tracer.builtin("dict", items, expected if is_typed else dict_of(joined(list(values.values()))))
    assert isinstance(obj, (list, tuple))
    items = {str(position): lift(tracer, item) for position, item in enumerate(obj)}
    types = [item._type for item in items.values()]
    kind, tp = ("tuple", tuple_of(types)) if isinstance(obj, tuple) else ("list", list_of(joined(types)))
    return tracer.builtin(kind, items, tp, length=Length(len(items), len(items)))


def waited_for(tracer: Tracer, after: object) -> list[Value[Any]]:
    """The values in an option ``after=``, which an op waits for and does not take."""
    leaves = list(_leaves(after))
    for leaf in leaves:
        if not is_symbolic(leaf):
            fix = "after= takes what ops of the workflow return: after=receipt, or after=[first, second]"
            tracer.report("ORCH-D041", f"after={shown(leaf)}, which nothing has to wait for", fix=fix)
    return [lift(tracer, leaf) for leaf in leaves]


def _leaves(after: object) -> Iterator[object]:
    if isinstance(after, (list, tuple, dict)):
        for each in after.values() if isinstance(after, dict) else after:
            yield from _leaves(each)
    else:
        yield after


class SymbolicRange:
    """A range with a symbolic bound: what ``for`` counts through. Wherever it is used as a list it becomes one."""

    __slots__ = ("_tracer", "start", "step", "stop")

    def __init__(self, tracer: Tracer, start: object, stop: object, step: object) -> None:
        self.start, self.stop, self.step = start, stop, step
        self._tracer = tracer

    def as_list(self) -> Any:
        """The numbers, as a value."""
        tracer, given = self._tracer, {"start": self.start, "stop": self.stop, "step": self.step}
        bounds = {name: lift(tracer, bound) for name, bound in given.items()}
        return tracer.builtin("range", bounds, list_of(int))

    def __getitem__(self, key: Any) -> Any:
        return self.as_list()[key]

    def __iter__(self) -> Any:
        return iter(self.as_list())

    def __len__(self) -> int:
        return len(self.as_list())

    def __bool__(self) -> bool:
        return bool(self.as_list() != [])
