"""Symbolic values: what a workflow's function computes with while it is traced.

A :class:`Symbol` stands for something that is only known when the workflow runs. Operators on it add ops to the graph;
anything for which Python needs the concrete thing is recorded as an error, and tracing goes on.

To a type checker a workflow is ordinary code: ``llm(..., returns=Query)`` *is* a ``Query``. That is why a function
annotated ``-> str`` may return what ``llm`` returns, and why editors complete the fields of a reply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from orchestrator.dsl.operations.calls import builtin_call
from orchestrator.dsl.operations.expressions import binary, field, index, negate, unary
from orchestrator.dsl.placeholders import misuse
from orchestrator.dsl.tracing.tracer import Value

T = TypeVar("T")


class Symbol(Value[T]):
    """A value, and what Python's operators do with it.

    ``value.field`` and ``value[0]`` project, and over a list of models ``values.field`` projects each;
    operators (``== < + - * / // % ** & | ~`` …) and methods of texts and containers build pure expressions; in an
    f-string it becomes a hole of the prompt template.
    """

    __slots__ = ()

    # Projections

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # a protocol that Python or a library probes for
            raise AttributeError(name)
        return field(self, name)

    def __getitem__(self, key: Any) -> Any:
        return index(self, key)

    # Expressions. `==` builds an op, so nothing is found by its hash.

    def __hash__(self) -> int:
        return misuse.hashed(self)

    def __eq__(self, other: object) -> Any:
        return binary(self._tracer, "eq", self, other)

    def __ne__(self, other: object) -> Any:
        return binary(self._tracer, "ne", self, other)

    def __lt__(self, other: object) -> Any:
        return binary(self._tracer, "lt", self, other)

    def __le__(self, other: object) -> Any:
        return binary(self._tracer, "le", self, other)

    def __gt__(self, other: object) -> Any:
        return binary(self._tracer, "gt", self, other)

    def __ge__(self, other: object) -> Any:
        return binary(self._tracer, "ge", self, other)

    def __add__(self, other: object) -> Any:
        return binary(self._tracer, "add", self, other)

    def __radd__(self, other: object) -> Any:
        return binary(self._tracer, "add", other, self)

    def __sub__(self, other: object) -> Any:
        return binary(self._tracer, "sub", self, other)

    def __rsub__(self, other: object) -> Any:
        return binary(self._tracer, "sub", other, self)

    def __mul__(self, other: object) -> Any:
        return binary(self._tracer, "mul", self, other)

    def __rmul__(self, other: object) -> Any:
        return binary(self._tracer, "mul", other, self)

    def __truediv__(self, other: object) -> Any:
        return binary(self._tracer, "truediv", self, other)

    def __rtruediv__(self, other: object) -> Any:
        return binary(self._tracer, "truediv", other, self)

    def __floordiv__(self, other: object) -> Any:
        return binary(self._tracer, "floordiv", self, other)

    def __rfloordiv__(self, other: object) -> Any:
        return binary(self._tracer, "floordiv", other, self)

    def __mod__(self, other: object) -> Any:
        return binary(self._tracer, "mod", self, other)

    def __rmod__(self, other: object) -> Any:
        return binary(self._tracer, "mod", other, self)

    def __pow__(self, other: object) -> Any:
        return binary(self._tracer, "pow", self, other)

    def __rpow__(self, other: object) -> Any:
        return binary(self._tracer, "pow", other, self)

    def __divmod__(self, other: object) -> Any:
        return builtin_call(divmod, (self, other), {})

    def __rdivmod__(self, other: object) -> Any:
        return builtin_call(divmod, (other, self), {})

    def __lshift__(self, other: object) -> Any:
        return binary(self._tracer, "lshift", self, other)

    def __rlshift__(self, other: object) -> Any:
        return binary(self._tracer, "lshift", other, self)

    def __rshift__(self, other: object) -> Any:
        return binary(self._tracer, "rshift", self, other)

    def __rrshift__(self, other: object) -> Any:
        return binary(self._tracer, "rshift", other, self)

    def __neg__(self) -> Any:
        return unary("neg", self)

    def __pos__(self) -> Any:
        return unary("pos", self)

    def __abs__(self) -> Any:
        return builtin_call(abs, (self,), {})

    def __round__(self, ndigits: int | None = None) -> Any:
        return builtin_call(round, (self,) if ndigits is None else (self, ndigits), {})

    def __reversed__(self) -> Any:
        return builtin_call(reversed, (self,), {})

    def __and__(self, other: object) -> Any:
        return binary(self._tracer, "and", self, other)

    def __rand__(self, other: object) -> Any:
        return binary(self._tracer, "and", other, self)

    def __or__(self, other: object) -> Any:
        return binary(self._tracer, "or", self, other)

    def __ror__(self, other: object) -> Any:
        return binary(self._tracer, "or", other, self)

    def __xor__(self, other: object) -> Any:
        return binary(self._tracer, "xor", self, other)

    def __rxor__(self, other: object) -> Any:
        return binary(self._tracer, "xor", other, self)

    def __invert__(self) -> Any:
        return negate(self)

    # In code that is not compiled `xs += ys` would give the name a new value, which others do not see.

    def __iadd__(self, other: object) -> Any:
        return misuse.in_place(self, "+=", self + other)

    def __imul__(self, other: object) -> Any:
        return misuse.in_place(self, "*=", self * other)

    def __ior__(self, other: object) -> Any:
        return misuse.in_place(self, "|=", self | other)

    def __iand__(self, other: object) -> Any:
        return misuse.in_place(self, "&=", self & other)

    def __isub__(self, other: object) -> Any:
        return misuse.in_place(self, "-=", self - other)

    def __ixor__(self, other: object) -> Any:
        return misuse.in_place(self, "^=", self ^ other)

    # Prompt templates

    def __str__(self) -> str:
        return self._tracer.marker(self)

    def __format__(self, spec: str) -> str:
        return self._tracer.marker(builtin_call(format, (self, spec), {}) if spec else self)

    def __repr__(self) -> str:
        return f"<Value {self._origin.name}{self._tracer.repr_marker(self)}>"

    # What Python needs concretely: recorded, and answered with something that lets the trace go on

    def __bool__(self) -> bool:
        return misuse.truth(self)

    def __iter__(self) -> Any:
        return misuse.items(self)

    def __contains__(self, item: object) -> bool:
        return misuse.membership(self)

    def __len__(self) -> int:
        return misuse.length(self)

    def __int__(self) -> int:
        return misuse.number(self, "int()")

    def __index__(self) -> int:
        return misuse.index(self)

    def __float__(self) -> float:
        return misuse.number(self, "float()")

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return misuse.class_of(self)

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return misuse.called(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a symbolic value belongs to its trace and cannot be copied or pickled")


if TYPE_CHECKING:

    class Each(list[T]):
        """Several samples: a list whose attributes project every item."""

        def __getattr__(self, name: str) -> Each[Any]: ...
