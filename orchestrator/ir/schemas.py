"""What a JSON schema says of values, and what it only says to who reads it: titles, descriptions and examples.

>>> meaning('{"description": "A town.", "properties": {"title": {"title": "Title", "type": "string"}}}')
'{"properties": {"title": {"type": "string"}}}'
"""

from __future__ import annotations

import json
from typing import Any, Final

_WORDS: Final = frozenset({"title", "description", "examples", "deprecated", "$comment"})
_VALUES: Final = frozenset({"default", "const", "enum", "dependentRequired"})
"""Where values of the user's stand, and no schemas."""
_NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
"""Where schemas stand under names of the user's."""


def meaning(schema: str) -> str:
    """The text of a schema without the words in it; nothing of nothing."""
    return json.dumps(_of_values(json.loads(schema)), sort_keys=True) if schema else ""


def _of_values(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_of_values(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _under(key, each) for key, each in schema.items() if key not in _WORDS}


def _under(key: str, part: Any) -> Any:
    if key in _VALUES:
        return part
    if key in _NAMED and isinstance(part, dict):
        return {name: _of_values(each) for name, each in part.items()}
    return _of_values(part)


def first_difference(then: str | None, now: str | None) -> tuple[str, object, object]:
    """Where two JSON texts differ first, in dots, and what each has there: of dicts that are equal, the order."""
    path, ours, theirs = "", json.loads(then or "null"), json.loads(now or "null")
    while True:
        if isinstance(ours, dict) and isinstance(theirs, dict):
            keys: Any = [*ours, *(key for key in theirs if key not in ours)]
            pairs = {key: (ours.get(key), theirs.get(key)) for key in keys}
        elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
            pairs = dict(enumerate(zip(ours, theirs, strict=True)))
        else:
            return path, ours, theirs
        found = next((key for key, (one, other) in pairs.items() if json.dumps(one) != json.dumps(other)), None)
        if found is None:
            return path, list(ours), list(theirs)
        path, (ours, theirs) = f"{path}.{found}" if path else f"{found}", pairs[found]
