"""Make up an instance of a JSON schema: what the simulator answers when a structured reply is asked for.

Covers what pydantic emits for plain models: objects, arrays, ``$ref``, ``anyOf``/``oneOf``/``allOf``, ``enum``,
``const``, numeric and length bounds, and the usual string formats. A schema it cannot satisfy (a ``pattern``, bounds
that exclude everything) raises ``ValueError`` rather than answering with something invalid.

>>> import random
>>> instance({"type": "integer", "minimum": 3, "maximum": 3}, random.Random(0))
3
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import cast

Schema = Mapping[str, object]
MAX_DEPTH = 24
"""Recursive schemas take their smallest branch well before this; deeper means there is no finite instance."""
SHALLOW_DEPTH = 4
"""From this depth on optional things are left out and arrays are as short as allowed."""

WORDS = ("simulated", "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota")
FORMATS = {
    "date": "2024-01-01",
    "date-time": "2024-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "simulated@example.com",
    "uri": "https://example.com/simulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
}


def instance(schema: Schema, rng: random.Random) -> object:
    """A JSON value valid under ``schema``; the same ``rng`` state gives the same value."""
    return _value(schema, schema, rng, 0)


def _value(schema: Schema, root: Schema, rng: random.Random, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise ValueError("the schema has no finite instance")
    schema = _resolve(schema, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(cast("Sequence[object]", schema["enum"]))
    for key in ("anyOf", "oneOf"):
        if key in schema:
            options = cast("Sequence[Schema]", schema[key])
            return _value(_pick(options, rng, depth), root, rng, depth + 1)
    make = _MAKERS.get(_type_of(schema, rng, depth))
    if make is None:
        raise ValueError(f"cannot make up a value of type {schema.get('type')!r}")
    return make(schema, root, rng, depth)


def _resolve(schema: Schema, root: Schema) -> Schema:
    """Follow ``$ref`` and merge ``allOf``, so that what is left can be read key by key."""
    while True:
        if "$ref" in schema:
            path = str(schema["$ref"])
            if not path.startswith("#"):
                raise ValueError(f"only references inside the schema can be followed, not {path}")
            target: object = root
            for part in path.removeprefix("#").strip("/").split("/"):
                if part:
                    target = cast("Schema", target)[part.replace("~1", "/").replace("~0", "~")]
            schema = {**cast("Schema", target), **{k: v for k, v in schema.items() if k != "$ref"}}
        elif "allOf" in schema:
            merged = {k: v for k, v in schema.items() if k != "allOf"}
            for part_schema in cast("Sequence[Schema]", schema["allOf"]):
                part_resolved = _resolve(part_schema, root)
                properties = {
                    **cast("dict[str, object]", merged.get("properties", {})),
                    **cast("dict[str, object]", part_resolved.get("properties", {})),
                }
                required = [
                    *cast("list[str]", merged.get("required", [])),
                    *cast("list[str]", part_resolved.get("required", [])),
                ]
                merged = {**merged, **part_resolved}
                if properties:
                    merged |= {"properties": properties, "required": required}
            schema = merged
        else:
            return schema


def _pick(options: Sequence[Schema], rng: random.Random, depth: int) -> Schema:
    scalars = [o for o in options if o.get("type") not in (None, "object", "array")]
    if depth >= SHALLOW_DEPTH and scalars:
        return scalars[-1]
    return rng.choice(options)


def _type_of(schema: Schema, rng: random.Random, depth: int) -> str:
    kind = schema.get("type")
    if isinstance(kind, str):
        return kind
    if isinstance(kind, Sequence):
        return "null" if depth >= SHALLOW_DEPTH and "null" in kind else str(rng.choice(kind))
    return "object" if "properties" in schema else "string"


def _object(schema: Schema, root: Schema, rng: random.Random, depth: int) -> object:
    properties = cast("Mapping[str, Schema]", schema.get("properties", {}))
    required = set(cast("Sequence[str]", schema.get("required", ())))
    made = {
        name: _value(sub, root, rng, depth + 1)
        for name, sub in properties.items()
        if name in required or depth < SHALLOW_DEPTH
    }
    extra = schema.get("additionalProperties")
    extra_schema = cast("Schema", extra) if isinstance(extra, Mapping) else {"type": "string"}
    for index in range(len(made), _int(schema, "minProperties", 0)):
        made[f"key{index}"] = _value(extra_schema, root, rng, depth + 1)
    return made


def _array(schema: Schema, root: Schema, rng: random.Random, depth: int) -> object:
    prefix = cast("Sequence[Schema]", schema.get("prefixItems", ()))
    made = [_value(sub, root, rng, depth + 1) for sub in prefix]
    low = _int(schema, "minItems", 0)
    high = _int(schema, "maxItems", max(low, len(prefix), 3))
    items = schema.get("items")
    if isinstance(items, Mapping):
        wanted = low if depth >= SHALLOW_DEPTH else max(low, min(high, 2))
        attempts = 0
        while len(made) < wanted:
            candidate = _value(cast("Schema", items), root, rng, depth + 1)
            attempts += 1
            if schema.get("uniqueItems") and candidate in made:
                if attempts > 20 * wanted and len(made) >= low:
                    break
                if attempts > 1000:
                    raise ValueError("the schema asks for more distinct items than it allows")
                continue
            made.append(candidate)
    return made


def _string(schema: Schema, _root: Schema, rng: random.Random, _depth: int) -> object:
    if "pattern" in schema:
        raise ValueError(f"cannot make up a string for the pattern {schema['pattern']!r}")
    fixed = FORMATS.get(str(schema.get("format")))
    if fixed is not None:
        return fixed
    text = f"simulated {rng.choice(WORDS[1:])} {rng.randrange(1000)}"
    low = _int(schema, "minLength", 0)
    high = _int(schema, "maxLength", max(low, len(text)))
    return text.ljust(low, ".")[:high]


def _integer(schema: Schema, _root: Schema, rng: random.Random, _depth: int) -> object:
    step = _int(schema, "multipleOf", 1)
    low = max(_int(schema, "minimum", -(2**53)), _int(schema, "exclusiveMinimum", -(2**53)) + 1)
    high = min(_int(schema, "maximum", 2**53), _int(schema, "exclusiveMaximum", 2**53) - 1)
    first, last = -(-max(low, min(0, high)) // step), max(low, min(high, 100)) // step
    if not low <= first * step <= high:
        raise ValueError("no integer satisfies the schema's bounds")
    return step * rng.randint(first, max(first, last))


def _number(schema: Schema, _root: Schema, rng: random.Random, _depth: int) -> object:
    def bound(key: str, default: float) -> float:
        found = schema.get(key, default)
        return float(cast("float", found))

    low = max(bound("minimum", -1e9), bound("exclusiveMinimum", -1e9))
    high = min(bound("maximum", 1e9), bound("exclusiveMaximum", 1e9))
    low, high = (max(low, min(0.0, high)), min(high, max(low, 1.0)))
    if low > high:
        raise ValueError("no number satisfies the schema's bounds")
    return low + (high - low) * (0.25 + 0.5 * rng.random())


def _int(schema: Schema, key: str, default: int) -> int:
    found = schema.get(key)
    return int(found) if isinstance(found, int | float) else default


_MAKERS: dict[str, Callable[[Schema, Schema, random.Random, int], object]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda _s, _r, rng, _d: rng.random() < 0.5,
    "null": lambda _s, _r, _rng, _d: None,
}
