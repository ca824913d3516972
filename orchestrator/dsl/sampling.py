"""How a model decodes: every option that OpenAI's API or vLLM takes, and what each may be.

Most are passed on under their own names (:data:`PASSED`); a few mean something here: ``samples``, what bounds or
constrains a reply, and ``extra_body``. What an engine does not take is refused when the workflow is planned
(:mod:`orchestrator.planner.takes`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, TypedDict

from orchestrator.dsl.declared.policy import Opts, is_count, is_number
from orchestrator.dsl.logprobs import MOST_ALTERNATIVES

Test = Callable[[Any], bool]
MOST_TOKEN_ID: Final = 1 << 31
MOST_CONSTRAINT_CHARS: Final = 100_000
"""A regular expression, or a grammar, may have so many characters."""
CONSTRAINTS: Final = ("choice", "regex", "grammar")
"""What bounds the text of a reply itself, in place of a type; a call has one of them at most."""


class Sampling(TypedDict, total=False):
    """How a model decodes; what is not given is the model's own default. ``docs/models.md`` has a table.

    ``cache=True`` has one answer serve all calls of the workflow that are equal: same prompt, conversation and options.
    Without it each call is made, at ``temperature=0``, too.
    """

    model: str | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: str | Sequence[str] | None
    seed: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    repetition_penalty: float | None
    top_k: int | None
    min_p: float | None
    logit_bias: Mapping[int, float] | None
    min_tokens: int | None
    stop_token_ids: Sequence[int] | None
    bad_words: Sequence[str] | None
    allowed_token_ids: Sequence[int] | None
    ignore_eos: bool | None
    cache: bool | None
    skip_special_tokens: bool | None
    spaces_between_special_tokens: bool | None
    include_stop_str_in_output: bool | None
    thinking_token_budget: int | None
    reasoning_effort: str | None
    verbosity: Literal["low", "medium", "high"] | None
    service_tier: str | None
    extra_body: Mapping[str, Any] | None


def _within(least: float, most: float) -> Test:
    return lambda value: is_number(value) and least <= value <= most


def _is_int(value: object, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < MOST_TOKEN_ID


def _are_token_ids(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(map(_is_int, value))


def _is_word(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _is_bias(value: object) -> bool:
    if not isinstance(value, Mapping) or not value:
        return False
    is_token = lambda key: _is_int(key) or (isinstance(key, str) and key.isascii() and key.isdigit())  # noqa: E731
    return all(map(is_token, value)) and all(map(_within(-100, 100), value.values()))


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


_FLAG: Final = ("True or False", _is_flag)
_TOKEN_IDS: Final = ("a list of token ids", _are_token_ids)
_WORD: Final = ("a word that the model's API takes", _is_word)

PASSED: Final[Mapping[str, tuple[str, Test]]] = {
    "frequency_penalty": ("a number from -2 to 2", _within(-2, 2)),
    "presence_penalty": ("a number from -2 to 2", _within(-2, 2)),
    "repetition_penalty": ("a number above 0", lambda value: is_number(value) and value > 0),
    "top_k": ("an int of 1 or more; -1 or 0 is no limit", lambda value: _is_int(value, -1)),
    "min_p": ("a number from 0 to 1", _within(0, 1)),
    "logit_bias": ("a dict from token ids to numbers from -100 to 100", _is_bias),
    "min_tokens": ("an int of 0 or more", _is_int),
    "stop_token_ids": _TOKEN_IDS,
    "bad_words": ("a list of texts", lambda value: isinstance(value, (list, tuple)) and all(map(_is_word, value))),
    "allowed_token_ids": _TOKEN_IDS,
    "ignore_eos": _FLAG,
    "skip_special_tokens": _FLAG,
    "spaces_between_special_tokens": _FLAG,
    "include_stop_str_in_output": _FLAG,
    "thinking_token_budget": ("an int of 0 or more", _is_int),
    "reasoning_effort": _WORD,
    "verbosity": ('"low", "medium" or "high"', lambda value: value in ("low", "medium", "high")),
    "service_tier": _WORD,
}
"""Options that go to the engine as they are: what each may be, for people and as a test."""


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches, in linear time: what a model writes may be long, and a pattern badly written."""
    from pydantic_core import ValidationError

    try:
        _matcher(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> Any:
    from pydantic_core import SchemaValidator, core_schema

    for each in (pattern, rf"\A(?:{pattern})\z"):  # alone, too: `a)|(b` becomes a pattern by what stands around it
        matcher = SchemaValidator(core_schema.str_schema(pattern=each, regex_engine="rust-regex"))
    return matcher


def _is_regex(value: object) -> bool:
    from pydantic_core import SchemaError

    if not isinstance(value, str) or not 0 < len(value) <= MOST_CONSTRAINT_CHARS:
        return False
    try:
        _matcher(value.encode().decode())
    except (SchemaError, UnicodeEncodeError):
        return False
    return True


def _is_json_object(value: object) -> bool:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) and key for key in value):
        return False
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == dict(value))
    except (TypeError, ValueError, RecursionError):
        return False


MEANT: Final[Mapping[str, tuple[str, Test]]] = {
    "regex": ("a regular expression without look-around and back-references", _is_regex),
    "grammar": (
        "the text of a grammar, in the EBNF that vLLM takes",
        lambda value: isinstance(value, str) and bool(value.strip()) and len(value) <= MOST_CONSTRAINT_CHARS,
    ),
    "extra_body": ("a dict that is JSON, with keys of text", _is_json_object),
    "samples": ("a Python int of 1 or more", is_count),
    "logprobs": (
        f"an int from 0 to {MOST_ALTERNATIVES}",
        lambda value: _is_int(value) and value <= MOST_ALTERNATIVES,
    ),
}
"""Further options of a model call that are no policies: what each may be."""


def sampling_opts(given: Opts) -> Opts:
    """The ``opts`` of a model call for the options that it was given."""
    opts: Opts = {name: _plain(given[name]) for name in PASSED if name in given}
    opts |= {name: given[name] for name in ("max_tokens", "seed", "regex", "grammar", "logprobs") if name in given}
    opts |= {"cache": True} if given.get("cache") else {}
    opts |= {name: float(given[name]) for name in ("temperature", "top_p") if name in given}  # type: ignore[arg-type]
    if "stop" in given:
        stop: Any = given["stop"]
        opts["stop"] = [stop] if isinstance(stop, str) else list(stop)
    if "choice" in given:
        opts["choice"] = list(given["choice"])  # type: ignore[call-overload]
    if "extra_body" in given:
        opts["extra_body"] = json.dumps(given["extra_body"], sort_keys=True, ensure_ascii=False)
    return opts


def _plain(value: Any) -> object:
    if isinstance(value, Mapping):
        return {str(key): float(each) for key, each in value.items()}
    return list(value) if isinstance(value, tuple) else value
