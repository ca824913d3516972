"""The names of rewritten functions while they are traced: closure cells, what is in them, and why one is empty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import CellType, FunctionType
from typing import Any, Final, TypeAlias

from orchestrator.dsl.source.location import is_rewritten
from orchestrator.dsl.tracing.tracer import Tracer


class _Unbound:
    """Nothing: no value, and no constant of a workflow."""

    __slots__ = ()


UNBOUND: Final = _Unbound()
"""What an empty cell holds."""
OPTIONAL: Final = "?"
"""It marks a name that is read only where it has been bound, though that cannot be seen."""
FLAG: Final = "!"
"""It marks a name that says that an exit was taken: a body where it is set does not go on, whatever it has bound."""
Cells: TypeAlias = "dict[str, CellType]"
Contents: TypeAlias = "dict[str, Any]"


def plain_name(marked: str) -> str:
    """A name without its mark."""
    return marked.lstrip(OPTIONAL + FLAG)


def cells_of(functions: Iterable[Callable[..., object] | None]) -> Cells:
    """The names that functions use of the function around them."""
    found: Cells = {}
    for function in functions:
        if isinstance(function, FunctionType):
            found.update(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    return found


def within(cells: Mapping[str, CellType]) -> dict[int, tuple[str, CellType]]:
    """The names that functions held by names use, and those that these hold: what calling them may bind anew."""
    found: dict[int, tuple[str, CellType]] = {}
    own = {id(cell) for cell in cells.values()}
    todo = [held(cell) for cell in cells.values()]
    while todo:
        function = todo.pop()
        if isinstance(function, FunctionType) and is_rewritten(function.__code__):
            for name, cell in cells_of((function,)).items():
                if id(cell) not in own and id(cell) not in found:
                    found[id(cell)] = name, cell
                    todo.append(held(cell))
    return found


class Kept:
    """Names that nothing hands on: binding them anew while a region is traced would be done once and seen by all."""

    def __init__(self, cells: Mapping[str, CellType]) -> None:
        self._before = [(name, cell, held(cell)) for name, cell in within(cells).values()]

    def check(self, tracer: Tracer, where: str) -> None:
        """Report the names that have been bound anew since, and have them hold what they held."""
        for name, cell, before in self._before:
            if held(cell) is not before:
                hold(cell, before)
                tracer.report(
                    "ORCH-D052",
                    f"`{name}` is bound anew by a function that is called in {where}",
                    why="that may not run, or run several times; the name would be bound once, while it is traced",
                    fix=f"return the new value and bind it there: {name} = f({name})",
                )


def held(cell: CellType) -> Any:
    """What a cell holds, or :data:`UNBOUND`."""
    try:
        return cell.cell_contents
    except ValueError:
        return UNBOUND


def hold(cell: CellType, content: Any) -> None:
    """Have a cell hold something, or nothing."""
    if content is not UNBOUND:
        cell.cell_contents = content
    elif held(cell) is not UNBOUND:
        del cell.cell_contents


def contents_of(cells: Mapping[str, CellType]) -> Contents:
    """What the cells hold now."""
    return {name: held(cell) for name, cell in cells.items()}


def restore(cells: Mapping[str, CellType], contents: Mapping[str, Any]) -> None:
    """Have the cells hold what they held."""
    for name, content in contents.items():
        hold(cells[name], content)
