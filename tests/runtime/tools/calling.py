"""Running a workflow that calls a tool."""

from __future__ import annotations

import asyncio
from typing import Any

from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.runner import Runner


async def outcome(runtime: Runner, flow: Any, value: object) -> Any:
    (name,) = flow.boundary.params
    async with asyncio.timeout(60):
        return (await runtime.run(compile_workflow(flow), {name: value})).value
