"""What an endpoint turns out not to know, and what it is sent instead.

All speak of ``/chat/completions``, and differ: Mistral and older servers know ``max_tokens`` only, OpenAI's reasoning
models ``max_completion_tokens`` only; llama.cpp and Ollama give one sample a request; many do not enforce JSON schemas.
A rejection that names such a field is answered by the same request in other words, and remembered for as long as the
engine lives. A run says so where the words change what it gets."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from orchestrator.dsl.sampling import PASSED
from orchestrator.runtime.engines.base import GenerateRequest
from orchestrator.runtime.engines.endpoint.message import wire, wire_tools
from orchestrator.runtime.engines.endpoint.strict_schema import strict_schema, takes_objects
from orchestrator.runtime.engines.errors import NO_SYSTEM
from orchestrator.runtime.engines.tool_steps import in_steps

LIMITS: Final = ("max_tokens", "max_completion_tokens")
_CHOSEN: Final = ("temperature", "top_p", "stop", "seed", "logprobs")
"""What a workflow asks for, and nobody may leave out for it."""
_log = logging.getLogger(__name__)
CONSTRAINED: Final = "structured_outputs"
"""The field by which vLLM takes a choice, a regular expression or a grammar."""
_ROLES: Final = re.compile(r"system role|roles must alternate|role.{0,20}system", re.I)
_TOOLS: Final = re.compile(r"\btools?\b|tool[_ -](?:choice|call)|function[_ -]call", re.I)
_UNKNOWN: Final = re.compile(
    r"unsupported|not (?:be )?(?:supported|permitted|allowed|known|recogni[sz]ed)|unknown|unrecogni[sz]ed|unexpected"
    r"|extra (?:inputs|fields)|instead|forbidden|invalid (?:field|parameter|argument)|no such"
    r"|does not (?:exist|support)",
    re.I,
)
_DECLARED, _STRICT, _LOOSE, _ANY_JSON, _NO_FORMAT = range(5)
"""What ``response_format`` asks for: the schema as declared and strictly; in the words that OpenAI takes strictly; as
declared, but not strictly; any JSON; nothing."""
_LESS: Final = {_ANY_JSON: "any JSON", _NO_FORMAT: "no format"}
"""What binds so little that a run says so."""


class Dialect:
    """How to put requests to one endpoint."""

    def __init__(self, url: str, extra_body: dict[str, Any]) -> None:
        host = urlsplit(url).hostname or ""
        is_openai = host == "api.openai.com" or host.endswith(".openai.azure.com")
        self.limit = LIMITS[1] if is_openai else LIMITS[0]
        """The field that bounds a reply: others than OpenAI may ignore the newer name, and then nothing bounds it."""
        self.takes_n = True
        """Whether several samples come of one request."""
        self._sends_n = True
        self.counts = True
        """Whether the endpoint may be asked for the usage of a stream."""
        self.takes_tools = True
        """Whether the endpoint may be offered tools."""
        self._constrains = not is_openai
        """Whether the endpoint may be asked to bound a reply's text, as vLLM takes it."""
        self._extra_body = extra_body
        self._formats: dict[str, int] = {}
        """It has what the endpoint is asked for, by the schema."""
        self._first_format = _STRICT if is_openai else _DECLARED
        """Others hold a reply to the schema as it was declared, with fields that may be left out."""

    def body(self, request: GenerateRequest, model: str, samples: int) -> dict[str, Any]:
        """The JSON of a request, apart from what goes into the client's own arguments."""
        if not self.takes_tools:
            request = in_steps(request)
        sampling = request.sampling
        messages = list(map(wire, request.messages))
        body: dict[str, Any] = {
            "model": model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True} if self.counts else None,
            "n": samples if self._sends_n else None,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self.limit: sampling.max_tokens,
            "stop": list(sampling.stop) or None,
            "seed": sampling.seed,
            "extra_body": {**self._extra_body, **sampling.passed} or None,
        }
        if sampling.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
        if sampling.tools:
            body |= wire_tools(sampling)
        if sampling.schema is not None:
            level = self._level(sampling.schema)
            body["response_format"] = _response_format(sampling.schema, level)
            if level in _LESS and messages:
                messages[-1] = _with_text(messages[-1], _asked_for(sampling.schema))
        if sampling.constraint is not None:
            kind, what = sampling.constraint
            if self._constrains or kind == "grammar":
                body["extra_body"] = {**(body["extra_body"] or {}), CONSTRAINED: {kind: what}}
            elif messages:
                messages[-1] = _with_text(messages[-1], _bounded_by(kind, what))
        if sampling.extra_body:
            body["extra_body"] = {**(body["extra_body"] or {}), **sampling.extra_body}
        return {name: value for name, value in body.items() if value is not None}

    def adapt(self, words: str, body: dict[str, Any], request: GenerateRequest) -> None:
        """Take a rejection of ``body``, which is what would be sent now, into account; maybe nothing is any better."""
        if _names("n", words) and body.get("n", 1) > 1:
            self.takes_n = False
        elif self._constrains and CONSTRAINED in body.get("extra_body", {}) and _names(CONSTRAINED, words):
            self._constrains = False
        elif self.takes_tools and "tools" in body and _TOOLS.search(words):
            self.takes_tools = False
            _log.warning("an endpoint calls no tools itself (%s): models are asked for steps as JSON", words[:200])
        elif not _UNKNOWN.search(words):
            self._less_format(words, body, request)
        elif _names(self.limit, words) and self.limit in body:
            self.limit = LIMITS[1 - LIMITS.index(self.limit)]  # and back, where neither helps
        elif _names("n", words) and "n" in body:
            self.takes_n = self._sends_n = False
        elif self.counts and (_names("stream_options", words) or _names("include_usage", words)):
            self.counts = False
        else:
            self._less_format(words, body, request)

    def lacking(self, request: GenerateRequest) -> Iterator[str]:
        """What the endpoint does without, so that the user gets something else than was asked for."""
        if not self.counts:
            yield "it does not report the usage of a stream"
        if request.sampling.tools and not self.takes_tools:
            yield "it calls no tools itself, so the model was asked for a step as JSON"
            request = in_steps(request)
        schema, constraint = request.sampling.schema, request.sampling.constraint
        if constraint is not None and not self._constrains and constraint[0] != "grammar":
            yield f"it does not bound a reply by {constraint[0]}=, which stands in the prompt, and the reply is checked"
        if schema is not None and self._formats and (level := self._level(schema)) in _LESS:
            yield f"it was asked for {_LESS[level]}, and the schema stands in the prompt"

    def _level(self, schema: Mapping[str, object]) -> int:
        """What the endpoint is asked for where a reply is to fit `schema`."""
        return self._formats.get(_key(schema), self._first_format)

    def advice(self, words: str, body: Mapping[str, Any]) -> str | None:
        """What to change in the workflow, where the words that reject ``body`` name something that it asks for."""
        if _ROLES.search(words) and body["messages"][0]["role"] == "system":
            return NO_SYSTEM
        sent = {*body, *body.get("extra_body", {})}
        named = [f"`{name}=`" for name in (*_CHOSEN, *PASSED) if name in sent and _names(name, words)]
        if not named:
            return None
        return f"leave {' and '.join(named)} out for this model, or set what it takes"

    def _less_format(self, words: str, body: dict[str, Any], request: GenerateRequest) -> None:
        schema = (request if self.takes_tools else in_steps(request)).sampling.schema
        if schema is None or "response_format" not in body:
            return
        if not re.search(r"response_format|json_schema|schema|structured|guided|grammar|strict|json", words, re.I):
            return
        level = self._level(schema) + 1
        while level < _ANY_JSON and _response_format(schema, level) == body["response_format"]:
            level += 1
        if level == _ANY_JSON and not takes_objects(schema):
            level = _NO_FORMAT
        self._formats[_key(schema)] = level


def _names(field: str, words: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(field)}(?![\w-])", words) is not None


def _key(schema: Any) -> str:
    return json.dumps(schema, sort_keys=True, default=str)


def _response_format(schema: Any, level: int) -> dict[str, Any] | None:
    if level >= _ANY_JSON:
        return {"type": "json_object"} if level == _ANY_JSON else None
    asked = strict_schema(schema) if level == _STRICT else dict(schema)
    strict = {} if level == _LOOSE else {"strict": True}
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": asked, **strict}}


def _with_text(message: dict[str, Any], text: str) -> dict[str, Any]:
    """The message with more text behind its content."""
    content = message["content"]
    more = content + text if isinstance(content, str) else [*content, {"type": "text", "text": text.lstrip()}]
    return {**message, "content": more}


def _bounded_by(kind: str, what: Any) -> str:
    if kind == "choice":
        return f"\n\nAnswer with one of these, and nothing else: {json.dumps(what, ensure_ascii=False)}"
    return f"\n\nAnswer with nothing but a text that matches this regular expression: {what}"


def _asked_for(schema: Any) -> str:
    return f"\n\nAnswer with JSON only, and let it satisfy this JSON schema:\n{json.dumps(schema, ensure_ascii=False)}"
