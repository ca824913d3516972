"""Which models an endpoint serves, for whoever has its URL and no model's name."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from orchestrator.event_loop import run
from orchestrator.redaction import shown
from orchestrator.runtime.engines.endpoint.address import checked_url
from orchestrator.runtime.engines.endpoint.sender import Sender
from orchestrator.runtime.engines.endpoint.statuses import Endpoint
from orchestrator.runtime.engines.openai import OpenAIOptions

TIMEOUT_S: Final = 5.0


def served_models(url: str) -> list[str]:
    """What the endpoint says; nothing where it does not. Raises what a wrong key or a wrong proxy raises."""
    with ThreadPoolExecutor(1) as thread:  # an event loop may run in this one
        return thread.submit(lambda: run(_asked(checked_url(url)))).result()


async def _asked(url: str) -> list[str]:
    key_env = OpenAIOptions(url).key_env
    sender = Sender(url, Endpoint("endpoint", shown(url), key_env, ""), TIMEOUT_S, {})
    sender.open(os.environ)
    try:
        return await sender.models()
    finally:
        await sender.close()
