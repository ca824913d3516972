"""From the IR's name of a type back to the type: what a module that was read from a text is run with."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Never

import annotated_types

from orchestrator.dsl.types.typing import TypeForm, type_string, union
from orchestrator.errors import Error
from orchestrator.ir.types import ANNOTATED, BUILTINS, ELLIPSIS, GROUP, LITERAL, UNION, Type, parse_type

_METADATA: Final = frozenset(
    {"Gt", "Ge", "Lt", "Le", "MultipleOf", "MinLen", "MaxLen", "Interval", "Len", "Timezone"}
)  # what says all of itself


class UnresolvedTypeError(ValueError):
    """A type that cannot be made out of its name; the message says what of it."""


def resolve(text: str, classes: Mapping[str, Any]) -> TypeForm:
    """The type that is called ``text``, whose declared names are ``classes``. Raises :class:`UnresolvedTypeError`."""
    found = _resolve(parse_type(text), classes)
    if type_string(found) != text:
        raise UnresolvedTypeError(f"read again, it is {type_string(found)}")
    return found


def _resolve(tp: Type, classes: Mapping[str, Any]) -> Any:  # noqa: PLR0911 - a case each
    if tp.name == ELLIPSIS:
        return ...
    arguments = [_resolve(each, classes) for each in tp.args]
    if tp.name == UNION:
        return union(*arguments)
    if tp.name == GROUP:
        return arguments
    if tp.name == LITERAL:
        return Literal[tuple(_literal(each, classes) for each in tp.texts)]
    if tp.name == ANNOTATED:
        metadata = tuple(map(_metadata, tp.texts))
        return Annotated[(arguments[0], *metadata)]
    cls = _class(tp.name, classes)
    if tp.texts:
        return tuple[()]
    return cls[tuple(arguments)] if arguments else cls


def _class(name: str, classes: Mapping[str, Any]) -> Any:
    from orchestrator.dsl.models.llm import Chat

    words = {"Any": Any, "Never": Never, "None": None, "Chat": Chat, "Error": Error}
    if name in classes:
        return classes[name]
    return words[name] if name in words else BUILTINS[name]


def _literal(text: str, classes: Mapping[str, Any]) -> Any:
    owner, _, member = text.rpartition(".")
    return classes[owner][member] if owner in classes else ast.literal_eval(text)


def _metadata(text: str) -> Any:
    """Text, a number, or a bound of ``annotated_types``; the metadata that pydantic's ``Field`` writes holds such."""
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        raise UnresolvedTypeError(f"its metadata `{text}` cannot be read again") from None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
        given = {each.arg: each.value for each in node.keywords if each.arg is not None}
        if node.func.id in _METADATA:
            return getattr(annotated_types, node.func.id)(**{name: _value(each, text) for name, each in given.items()})
        if node.func.id == "FieldInfo":
            return _field(given, text)
    return _value(node, text)


def _field(given: Mapping[str, ast.expr], text: str) -> Any:
    """What ``Field(...)`` was given, out of how pydantic writes it."""
    from pydantic import Field

    options = {name: _value(each, text) for name, each in given.items() if name in ("title", "description")}
    bounds = given.get("metadata")
    for each in bounds.elts if isinstance(bounds, ast.List) else ():
        made = _metadata(ast.unparse(each))
        options |= vars(made) if hasattr(made, "__dict__") else {}
        options |= {name: getattr(made, name) for name in getattr(made, "__slots__", ())}
    return Field(**options)


def _value(node: ast.expr, text: str) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise UnresolvedTypeError(f"its metadata `{text}` cannot be read again") from None
