"""Several streams as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from orchestrator.runtime.engines.endpoint.merge import merged

open_: list[str] = []


async def source(name: str, count: int, error: Exception | None = None) -> AsyncGenerator[str, None]:
    open_.append(name)
    try:
        for number in range(count):
            await asyncio.sleep(0)
            yield f"{name}{number}"
        if error is not None:
            raise error
    finally:
        open_.remove(name)


@pytest.mark.parametrize("names", ["a", "ab", "abc"])
async def test_everything_comes_in_the_order_of_each(names: str) -> None:
    found = [item async for item in merged([source(name, 5) for name in names])]
    for name in names:
        assert [item for item in found if item[0] == name] == [f"{name}{number}" for number in range(5)]
    assert open_ == []


async def test_a_failure_ends_all() -> None:
    with pytest.raises(ValueError, match="no"):
        async for _ in merged([source("a", 10_000), source("b", 2, ValueError("no"))]):
            pass
    assert open_ == []


@pytest.mark.parametrize("names", ["a", "ab"])
async def test_closing_ends_all(names: str) -> None:
    stream = merged([source(name, 10_000) for name in names])
    await anext(stream)
    assert open_
    await stream.aclose()
    assert open_ == []


async def test_nothing_is_nothing() -> None:
    assert [item async for item in merged([])] == []


async def test_a_source_that_cancels_itself_keeps_nobody() -> None:
    async def cancels() -> AsyncGenerator[str, None]:
        yield "first"
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(20):
            async for _ in merged([cancels(), source("b", 10_000)]):
                pass
    assert open_ == []
