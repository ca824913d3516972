"""The client holds no call back: calls wait in the endpoint's queue, where time is no timeout."""

from __future__ import annotations

from typing import Any

from orchestrator.redaction import Redaction
from orchestrator.runtime.engines.endpoint.client import connected
from orchestrator.runtime.engines.endpoint.pace import MOST


async def test_its_pool_has_no_limit_that_calls_could_time_out_at() -> None:
    url = "http://127.0.0.1:9/v1"
    async with connected(url, "key", 0.5, Redaction(["key"])) as client:
        waits: Any = client.timeout
        assert (waits.pool, waits.read) == (None, 0.5)
        transport: Any = client._client._transport
        assert transport._pool._max_connections > 100 * MOST
