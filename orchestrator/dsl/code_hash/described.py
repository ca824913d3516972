"""What a class says of its fields to who reads its schema: it has as little meaning as a docstring has.

A tool that takes ``Query`` does the same whatever ``sql: str = Field(description=...)`` says. The call of a model that
is shown the description says so itself, in its schema.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

_WORDS: Final = frozenset({"title", "description", "examples", "deprecated"})


def without_words(definition: ast.AST, namespace: Mapping[str, Any]) -> ast.AST:
    """A definition of classes without the words in calls of pydantic's ``Field``; itself where there are none."""
    if not any(True for _ in _wordy(definition, namespace)):
        return definition
    made = deepcopy(definition)
    for call in list(_wordy(made, namespace)):
        call.keywords = [each for each in call.keywords if each.arg not in _WORDS]
    return made


def _wordy(definition: ast.AST, namespace: Mapping[str, Any]) -> Iterator[ast.Call]:
    """The calls of ``Field`` with words that say what a field of a class is."""
    for cls in ast.walk(definition):
        for statement in cls.body if isinstance(cls, ast.ClassDef) else ():
            if isinstance(statement, (ast.Assign, ast.AnnAssign)):
                calls = (each for each in ast.walk(statement) if isinstance(each, ast.Call))
                yield from (each for each in calls if _has_words(each) and _is_field(each.func, namespace))


def _has_words(call: ast.Call) -> bool:
    return any(each.arg in _WORDS for each in call.keywords)


def _is_field(function: ast.expr, namespace: Mapping[str, Any]) -> bool:
    match function:
        case ast.Name(name):
            found = namespace.get(name)
        case ast.Attribute(ast.Name(name), attribute):
            found = getattr(namespace.get(name), attribute, None)
        case _:
            return False
    return found is not None and found is getattr(sys.modules.get("pydantic"), "Field", None)
