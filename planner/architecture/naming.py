"""What the name of a model says of its size, where nothing else is known of it.

Names state sizes in a few ways, each with its meaning::

    Qwen3-8B, SmolLM2-135M      all parameters
    Qwen3.5-397B-A17B           all parameters, and those that one token uses: a mixture of experts
    Mixtral-8x7B                eight experts; one of them and all that is shared have 7 billion
    Llama-4-Scout-17B-16E       those that one token uses, and how many experts there are
    gemma-3n-E4B                those that are multiplied; tables of which a token reads a row come on top

A mixture is then given the proportions of published ones. With T parameters of which a token uses A, 0.4 A are taken
to be shared by all tokens, and experts are as small as makes eight of them the rest of A (DeepSeek-V3, Qwen3-235B-A22B
and Qwen3-30B-A3B have 0.35 to 0.45 A, and eight). Mixtral's two experts are 0.78 of the width each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LEAST_PARAMS, MOST_PARAMS = 1e5, 2e13
"""A size out of these bounds is none: it is a number of something else, or a joke."""
MOST_EXPERTS: Final = 4096
MOST_CHARACTERS: Final = 200
"""A name is read so far: longer ones are paths, or hostile."""
SHARED_SHARE: Final = 0.4
PER_TOKEN: Final = 8
MIXTRAL_SHARE, MIXTRAL_PER_TOKEN = 0.78, 2
SINGLE_SHARE: Final = 0.27
"""It is the share of A that is one expert of Llama 4, whose tokens take one each."""
TIMES_ACTIVE: Final = 8
"""Parameters for each active one, where a name tells only those."""
TIMES_EFFECTIVE: Final = 2
"""Parameters for each multiplied one of Gemma 3n: 5.4 billion of E2B, 7.9 of E4B."""

DENSE_SPREAD, MIXTURE_SPREAD, ACTIVE_SPREAD = 1.5, 2.0, 4.0
"""Factors of doubt: sizes are rounded, proportions are assumed, and a total that is not told may be anything."""

_UNITS: Final = {"m": 1e6, "b": 1e9, "t": 1e12}
_SIZE: Final = r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([mbt])"
_BEFORE, _AFTER = r"(?<![a-z0-9.])", r"(?![a-z0-9])"
_NUMBER: Final = re.compile(rf"{_BEFORE}{_SIZE}{_AFTER}")
_ACTIVE: Final = re.compile(rf"{_BEFORE}a{_SIZE}{_AFTER}")
_TIMES: Final = re.compile(rf"{_BEFORE}([0-9]{{1,4}})x{_SIZE}{_AFTER}")
_EXPERTS: Final = re.compile(rf"{_BEFORE}([0-9]{{1,4}})e{_AFTER}")
_EFFECTIVE: Final = re.compile(rf"{_BEFORE}e{_SIZE}{_AFTER}")
_WIDTHS: Final = (
    ("nvfp4|mxfp4|fp4", "fp4"),
    ("int4|w4a16|4-?bit|i?q4", "int4"),
    ("mxfp8|fp8|float8", "fp8"),
    ("int8|w8a16|w8a8|8-?bit|q8", "int8"),
    ("awq|gptq|bnb|autoround", "int4"),
    ("bf16|bfloat16|fp16|float16", "bf16"),
)
"""It has what names say of the width of weights; a method alone means its usual width, and so comes last."""


@dataclass(frozen=True, slots=True)
class Named:
    """The size that a name tells. Counts are parameters."""

    params: float
    active: float
    said: str
    """Where that is from: the end of a sentence."""
    spread: float
    """Factor of doubt about it."""
    experts: int = 0
    """Of a layer; 0: a dense model."""
    experts_per_token: int = 0
    routed: float = 0.0
    """Of ``params``, those in all experts of all layers."""
    lookup: float = 0.0
    """Of ``params``, those of tables of which a token reads a row."""


def size_of(name: str) -> Named | None:
    """The size that a name tells; None: it tells none.

    >>> size_of("Qwen/Qwen3-8B").params, size_of("my-model")
    (8000000000.0, None)
    >>> mixture = size_of("Qwen/Qwen3.5-397B-A17B")
    >>> mixture.params, round(mixture.active, -8), mixture.experts
    (397000000000.0, 17000000000.0, 306)
    """
    text = _own(name)
    if (times := _TIMES.search(text)) is not None and (named := _of_times(times)) is not None:
        return named
    total, active, count = (_first(each, text) for each in (_NUMBER, _ACTIVE, _EFFECTIVE))
    if active is not None:
        return _mixture(total, active)
    experts = _EXPERTS.search(text)
    if total and experts is not None and 2 <= int(experts[1]) <= MOST_EXPERTS:
        return _of_active(total, int(experts[1]))
    if total:
        return Named(total, total, "from its name", DENSE_SPREAD)
    if count:
        params = TIMES_EFFECTIVE * count
        return Named(params, count, "from its name", MIXTURE_SPREAD, lookup=params - count)
    return None


def width_of(name: str) -> str | None:
    """The type of the weights that a name tells (``…-FP8``, ``…-AWQ``); None: it tells none.

    >>> width_of("nvidia/Qwen3-32B-NVFP4"), width_of("Qwen/Qwen3-8B-GPTQ-Int8"), width_of("Qwen/Qwen3-8B")
    ('fp4', 'int8', None)
    """
    text = _own(name)
    return next((dtype for pattern, dtype in _WIDTHS if re.search(rf"(?<![a-z0-9])({pattern}){_AFTER}", text)), None)


def _own(name: str) -> str:
    """A name without its organisation, in lower case; words are divided by hyphens."""
    return name.rstrip("/").rsplit("/", 1)[-1][:MOST_CHARACTERS].lower().replace("_", "-")


def _first(pattern: re.Pattern[str], text: str) -> float | None:
    """The first size that there can be; millions only where there is no other, since contexts are told in them too."""
    sizes = [(found[2] == "m", size) for found in pattern.finditer(text) if (size := _size(found[1], found[2]))]
    return min(sizes, key=lambda each: each[0])[1] if sizes else None


def _size(number: str, unit: str) -> float | None:
    size = float(number) * _UNITS[unit]
    return size if LEAST_PARAMS <= size <= MOST_PARAMS else None


def _of_times(found: re.Match[str]) -> Named | None:
    count, one = int(found[1]), _size(found[2], found[3])
    if one is None or not MIXTRAL_PER_TOKEN < count <= MOST_EXPERTS:
        return None
    expert, shared = MIXTRAL_SHARE * one, (1 - MIXTRAL_SHARE) * one
    routed, active = count * expert, shared + MIXTRAL_PER_TOKEN * expert
    return _possible(Named(shared + routed, active, "from its name", MIXTURE_SPREAD, count, MIXTRAL_PER_TOKEN, routed))


def _of_active(active: float, count: int) -> Named | None:
    routed = count * SINGLE_SHARE * active
    return _possible(
        Named((1 - SINGLE_SHARE) * active + routed, active, "from its name", MIXTURE_SPREAD, count, 1, routed)
    )


def _mixture(named: float | None, active: float) -> Named:
    total = named or TIMES_ACTIVE * active
    if active >= total:
        return Named(total, total, "from its name, by which a token uses more than there are", ACTIVE_SPREAD)
    routed = total - SHARED_SHARE * active
    count = round(PER_TOKEN * routed / (active - SHARED_SHARE * active))
    count = min(max(count, PER_TOKEN + 1), MOST_EXPERTS)
    used = total - routed * (1 - PER_TOKEN / count)
    said = "from its name" if named else "from its name, which tells only how many a token uses"
    return Named(total, used, said, MIXTURE_SPREAD if named else ACTIVE_SPREAD, count, PER_TOKEN, routed)


def _possible(named: Named) -> Named | None:
    return named if named.params <= MOST_PARAMS else None
