"""``range(n)`` where ``n`` is only known when the workflow runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.dsl.typing import list_of

if TYPE_CHECKING:
    from orchestrator.dsl.tracer import Tracer
    from orchestrator.dsl.value import Value


class SymbolicRange:
    """A range with a symbolic bound: what ``for`` counts through. Wherever it is used as a list it becomes one."""

    __slots__ = ("_tracer", "start", "step", "stop")

    def __init__(self, tracer: Tracer, start: object, stop: object, step: object) -> None:
        self.start, self.stop, self.step = start, stop, step
        self._tracer = tracer

    def as_list(self) -> Value[list[int]]:
        """The numbers, as a value."""
        lift = self._tracer.lift
        bounds = {"start": lift(self.start), "stop": lift(self.stop), "step": lift(self.step)}
        return self._tracer.builtin("range", bounds, list_of(int))

    def __getitem__(self, key: Any) -> Any:
        return self.as_list()[key]

    def __iter__(self) -> Any:
        return iter(self.as_list())

    def __len__(self) -> int:
        return len(self.as_list())

    def __bool__(self) -> bool:
        return bool(self.as_list() != [])
