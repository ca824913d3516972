"""The JSON form of values by their types, and back, where JSON alone does not tell which member of a union one is.

What may be one of two models, or a dict or an ``Error``, is written with the name of what it is: ``["Row", {...}]``. A
union of plain things, or of one other thing and None, is written as it is.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from orchestrator.dsl.types.typing import UNIONS, NoneType, type_string, union
from orchestrator.runtime.values import adapter

_CONTAINERS: Final = (list, dict, tuple, set, frozenset)
_PLAIN: Final = (NoneType, bool, int, float, str)


def dump(tp: Any, value: object) -> object:
    """The JSON form of a value of the type."""
    return _adapter(tp).dump_python(value, mode="json", round_trip=True)


def load(tp: Any, data: object) -> Any:
    """The value again. Raises ``ValidationError``."""
    return _adapter(tp).validate_python(data)


def _adapter(tp: Any) -> TypeAdapter[Any]:
    try:
        return _known(tp)
    except TypeError:  # unhashable metadata in an Annotated
        return _known.__wrapped__(tp)


@lru_cache(maxsize=4096)
def _known(tp: Any) -> TypeAdapter[Any]:
    return adapter(_told(tp))


def _told(tp: Any) -> Any:
    """The type, in which unions say which member a value is."""
    origin, arguments = get_origin(tp) or tp, get_args(tp)
    if origin in UNIONS and not _is_told_by_json(arguments):
        members = {type_string(member): member for member in arguments}
        return Annotated[Any, PlainSerializer(partial(_dumped, members)), PlainValidator(partial(_loaded, members))]
    if origin not in _CONTAINERS and origin not in UNIONS:
        return tp
    inner = tuple(map(_told, arguments))
    if inner == arguments:
        return tp
    return origin[inner] if origin in _CONTAINERS else union(*inner)


def _is_told_by_json(members: tuple[Any, ...]) -> bool:
    others = [member for member in members if member not in _PLAIN and get_origin(member) is not Literal]
    return not others or (len(others) == 1 and all(member in (NoneType, others[0]) for member in members))


def _dumped(members: dict[str, Any], value: object) -> object:
    fitting = [name for name, member in members.items() if _is_one(member, value)]
    exact = [name for name in fitting if (get_origin(members[name]) or members[name]) is type(value)]
    if not fitting:
        raise ValueError(f"{value!r:.200} is none of {', '.join(members)}")
    name = (exact or fitting)[0]
    return [name, dump(members[name], value)]


def _is_one(member: Any, value: object) -> bool:
    try:
        adapter(member).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _loaded(members: dict[str, Any], data: Any) -> object:
    if not (isinstance(data, list) and len(data) == 2 and data[0] in members):
        raise ValueError(f"none of {', '.join(members)}")
    return load(members[data[0]], data[1])
