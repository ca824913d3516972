"""Whether a value of JSON fits a schema, as far as that can be said without the class that the schema is of.

What is checked is the shape: types, constants, choices, what an object must have. What a validator of the class says
besides is said by the run, when it takes the value.

>>> misfit({"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}, {"ok": 1})
'ok: 1 is no boolean'
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

Schema = Mapping[str, Any]
MOST_DEPTH: Final = 64
"""What is deeper is left to the run."""


def misfit(schema: Schema, value: object) -> str | None:
    """What does not fit, with its place in the value; None where nothing is known to be wrong."""
    return _misfit(schema, value, schema, "", MOST_DEPTH)


def meant(schema: Schema, text: str) -> object:
    """What somebody means who types ``text``: that, where a text fits, and else JSON where it is some."""
    if misfit(schema, text) is None:
        return text
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    return text


def _misfit(schema: Schema, value: object, root: Schema, at: str, left: int) -> str | None:
    if not left:
        return None
    schema = _resolved(schema, root)
    return next(filter(None, _misfits(schema, value, root, at, left)), None)


def _misfits(schema: Schema, value: object, root: Schema, at: str, left: int) -> Iterator[str | None]:
    """What each part of the schema finds wrong."""
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{at}{value!r:.100} is not {schema['const']!r}"
    if "enum" in schema and not any(_same(value, each) for each in schema["enum"]):
        yield f"{at}{value!r:.100} is none of {', '.join(map(repr, schema['enum']))}"
    for kind in ("anyOf", "oneOf"):
        if kind in schema:
            wrong = [_misfit(each, value, root, at, left - 1) for each in schema[kind]]
            if None not in wrong:
                yield f"{at}{value!r:.100} fits none of what it may be: {'; '.join(filter(None, wrong))}"
    for part in schema.get("allOf", ()):
        yield _misfit(part, value, root, at, left - 1)
    named = schema.get("type")
    kinds = [named] if isinstance(named, str) else named or []
    if kinds and not any(_IS[kind](value) for kind in kinds if kind in _IS):
        yield f"{at}{value!r:.100} is no {' or '.join(kinds)}"
    elif isinstance(value, Mapping):
        yield from _in_object(schema, value, root, at, left)
    elif isinstance(value, (list, tuple)) and isinstance(schema.get("items"), Mapping):
        for number, each in enumerate(value):
            yield _misfit(schema["items"], each, root, f"{at}{number}: ", left - 1)


def _in_object(schema: Schema, value: Mapping[Any, object], root: Schema, at: str, left: int) -> Iterator[str | None]:
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{at}`{name}` is missing"
    known: Mapping[str, Schema] = schema.get("properties", {})
    for name, each in value.items():
        if name in known:
            yield _misfit(known[name], each, root, f"{at}{name}: ", left - 1)
        elif schema.get("additionalProperties") is False:
            yield f"{at}there is no `{name}`"


def _resolved(schema: Schema, root: Schema) -> Schema:
    """What a reference leads to; an empty schema, which everything fits, where it leads out of this one."""
    for _ in range(MOST_DEPTH):
        name = schema.get("$ref")
        if name is None:
            return schema
        found: Any = root
        for part in str(name).removeprefix("#/").split("/"):
            found = found.get(part, {}) if isinstance(found, Mapping) else {}
        schema = found if isinstance(found, Mapping) else {}
    return {}


def _same(one: object, other: object) -> bool:
    """Whether JSON says the same of both: true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


_IS: Final[dict[str, Callable[[object], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: type(value) is int or (isinstance(value, float) and value.is_integer()),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, (list, tuple)),
    "object": lambda value: isinstance(value, Mapping),
}
