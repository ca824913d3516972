"""One of something for each event loop."""

from __future__ import annotations

import asyncio
import gc
import weakref

from orchestrator.runtime.engines.endpoint.per_loop import PerLoop


class Made:
    """One of something."""


async def twice(each: PerLoop[Made]) -> tuple[Made, Made]:
    return each.here(), each.here()


def test_each_loop_has_its_own_and_what_closed_ones_had_is_forgotten() -> None:
    each = PerLoop(Made)
    first, again = asyncio.run(twice(each))
    assert first is again
    gone = weakref.ref(first)
    second, _ = asyncio.run(twice(each))
    assert second is not first
    del first, again
    gc.collect()
    assert gone() is None


def test_clearing_gives_what_the_running_loop_has() -> None:
    each = PerLoop(Made)

    async def cleared() -> None:
        assert each.clear() is None
        mine = each.here()
        assert each.clear() is mine
        assert each.here() is not mine

    asyncio.run(cleared())
