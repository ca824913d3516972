"""A JSON schema in the words that OpenAI's strict structured outputs take.

They take a part of JSON Schema: each object is closed and has all its fields required, and there are no defaults, no
``oneOf``, nothing beside a ``$ref`` and none at the root. What fits the schema in these words fits it as it was
declared, too. Dicts and tuples have no such words: what they are made of stays, and is for the endpoint to reject.

>>> strict_schema({"type": "object", "properties": {"x": {"type": "integer", "default": 1}}})
{'type': 'object', 'properties': {'x': {'type': 'integer'}}, 'required': ['x'], 'additionalProperties': False}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_LEFT_OUT: Final = frozenset({"default", "discriminator"})
_NAMED: Final = frozenset({"properties", "$defs"})
"""Keywords whose value has a schema under each name."""
_LISTED: Final = frozenset({"anyOf", "allOf", "prefixItems"})
_SINGLE: Final = frozenset({"items", "additionalProperties"})


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema in the words of strict structured outputs."""
    root, definitions = schema.get("$ref"), schema.get("$defs", {})
    if isinstance(root, str) and root.startswith("#/$defs/") and root[8:] in definitions:
        schema = {**definitions[root[8:]], "$defs": definitions}
    strict: dict[str, Any] = _strict(schema)
    return strict


def takes_objects(schema: Mapping[str, Any]) -> bool:
    """Whether an object may fit the schema: to most endpoints, "any JSON" is an object.

    >>> takes_objects({"anyOf": [{"type": "null"}, {"type": "object"}]}), takes_objects({"type": "array"})
    (True, False)
    """
    return _takes_objects(schema, schema.get("$defs", {}), frozenset())


def _takes_objects(schema: Any, definitions: Mapping[str, Any], seen: frozenset[str]) -> bool:
    if not isinstance(schema, Mapping):
        return schema is True
    target = schema.get("$ref", "").removeprefix("#/$defs/")
    if target in definitions:
        return target not in seen and _takes_objects(definitions[target], definitions, seen | {target})
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return any(_takes_objects(each, definitions, seen) for each in schema[keyword])
    kind = schema.get("type", "string" if "enum" in schema or "const" in schema else "object")
    return "object" in ([kind] if isinstance(kind, str) else kind)


def _strict(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    strict: dict[str, Any] = {}
    for keyword, value in schema.items():
        word = "anyOf" if keyword == "oneOf" else keyword
        if word in _NAMED:
            strict[word] = {name: _strict(each) for name, each in value.items()}
        elif word in _LISTED:
            strict[word] = [_strict(each) for each in value]
        elif word not in _LEFT_OUT:
            strict[word] = _strict(value) if word in _SINGLE else value
    if "properties" in strict:
        strict["required"] = list(strict["properties"])
        strict["additionalProperties"] = False
    if "$ref" in strict and len(strict) > 1:
        strict["anyOf"] = [{"$ref": strict.pop("$ref")}]
    return strict
