"""Names of OpenTelemetry's GenAI semantic conventions, pinned here because they are still in development.

Source: the ``semantic-conventions-genai`` registry of open-telemetry; ``orch.*`` is ours.
"""

from __future__ import annotations

from typing import Final

SPAN_WORKFLOW: Final = "invoke_workflow"
SPAN_CHAT: Final = "chat"
SPAN_TOOL: Final = "execute_tool"
SPAN_RETRIEVAL: Final = "retrieval"
SPAN_OP: Final = "op"

OPERATION: Final = "gen_ai.operation.name"
WORKFLOW_NAME: Final = "gen_ai.workflow.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
MAX_TOKENS: Final = "gen_ai.request.max_tokens"
TEMPERATURE: Final = "gen_ai.request.temperature"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"

RUN_ID: Final = "orch.run.id"
OP_ID: Final = "orch.op.id"
OP_KIND: Final = "orch.op.kind"
FRAME: Final = "orch.frame"
PLACE: Final = "orch.place"
ATTEMPTS: Final = "orch.attempts"
COST_USD: Final = "orch.cost_usd"
RESULT: Final = "orch.result"

KV_SESSION: Final = "orch.kv.session"
KV_TOOL: Final = "orch.kv.tool"
KV_PAUSE: Final = "orch.kv.pause_s"
KV_TTL: Final = "orch.kv.pin_ttl_s"
KV_RECOMPUTED: Final = "orch.kv.recomputed_tokens"
KV_SUPERSEDED: Final = "orch.kv.superseded_sessions"
EVENT_KV_FOUND: Final = "kv.found"
"""The engine had kept what the turn goes on with."""
EVENT_KV_LOST: Final = "kv.lost"
EVENT_KV_RELEASED: Final = "kv.released"
EVENT_KV_SUPERSEDED: Final = "kv.superseded"
