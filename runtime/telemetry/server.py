"""Who answers a model call, in the words of the GenAI conventions: provider, model and address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from orchestrator.runtime.engines.base import DEFAULT_MODEL, Engine
from orchestrator.runtime.kv.replicas import ReplicaSet
from orchestrator.runtime.program.specs import Generate
from orchestrator.runtime.telemetry import names

_PROVIDERS: Final = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "api.mistral.ai": "mistral_ai",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.x.ai": "x_ai",
    "api.perplexity.ai": "perplexity",
    "api.cohere.com": "cohere",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "amazonaws.com": "aws.bedrock",
}
"""Well-known values of ``gen_ai.provider.name`` by the end of an endpoint's host."""
_COMPATIBLE: Final = "openai"
"""What the conventions call an endpoint that speaks OpenAI's API and whose provider nobody knows."""


def server_attributes(spec: Generate, engines: Mapping[str, Engine]) -> dict[str, str | int]:
    """Attributes of the engine that takes a call; where none is known, only the model that was asked for."""
    engine = _engine_of(spec, engines)
    if engine is None:
        return {names.REQUEST_MODEL: spec.model}
    found: dict[str, str | int] = {names.REQUEST_MODEL: engine.model, names.PROVIDER: "vllm"}
    replica = engine.replicas[0] if isinstance(engine, ReplicaSet) else engine
    url = getattr(getattr(replica, "options", None), "base_url", None)
    if replica.simulated:
        found[names.PROVIDER] = "simulated"
    elif isinstance(url, str):
        found |= _endpoint(url)
    return found


def _engine_of(spec: Generate, engines: Mapping[str, Engine]) -> Engine | None:
    if spec.engine is not None:
        return engines.get(spec.engine)
    fitting = (each for key, each in engines.items() if spec.model in (DEFAULT_MODEL, key, each.name, each.model))
    return next(fitting, None)


def _endpoint(url: str) -> dict[str, str | int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return {names.PROVIDER: _COMPATIBLE}
    known = (provider for end, provider in _PROVIDERS.items() if host == end or host.endswith(f".{end}"))
    found: dict[str, str | int] = {names.PROVIDER: next(known, _COMPATIBLE)}
    if host:
        found[names.SERVER_ADDRESS] = host
        found[names.SERVER_PORT] = port or (443 if parts.scheme == "https" else 80)
    return found
