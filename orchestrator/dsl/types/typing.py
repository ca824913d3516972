"""The types that flow along a workflow's edges: ordinary Python annotations.

``assignable(source, target)`` decides whether what one op produces may feed another. It is reflexive and transitive
apart from ``Any``, which fits on both sides, and follows what pydantic accepts in strict mode: subclasses, unions,
literals, ``int`` for ``float``, and covariant containers (values are never mutated, so covariance is sound).
"""

from __future__ import annotations

import collections.abc
import json
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from enum import Enum
from functools import lru_cache, reduce
from typing import Any, Literal, Never, TypeVar, Union, get_args

TypeForm = Any
"""A type annotation: a class, a generic alias, a union, ``Any`` or ``None``."""

NoneType = type(None)
UNIONS = (Union, types.UnionType)
"""The origins of a union's alias."""


def union(*members: TypeForm) -> TypeForm:
    """The union of the types, flattened and without repetition."""
    return Union[members]  # noqa: UP007 - a runtime union of computed members


def origin_of(tp: TypeForm) -> Any:
    """The class that a generic alias applies, ``Union``, ``Literal``, or None."""
    return typing.get_origin(tp)


def generic_of(tp: TypeForm) -> tuple[Any, tuple[TypeForm, ...]]:
    """The class that a generic alias or a generic pydantic model applies, or ``tp`` itself, and its arguments."""
    applied = getattr(tp, "__pydantic_generic_metadata__", {})
    if applied.get("origin") is not None:
        return applied["origin"], applied["args"]
    return origin_of(tp) or tp, get_args(tp)


def same_type(first: TypeForm, second: TypeForm) -> bool:
    """Whether two annotations say the same: ``typing.List[int]`` and ``list[int]`` do."""
    if first is second or first == second:
        return True
    (ours, our_arguments), (theirs, their_arguments) = generic_of(first), generic_of(second)
    is_same = ours is theirs and len(our_arguments) == len(their_arguments) and (ours, theirs) != (first, second)
    return is_same and all(map(same_type, our_arguments, their_arguments))


def list_of(item: TypeForm) -> TypeForm:
    """``list[item]``."""
    return list[item]


def dict_of(item: TypeForm) -> TypeForm:
    """``dict[str, item]``."""
    return dict[str, item]


def tuple_of(items: Sequence[TypeForm]) -> TypeForm:
    """``tuple[items]``, of fixed arity."""
    return tuple[tuple(items)]  # type: ignore[misc]


def literal_of(values: Sequence[str]) -> TypeForm:
    """``Literal`` of these texts."""
    return Literal[tuple(values)]


def plain(tp: TypeForm) -> TypeForm:
    """``tp`` without what does not matter for assignment: ``Annotated``, ``NewType`` and ``type`` aliases."""
    if tp is None:
        return NoneType
    if hasattr(tp, "__metadata__"):
        return plain(get_args(tp)[0])
    if hasattr(tp, "__supertype__"):
        return plain(tp.__supertype__)
    if type(tp).__name__ == "TypeAliasType":
        return plain(tp.__value__)
    return tp


def assignable(source: TypeForm, target: TypeForm) -> bool:  # noqa: PLR0911 - a case each
    """Whether every value of type ``source`` is a value of type ``target``."""
    if source is target:
        return True
    source, target = plain(source), plain(target)
    if source == target or target is object or source in (Any, Never) or target is Any:
        return True
    source_origin, target_origin = origin_of(source), origin_of(target)
    if source_origin in UNIONS:
        return all(assignable(member, target) for member in get_args(source))
    if source_origin is Literal:
        return _literal_assignable(get_args(source), target)
    if target_origin in UNIONS:
        return any(assignable(source, member) for member in get_args(target))
    if isinstance(target, TypeVar):
        return target.__bound__ is None or assignable(source, target.__bound__)
    return _class_assignable(source_origin or source, target_origin or target) and _arguments_assignable(source, target)


def _literal_assignable(values: tuple[object, ...], target: TypeForm) -> bool:
    if origin_of(target) is Literal:
        accepted = [(type(value), value) for value in get_args(target)]
        return all((type(value), value) in accepted for value in values)
    if origin_of(target) in UNIONS:
        return all(any(assignable(Literal[value], member) for member in get_args(target)) for value in values)
    return all(assignable(type(value), target) for value in values)


def _class_assignable(source: TypeForm, target: TypeForm) -> bool:
    if not (isinstance(source, type) and isinstance(target, type)) or typed_items(target) is not None:
        return False
    if target is float and issubclass(source, int):
        return True
    if source is str and target in (collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection):
        return False  # a string passed as a list of strings is a bug far more often than an intention
    return issubclass(source, target)


def _arguments_assignable(source: TypeForm, target: TypeForm) -> bool:
    wanted = get_args(target)
    if not wanted:
        return True
    if origin_of(target) is tuple:
        return _tuple_assignable(get_args(source), wanted)
    if (origin_of(source) or source) is tuple:
        item = element_type(source)
        return item is not None and assignable(item, wanted[0])
    given = get_args(source) or (Any,) * len(wanted)
    return len(given) == len(wanted) and all(assignable(g, w) for g, w in zip(given, wanted, strict=True))


def _tuple_assignable(given: tuple[TypeForm, ...], wanted: tuple[TypeForm, ...]) -> bool:
    given = given or (Any, ...)
    if Ellipsis in wanted:
        return all(assignable(item, wanted[0]) for item in given if item is not Ellipsis)
    if Ellipsis in given:
        return given[0] is Any
    return len(given) == len(wanted) and all(assignable(g, w) for g, w in zip(given, wanted, strict=True))


def join(first: TypeForm, second: TypeForm) -> TypeForm | None:
    """The type of a value that is one or the other: the wider, ``X | None``, or None if the two are unrelated."""
    if first is Any or second is Any:
        return Any
    if assignable(first, second):
        return second
    if assignable(second, first):
        return first
    if plain(first) is NoneType or plain(second) is NoneType:
        return union(first, second)
    if origin_of(plain(first)) is origin_of(plain(second)) is tuple:  # of different lengths
        items = [each for tp in (first, second) for each in get_args(plain(tp)) if each is not Ellipsis]
        item = reduce(lambda one, other: None if one is None else join(one, other), items)
        return None if item is None else tuple[item, ...]  # type: ignore[valid-type]
    return None


def literals_of(tp: TypeForm) -> tuple[object, ...] | None:
    """All the values that a value of the type may be, if the type lists them."""
    tp = plain(tp)
    if tp is NoneType:
        return (None,)
    if origin_of(tp) is Literal:
        return get_args(tp)
    if origin_of(tp) not in UNIONS:
        return None
    found: list[object] = []
    for member in get_args(tp):
        values = literals_of(member)
        if values is None:
            return None
        found += values
    return tuple(found)


def is_type_form(tp: object) -> bool:
    """Whether ``tp`` is a type, or what is written in the place of one."""
    named = hasattr(tp, "__supertype__") or type(tp).__name__ == "TypeAliasType"
    return tp is None or tp is Any or isinstance(tp, type) or origin_of(tp) is not None or named


def is_list(tp: TypeForm) -> bool:
    """Whether a value of the type is, or may be, a list or tuple."""
    origin = origin_of(plain(tp)) or plain(tp)
    return origin is Any or (
        isinstance(origin, type) and issubclass(origin, (list, tuple, Sequence)) and origin is not str
    )


def is_awaitable(tp: TypeForm) -> bool:
    """Whether values of the type are coroutines, or else to be awaited."""
    origin = origin_of(plain(tp)) or plain(tp)
    return isinstance(origin, type) and issubclass(origin, collections.abc.Awaitable)


def is_read_once(tp: TypeForm) -> bool:
    """Whether values of the type may be iterators: generators, and what promises no more than to be iterable."""
    origin = origin_of(plain(tp)) or plain(tp)
    lazy = (collections.abc.Iterator, collections.abc.AsyncIterable, collections.abc.AsyncIterator)
    return isinstance(origin, type) and (issubclass(origin, lazy) or origin is collections.abc.Iterable)


def element_type(tp: TypeForm) -> TypeForm | None:
    """What a list, tuple or set contains; None if ``tp`` is not such a container."""
    tp = plain(tp)
    if tp is Any:
        return Any
    origin = origin_of(tp) or tp
    if not isinstance(origin, type) or issubclass(origin, (str, bytes, collections.abc.Mapping)):
        return None
    if not issubclass(origin, collections.abc.Iterable):
        return None
    arguments = [argument for argument in get_args(tp) if argument is not Ellipsis]
    if not arguments:
        return None if hasattr(origin, "model_fields") or hasattr(origin, "_fields") else Any
    return union(*arguments)


def fields_of(tp: TypeForm) -> Mapping[str, TypeForm] | None:  # noqa: PLR0911 - a case each
    """Name and type of each attribute of a pydantic model, dataclass or named tuple; None for anything else.

    A union has the fields that all its members have.
    """
    tp = plain(tp)
    if origin_of(tp) in UNIONS:
        each = [fields_of(member) for member in get_args(tp)]
        known = [fields for fields in each if fields is not None]
        if len(known) < len(each):
            return None
        return {n: union(*(fields[n] for fields in known)) for n in known[0] if all(n in fields for fields in known)}
    if not isinstance(tp, type):
        return None
    if hasattr(tp, "model_fields"):
        return {name: field.annotation for name, field in tp.model_fields.items()}
    if is_dataclass(tp):
        hints = typing.get_type_hints(tp)
        return {field.name: hints[field.name] for field in dataclass_fields(tp)}
    if issubclass(tp, tuple) and hasattr(tp, "_fields"):
        hints = typing.get_type_hints(tp)
        return {name: hints.get(name, Any) for name in tp._fields}
    return None


def item_type(tp: TypeForm, key: int | str) -> TypeForm | None:  # noqa: PLR0911 - a case each
    """The type of ``value[key]`` for a constant key; None if there is no such item."""
    tp = plain(tp)
    if tp is Any:
        return Any
    origin, arguments = origin_of(tp) or tp, get_args(tp)
    if not isinstance(origin, type):
        return None
    if isinstance(key, str):
        if (typed := typed_items(tp)) is not None:
            return typed.get(key)
        if not issubclass(origin, collections.abc.Mapping):
            return None
        return arguments[1] if arguments and assignable(str, arguments[0]) else (None if arguments else Any)
    if issubclass(origin, str):
        return str
    if issubclass(origin, collections.abc.Mapping):
        return arguments[1] if arguments and assignable(int, arguments[0]) else None
    if origin is tuple and arguments and Ellipsis not in arguments:
        return arguments[key] if -len(arguments) <= key < len(arguments) else None
    return element_type(tp) if issubclass(origin, collections.abc.Sequence) else None


def solve(target: TypeForm, source: TypeForm, variables: dict[TypeVar, TypeForm]) -> None:
    """Bind the type variables of a generic parameter ``target`` to what the argument type ``source`` says."""
    target, source = plain(target), plain(source)
    if isinstance(target, TypeVar):
        known = variables.get(target)
        variables[target] = source if known is None else (join(known, source) or union(known, source))
        return
    wanted = get_args(target)
    if not wanted or not any(_has_variables(w) for w in wanted):
        return
    if len(wanted) == 1 and (item := element_type(source)) is not None:
        solve(wanted[0], item, variables)
    elif origin_of(target) in UNIONS:
        rest = [m for m in _members(source) if not any(m == w for w in wanted)]
        for variable in (w for w in wanted if _has_variables(w)):
            solve(variable, union(*rest) if rest else source, variables)
    else:
        for w, given in zip(wanted, get_args(source), strict=False):
            solve(w, given, variables)


def substitute(tp: TypeForm, variables: Mapping[TypeVar, TypeForm]) -> TypeForm:
    """``tp`` with its type variables replaced; unbound ones become ``Any``."""
    if isinstance(tp, TypeVar):
        return variables.get(tp, Any)
    if not _has_variables(tp):
        return tp
    arguments = tuple(substitute(argument, variables) for argument in get_args(tp))
    return union(*arguments) if origin_of(tp) in UNIONS else origin_of(tp)[arguments]


def decodable(tp: TypeForm) -> TypeForm:
    """``tp`` as a type that values can be decoded into.

    The items of an empty list, ``Never``, may be anything. Before Python 3.12 pydantic takes no ``typing.TypedDict``,
    which does not keep what is required apart, but its equal in ``typing_extensions``.
    """
    if tp is Never:
        return Any
    if typing.is_typeddict(tp) and sys.version_info < (3, 12):
        return _backported(tp)
    origin, arguments = origin_of(tp), get_args(tp)
    if origin not in UNIONS and origin not in (list, dict, tuple, set, frozenset):
        return tp
    inner = tuple(map(decodable, arguments))
    if inner == arguments:
        return tp
    return union(*inner) if origin in UNIONS else origin[inner]


@lru_cache(maxsize=4096)
def _backported(tp: TypeForm) -> TypeForm:
    import typing_extensions

    make: Any = typing_extensions.TypedDict
    required = required_keys(tp)
    fields = {}
    for name, hint in typing.get_type_hints(tp).items():
        marker: Any = typing.Required if name in required else typing.NotRequired
        fields[name] = marker[decodable(hint)]
    made = make(tp.__name__, fields)
    made.__module__, made.__qualname__, made.__doc__ = tp.__module__, tp.__qualname__, tp.__doc__
    return made


def typed_items(tp: TypeForm) -> Mapping[str, TypeForm] | None:
    """The type of each key of a ``TypedDict``; None for anything else."""
    tp = plain(tp)
    return typing.get_type_hints(tp) if is_typed_dict(tp) else None


def is_typed_dict(tp: TypeForm) -> bool:
    """Whether it is a ``TypedDict``, of ``typing`` or of ``typing_extensions``."""
    from typing_extensions import is_typeddict

    return is_typeddict(tp)


def required_keys(tp: TypeForm) -> set[str]:
    """The keys that a dict of this ``TypedDict`` must have, also where its annotations are strings."""
    marked = {name: origin_of(hint) for name, hint in typing.get_type_hints(tp, include_extras=True).items()}
    explicit = {typing.Required: True, typing.NotRequired: False}
    return {name for name, marker in marked.items() if explicit.get(marker, name in tp.__required_keys__)}


def may_be_scalar(tp: TypeForm) -> bool:
    """Whether a value of the type may be a string, a number, a boolean or an enumeration's member."""
    tp = plain(tp)
    if origin_of(tp) in UNIONS:
        return any(may_be_scalar(member) for member in get_args(tp))
    if tp in (Any, object) or isinstance(tp, TypeVar) or origin_of(tp) is Literal:
        return True
    return isinstance(tp, type) and issubclass(tp, (str, int, float, Enum))


def _has_variables(tp: TypeForm) -> bool:
    return isinstance(tp, TypeVar) or any(_has_variables(argument) for argument in get_args(tp))


def _members(tp: TypeForm) -> tuple[TypeForm, ...]:
    return get_args(tp) if origin_of(tp) in UNIONS else (tp,)


def type_string(tp: TypeForm) -> str:
    """The IR's name of a type: ``list[Query]``, ``str | None``, ``Literal['no', 'yes']``.

    Equal types have equal names, whatever the order in which their members were written.
    """
    try:
        return _type_string(tp)
    except TypeError:  # unhashable metadata in an Annotated
        return _type_string.__wrapped__(tp)


@lru_cache(maxsize=4096)
def _type_string(tp: TypeForm) -> str:  # noqa: PLR0911 - a case each
    if tp is None or tp is NoneType:
        return "None"
    if hasattr(tp, "__metadata__"):
        base, *metadata = get_args(tp)
        return f"Annotated[{', '.join([type_string(base), *map(repr, metadata)])}]"
    if isinstance(tp, list):  # the parameters of a callable
        return f"[{', '.join(map(type_string, tp))}]"
    origin, arguments = generic_of(tp)
    if origin in UNIONS:
        names = [type_string(member) for member in arguments]
        return " | ".join(sorted(names, key=lambda name: (name == "None", name)))
    if origin is Literal:
        return f"Literal[{', '.join(sorted(map(_literal, arguments)))}]"
    if arguments or tp == tuple[()]:
        inner = ", ".join("..." if argument is Ellipsis else type_string(argument) for argument in arguments)
        return f"{origin.__name__}[{inner}]"
    return str(getattr(origin, "__name__", origin))


def _literal(value: object) -> str:
    return f"{type(value).__name__}.{value.name}" if isinstance(value, Enum) else repr(value)


@lru_cache(maxsize=4096)
def json_schema(tp: TypeForm) -> str | None:
    """The JSON schema that constrains a reply of type ``tp``; None for ``str``, which needs none.

    The fields keep the order in which they are declared, because engines write a reply in the order of its schema: a
    ``reasoning`` in front of an ``answer`` is to be there first.

    Raises whatever pydantic raises for a type that has no schema.
    """
    if tp is str:
        return None
    from pydantic import TypeAdapter

    return json.dumps(TypeAdapter(tp).json_schema())
