"""What an op may say beside what it must: its options, and what each of them is.

An option that nobody reads is a mistake, and so is one that says something else than it can: neither is accepted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, Final

from orchestrator.ir._mlir import ir
from orchestrator.ir.durations import LONGEST_SLEEP_S
from orchestrator.ir.walk import entries, to_python

Test = Callable[[Any], bool]
Options = dict[str, Test]
MOST: Final = 1 << 31
"""Counts are below it."""


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _on(value: Any) -> bool:
    return value is True


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _no_less_than_0(value: Any) -> bool:
    return _number(value) and value >= 0


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_count(value: Any) -> bool:
    """Whether it is an int from 1 to what 32 bits hold."""
    return _whole(value) and 1 <= value < MOST


def _natural(value: Any) -> bool:
    return _whole(value) and value >= 0


def _wholes(value: Any) -> bool:
    return isinstance(value, list) and all(map(_natural, value))


def _entries(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_number, value.values()))


def is_json(value: Any) -> bool:
    """Whether it is a text that is JSON."""
    try:
        json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _retry(value: Any) -> bool:
    return isinstance(value, dict) and _are(value, _RETRY) and set(value) >= _RETRY.keys() - {"on"}


def _one_of(*words: str) -> Test:
    return words.__contains__


def _are(given: dict[str, Any], known: Options) -> bool:
    return all(name in known and known[name](value) for name, value in given.items())


_RETRY: Final[Options] = {
    "attempts": is_count,
    **dict.fromkeys(("backoff_s", "max_backoff_s"), _no_less_than_0),
    "jitter": _flag,
    "on": _texts,
}
_BUDGET: Final[Options] = {
    "budget_usd": _positive,
    "budget_tokens": lambda value: _whole(value) and value > 0,
    "budget_seconds": _positive,
}
_POLICIES: Final[Options] = {"retry": _retry, "timeout_s": _positive, **_BUDGET}
_PREFIX: Final[Options] = {"static_prefix_chars": is_count, "prefix_group": _text}
_CALL: Final[Options] = {
    **_POLICIES,
    "code": _text,
    "typical_s": _no_less_than_0,
    "pause_features": _texts,
    **dict.fromkeys(("is_async", "cheap", "undeclared"), _on),
    "isolation": _one_of("thread", "process"),
    "memory_bytes": lambda value: _whole(value) and value > 0,
}
_SAMPLING: Final[Options] = {
    **dict.fromkeys(("temperature", "min_p", "top_p", "frequency_penalty", "presence_penalty"), _number),
    "repetition_penalty": _positive,
    "logit_bias": _numbers,
    **dict.fromkeys(("top_k", "seed"), _whole),
    **dict.fromkeys(("min_tokens", "thinking_token_budget", "logprobs"), _natural),
    "max_tokens": is_count,
    **dict.fromkeys(("stop_token_ids", "allowed_token_ids"), _wholes),
    **dict.fromkeys(("stop", "bad_words", "choice"), _texts),
    **dict.fromkeys(("ignore_eos", "skip_special_tokens", "spaces_between_special_tokens"), _flag),
    "include_stop_str_in_output": _flag,
    **dict.fromkeys(("reasoning_effort", "verbosity", "service_tier", "regex", "grammar"), _text),
    "extra_body": is_json,
}
_GENERATE: Final[Options] = {
    **_POLICIES,
    **_SAMPLING,
    **_PREFIX,
    **dict.fromkeys(("schema", "tools", "steps"), is_json),
    "tool_choice": _text,
    "late": lambda value: (
        _texts(value) and set(value) <= {"system", "model", "temperature"} and len(set(value)) == len(value)
    ),
    "models": _texts,
    "at_least": is_count,
    "cache": _on,
    "fork": _on,
    "turns_left": _no_less_than_0,
}
_ASK: Final[Options] = {**_POLICIES, "choices": _texts}
_SLEEP: Final[Options] = {"seconds": lambda value: _number(value) and 0 <= value <= LONGEST_SLEEP_S}
_FIELD: Final[Options] = {"keyed": _on, "each": _on}
_HINT: Final[Options] = {
    **dict.fromkeys(("tool", "because", "before", "for", "scope"), _text),
    **dict.fromkeys(("turns_left", "typical_s"), _no_less_than_0),
    "shared": _on,
    "features": _texts,
    "over": _natural,
}
_OF_KIND: Final[dict[str, Options]] = {
    "const": {"value": _text},
    "prompt": {"parts": _texts},
    "chat": {"model": _text},
    "field": {**_FIELD, "path": _text},
    "ask": {**_ASK, "returns": _text},
    "sleep": _SLEEP,
    "tool": _CALL,
    "retrieve": _CALL,
}
"""These are the options of the ops that level 2 knows as ``op.call``, by their kind."""
OPTIONS: Final[dict[str, Options]] = {
    "agent.declare_tool": {
        "kind": _one_of("tool", "retrieve"),
        **dict.fromkeys(("key", "of", "hidden"), _texts),
        "check": _text,
        "cheap": _on,
        "isolation": _one_of("thread", "process"),
        "memory": lambda value: _text(value) or is_count(value),
    },
    "agent.workflow": {**_BUDGET, "params": _texts, "returns": _text, "slo": _text},
    **dict.fromkeys(("agent.tool", "agent.retrieve"), _CALL),
    **dict.fromkeys(("agent.generate", "op.decode"), _GENERATE),
    "agent.chat": {"model": _text},
    "agent.field": _FIELD,
    "agent.ask": _ASK,
    "agent.sleep": _SLEEP,
    **dict.fromkeys((f"agent.{kind}" for kind in ("branch", "switch", "attempt", "map", "race")), _POLICIES),
    "agent.loop": {**_POLICIES, "must_end": _on},
    "op.prefill": _PREFIX,
    "op.kv_move": {"recomputed": _on},
    **dict.fromkeys((f"op.kv_{kind}" for kind in ("pin", "extend", "release", "supersede", "prefetch")), _HINT),
}
"""It has the options of each op; those that are not here have none."""
ATTRIBUTES: Final[dict[str, tuple[str, ...]]] = {
    "agent.workflow": ("defaults",),
    "agent.arm": ("opts",),
    **dict.fromkeys(("op.call", "op.prefill", "op.decode"), ("resources",)),
    **dict.fromkeys((f"op.kv_{kind}" for kind in ("pin", "extend", "release", "supersede", "prefetch")),
                    ("place", "resources")),
}  # fmt: skip
"""What an op may have beside what it must."""


class Checked:
    """The options of one module; most dictionaries are shared by many ops, and looked at once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Any], tuple[tuple[str, str], ...]] = {}

    def of(self, name: str, kind: str, opts: Any) -> tuple[tuple[str, str], ...]:
        """What is wrong with the options of an op, with its code; ``kind`` is that of an ``op.call``."""
        key = (kind or name, opts)
        known = self._known.get(key)
        if known is None:
            options = _OF_KIND.get(kind, {}) if kind else OPTIONS.get(name, {})
            known = self._known[key] = tuple(_mistaken(options, opts))
        return known


def _mistaken(known: Options, opts: Any) -> Iterator[tuple[str, str]]:
    for name, attribute in entries(opts).items():
        test = known.get(name)
        if test is None:
            yield "ORCH-I029", f"there is no option `{name}`"
        elif not test(to_python(attribute)):
            yield "ORCH-I027", f"the option `{name}` is {attribute}"


def defaults_are_texts(attribute: Any) -> bool:
    """Whether the defaults of a workflow are what they must be: JSON by the names of parameters."""
    given = to_python(attribute)
    return type(attribute) is ir.DictAttr and _entries(given) and all(map(is_json, given.values()))
