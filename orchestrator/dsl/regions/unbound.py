"""Names that hold nothing, and why.

A name holds nothing behind a construct that does not bind it, or not with one type, on every way through. Its cell is
empty then, as in Python, and the reason is kept for whoever reads it (:func:`unbound`, :func:`check_bound`).

An exit of a loop may leave a name without a value, though one stands for what it holds. Behind ``if done: break``
nobody sees what the arm with the ``break`` did not bind, as long as the turn lasts: what follows runs only where it was
not taken. So the joined value counts as what the name holds, and it is noted here that it does not where the exit was
taken::

    for word in words:
        if word == "stop":
            break
        last = word         # the same as ever, up to the end of the turn
    return last             # holds nothing if the first turn was the last

At the end of the turn, or of the loop, such a name holds nothing. (A ``return`` reads no name of the function's.)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import CellType
from typing import Any, Final, NamedTuple

from orchestrator.dsl.regions.cells import OPTIONAL, UNBOUND, Cells, held, hold, plain_name
from orchestrator.dsl.source.location import raised_in
from orchestrator.dsl.tracing.tracer import Tracer
from orchestrator.errors import TraceError

BY_A_FAILURE: Final = "the failure may have come before or after it was assigned in the `try`"
BY_A_HANDLER: Final = "a handler of the `try` does not bind it"
BY_A_TURN: Final = "not every turn of the loop binds it"
BY_AN_ITEM: Final = "`:=` in a comprehension binds it for each item on its own, as all items are made at once"
BY_NO_TURN: Final = "the loop may not run at all, so bind it before"
"""Why a name holds nothing."""
_FIXES: Final = {BY_AN_ITEM: "write a `for` loop that assigns it"}
BROKE: Final = "broke_"
SKIPPED: Final = "skipped_"
"""How the names of flags begin that say that a ``break``, or a ``continue``, has been taken."""


_NAME: Final = re.compile(r"variable '(\w+)'")


def unbound(tracer: Tracer, name: str, why: str) -> Any:
    """Keep why a name holds nothing; returns :data:`UNBOUND`, which its cell is to hold."""
    tracer.unbound[name] = why
    return UNBOUND


def reason(tracer: Tracer, name: str) -> str:
    """Why a name holds nothing; empty if nobody has said."""
    return tracer.unbound.get(name, "")


def check_bound(tracer: Tracer, error: Exception, *, why: str = "") -> None:
    """Raise ORCH-D051 if ``error`` says that a name holds nothing and a reason is known: the one kept, else ``why``."""
    found = _NAME.search(str(error)) if isinstance(error, NameError) else None
    if found is not None and (known := reason(tracer, found[1]) or why):
        raise TraceError(
            "ORCH-D051",
            f"`{found[1]}` holds nothing here",
            where=raised_in(error),
            why=known,
            fix=_FIXES.get(known, f"bind `{found[1]}` on every path, with values of one type"),
        ) from error


class Lack(NamedTuple):
    """A name that holds nothing where one of these flags holds. The cell and the content are those it is noted for."""

    cell: CellType
    content: Any
    flags: frozenset[str]


def taken(flags: Sequence[str], contents: Mapping[str, Any]) -> frozenset[str]:
    """The exits of loops that a body with these contents has taken; none where it has returned."""
    found = frozenset(flag for flag in flags if contents.get(flag) is True)
    return found if all(flag.startswith((BROKE, SKIPPED)) for flag in found) else frozenset()


def note(tracer: Tracer, cell: CellType, flags: frozenset[str]) -> None:
    """Note that what a name holds now is nothing where one of the flags holds."""
    content = held(cell)
    if flags and content is not UNBOUND:
        tracer.lacking[id(cell), id(content)] = Lack(cell, content, flags)


def lacks(tracer: Tracer, cell: CellType, content: Any) -> frozenset[str]:
    """The flags where a name that holds ``content`` holds nothing."""
    found = tracer.lacking.get((id(cell), id(content)))
    return frozenset() if found is None else found.flags


def by_exits(flags: Collection[str]) -> str:
    """Why a name holds nothing behind a turn, or a loop, that may end with one of these exits."""
    words = {"break" if flag.startswith(BROKE) else "continue" for flag in flags}
    return f"{' and '.join(f'`{word}`' for word in sorted(words))} may come before it is bound"


def settle(tracer: Tracer, cells: Cells, names: Sequence[str], known: Collection[Any], *, turn: bool = False) -> None:
    """Have names hold nothing that a loop, or a ``turn`` of it, may leave so; ``known`` was noted before it."""
    for marked in names:
        name = plain_name(marked)
        if marked.startswith(OPTIONAL) or name not in cells:
            continue
        key = id(cells[name]), id(held(cells[name]))
        flags = lacks(tracer, cells[name], held(cells[name]))
        if turn:
            flags = frozenset(flag for flag in flags if flag.startswith(SKIPPED))
        if flags and key not in known:
            hold(cells[name], unbound(tracer, name, by_exits(flags)))


@contextmanager
def where_none_is_taken(tracer: Tracer, flags: Sequence[str]) -> Iterator[None]:
    """In the block, what lacks only where one of the flags holds does not lack."""
    kept = {key: lack for key, lack in tracer.lacking.items() if lack.flags <= frozenset(flags)}
    for key in kept:
        del tracer.lacking[key]
    yield
    tracer.lacking.update(kept)
