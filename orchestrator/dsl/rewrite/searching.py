"""``any``, ``all`` and ``next`` of a generator expression: they go through it only as far as they must.

Nothing behind the first item that decides may happen (:mod:`.lazy` has the rule), so that is a loop that is left early.
Where nothing in it could be noticed, as in ``any(len(word) > 9 for word in words)``, all members are made at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from orchestrator.dsl import operations
from orchestrator.dsl.regions.cells import FLAG
from orchestrator.dsl.rewrite.calling import function
from orchestrator.dsl.rewrite.comprehending import Further, Member, Test
from orchestrator.dsl.rewrite.deciding import if_, not_
from orchestrator.dsl.rewrite.lazy import drawn, is_unnoticed
from orchestrator.dsl.rewrite.looping import for_
from orchestrator.dsl.tracing.tracer import current_tracer

_SEARCHING: Final = (any, all, next)


def searched(  # noqa: PLR0917 - what the expression consists of
    called: Callable[..., Any], default: tuple[Any, ...], source: Any, test: Test, member: Member,
    further: Further = None,
) -> Any:  # fmt: skip
    """``called(member for item in source if test)``, with a ``default`` behind it for ``next``."""
    tracer = current_tracer()
    is_endless = called is next and not default  # then there is an error to raise, for which Python has its own
    if tracer is None or called not in _SEARCHING or is_endless:
        return function(called)(drawn("whole", source, test, member, further), *default)
    if called is not next and is_unnoticed(tracer, lambda: drawn("whole", source, test, member, further)):
        return function(called)(drawn("whole", source, test, member, further))
    found, given = _search(called, default, source, test, member, further)
    return given if called is next else found if called is any else not_(found)


def _search(  # noqa: PLR0917
    called: Callable[..., Any], default: tuple[Any, ...], source: Any, test: Test, member: Member,
    further: Further = None,
) -> tuple[Any, Any]:  # fmt: skip
    """Whether the search ended before the source did, and the member that it ended with, or the default."""
    found: Any = False
    given: Any = default[0] if default else None

    def turn(item: Any) -> None:
        def take() -> None:
            nonlocal found, given
            if further is not None:
                following, inner_test, inner_member, *rest = further(item)
                found, given = _search(called, (given,), following, inner_test, inner_member, *rest)
                return
            assert member is not None
            given = member(item)
            found = True if called is next else operations.truth(given)
            if called is all:
                found = not_(found)

        if_(True if test is None else test(item), take, None, (f"{FLAG}found", "given"))

    carried = (f"{FLAG}found", "given") if called is next else (f"{FLAG}found",)
    for_(source, turn, carried=carried, until=("found",), after=carried[1:])
    return found, given
