"""The names of rewritten functions while they are traced: closure cells, what is in them, and why one is empty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import CellType, FunctionType
from typing import Any, Final, TypeAlias


class _Unbound:
    """Nothing: no value, and no constant of a workflow."""

    __slots__ = ()


UNBOUND: Final = _Unbound()
"""What an empty cell holds."""
OPTIONAL: Final = "?"
"""Before a name that is read only where it has been bound, though that cannot be seen."""
FLAG: Final = "!"
"""Before a name that says that an exit has been taken: a body where it is set does not go on, whatever it has bound."""
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
