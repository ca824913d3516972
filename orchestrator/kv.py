"""Keeping KV caches between turns, in vLLM: what ``--scheduler-cls orchestrator.kv.Scheduler`` names.

Importing this module imports no vLLM: the scheduler is looked up when it is asked for.
"""

from __future__ import annotations


def __getattr__(name: str) -> object:
    if name != "Scheduler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from orchestrator.runtime.engines.vllm import plugin

    return plugin.scheduler()


def __dir__() -> list[str]:
    return ["Scheduler"]
