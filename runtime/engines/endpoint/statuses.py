"""What an endpoint says when it gives no reply, and the coded error that this is.

Errors come with an HTTP status, as an object in a stream, or with status 200; their words stand in a dozen places.

>>> words({"error": {"message": "slow down", "code": 429}})
'slow down'
>>> words({"detail": [{"loc": ["body", "n"], "msg": "too many"}]})
'body.n: too many'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.errors import EngineError
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.surrogates import well_formed

MOST_CHARS: Final = 400
MOST_READ: Final = 16_000
"""Characters of an answer that are looked at: some send whole pages."""
_MOST_LEVELS: Final = 8
"""An error object is looked for within so many others."""
REFUSED: Final = frozenset({429, 503, 529})
"""Statuses of an endpoint that takes no more requests now."""
PASSING: Final = frozenset({408, 409, 425})
"""Statuses, besides those of the server's own failures, of what may pass by itself."""
GATEWAY_TIMEOUTS: Final = frozenset({504, 524})
"""Statuses of gateways whose server fell silent: it may have worked on."""
_STATUSES: Final[dict[str, int]] = {
    "rate_limit": 429, "too_many_requests": 429, "throttl": 429, "resource_exhausted": 429, "tokens_exceeded": 429,
    "overloaded": 503, "unavailable": 503, "capacity": 503,
    "timeout": 408, "server_error": 500, "internal": 500, "api_error": 500,
    "auth": 401, "api_key": 401, "permission": 403, "not_found": 404, "badrequest": 400, "invalid": 400,
    "content_filter": 400, "content_policy": 400, "context_length": 400,
}  # fmt: skip
"""What parts of error codes and types mean; the first that fits."""
_WORDS: Final = (
    "message", "error", "detail", "msg", "error_description", "title", "errors", "description", "reason", "text"
)  # fmt: skip
"""Where they stand."""
_TOO_LONG: Final = re.compile(
    r"context[ _](?:length|window|size)|maximum (?:context|input|prompt)|(?:prompt|input|request) is too (?:long|large)"
    r"|too many (?:input |prompt )?tokens|exceeds? the (?:available|maximum) (?:context|number of tokens)",
    re.I,
)
_NEVER_FITS: Final = re.compile(r"request too large", re.I)
"""These words of a refusal say that the request alone exceeds the limit per minute, and waiting changes nothing."""
_FILTERED: Final = re.compile(r"content[ _](?:filter|policy|management)|responsible ?ai|safety", re.I)
_KEY: Final = re.compile(
    r"(?:invalid|incorrect|missing|expired) api[ _-]?key"
    r"|api[ _-]?key (?:is |was |has )?(?:not (?:valid|found)|invalid|missing|expired)",
    re.I,
)
_MARKUP: Final = re.compile(r"<(script|style)\b.*?(?:</\1>|\Z)|<!--.*?(?:-->|\Z)|<[^<>]*>", re.I | re.S)
"""What is not closed goes on to the end: to look for its end from each beginning would take quadratic time."""
_MODEL: Final = re.compile(r"model|deployment", re.I)
_QUOTA: Final = re.compile(r"insufficient_quota|billing|payment_required|credits?_exhausted", re.I)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The names that errors call an endpoint by."""

    engine: str
    url: str
    key_env: str
    model: str


def failure(endpoint: Endpoint, status: int, body: object, *, retry_after_s: float | None = None) -> EngineError:
    """The coded error for an HTTP status, or for the status that an error object means (:func:`status_of`)."""
    said, kind, url = words(body) or f"HTTP {status}", kind_of(body), endpoint.url
    coded = errors.rejected(endpoint.engine, said)
    if status == 402 or (status in (403, 429) and _QUOTA.search(kind)):
        coded = errors.quota_used_up(url, said)
    elif status in (413, 429) and _NEVER_FITS.search(said):
        coded = errors.over_rate_limit(url, said)
    elif status in (401, 403) or (status == 400 and _KEY.search(said)):
        coded = errors.unauthorised(url, endpoint.key_env, said)
    elif status in REFUSED:
        coded = errors.overloaded(url, said, retry_after_s)
    elif status in GATEWAY_TIMEOUTS:
        coded = errors.gateway_timed_out(url, said)
    elif status in PASSING or status >= 500:
        coded = errors.server_failed(url, said if str(status) in said else f"{said} (status {status})")
    elif status in (404, 405) and _MODEL.search(f"{said} {kind}"):
        coded = errors.unknown_model(endpoint.model, [], said)
    elif status in (404, 405) or status < 400:
        coded = errors.no_chat_api(url, said)
    elif _TOO_LONG.search(f"{kind} {said}"):
        coded = errors.prompt_too_long(endpoint.model, said)
    elif _FILTERED.search(kind):
        coded = errors.withheld(endpoint.engine, "content_filter", said)
    return coded


def error_in(value: object) -> object | None:
    """The error object in what came with status 200; None where it is none."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, Mapping):
        return None
    if value.get("error"):
        return value
    if value.get("object") == "error" or (value.get("type") == "error"):
        return value
    is_reply = value.get("choices") is not None or value.get("usage") is not None
    return value if not is_reply and ("detail" in value or "message" in value) else None


def status_of(value: object) -> int | None:
    """The HTTP status that an error object means; None where it does not say."""
    for each in _nested(value):
        for key in ("code", "status", "status_code", "http_status"):
            found = each.get(key)
            if isinstance(found, str) and found.isdigit():
                found = int(found)
            if isinstance(found, int) and 400 <= found < 600:
                return found
    kind = kind_of(value).lower().replace(" ", "_")
    return next((status for part, status in _STATUSES.items() if part in kind), None)


def kind_of(value: object) -> str:
    """The codes and types of an error object, as one text."""
    names = ("code", "type", "error_type", "status")
    found = [each.get(name) for each in _nested(value) for name in names]
    return " ".join(text for text in found if isinstance(text, str))


def words(body: object) -> str:
    """The endpoint's own words, in one printable line; empty where it has none."""
    text = well_formed(_words(body)[:MOST_READ])
    if "<" in text and re.search(r"<\s*(!doctype|html|head|body|title|h1|p)\b", text, re.I):
        text = _MARKUP.sub(" ", text)
    text = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return text if len(text) <= MOST_CHARS else text[:MOST_CHARS] + " …"


def _words(value: object, levels: int = _MOST_LEVELS) -> str:
    if isinstance(value, str):
        return value
    if not levels:
        return ""
    if isinstance(value, list | tuple):
        return "; ".join(filter(None, (_words(each, levels - 1) for each in value[:5])))
    if not isinstance(value, Mapping):
        return ""
    place = value.get("loc")
    text = next(
        filter(
            None,
            (_words(value.get(key), levels - 1) for key in _WORDS),
        ),
        "",
    )
    where = ".".join(map(str, place)) + ": " if text and isinstance(place, list | tuple) else ""
    return where + text


def _nested(value: object, levels: int = _MOST_LEVELS) -> list[Mapping[str, Any]]:
    """An error object and those in it, the inner ones first."""
    if not levels:
        return []
    if isinstance(value, list | tuple):
        return [found for each in value[:5] for found in _nested(each, levels - 1)]
    if not isinstance(value, Mapping):
        return []
    inner = [each for key in ("error", "errors", "detail") for each in _nested(value.get(key), levels - 1)]
    return [*inner, value]
