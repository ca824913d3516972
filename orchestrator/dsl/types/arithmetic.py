"""The types that operators take and give.

For scalars Python itself is asked: ``date - date`` is whatever subtracting one sample from another gives. Containers
follow the types of their items.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache, reduce
from itertools import product
from typing import Any, Final, get_args

from orchestrator.dsl.pure.operators import BINARY
from orchestrator.dsl.types.kinds import class_of, is_set, is_text, items_of, key_and_value
from orchestrator.dsl.types.typing import (
    UNIONS,
    NoneType,
    TypeForm,
    assignable,
    element_type,
    join,
    list_of,
    origin_of,
    plain,
    tuple_of,
    union,
)

SYMBOLS: Final = {
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**",
    "and": "&", "or": "|", "xor": "^", "lshift": "<<", "rshift": ">>",
}  # fmt: skip
_ORDER: Final = frozenset({"lt", "le", "gt", "ge"})
_OF_SETS: Final = frozenset({"and", "or", "xor", "sub"})
_SAMPLES: Final[Mapping[type, Any]] = {
    bool: True, int: 2, float: 2.0, Decimal: Decimal(2), Fraction: Fraction(2), timedelta: timedelta(2),
    datetime: datetime(2000, 1, 2), date: date(2000, 1, 2), time: time(2), str: "a", bytes: b"a",
}  # fmt: skip
_UNARY: Final[Mapping[str, Callable[[Any], Any]]] = {
    "neg": operator.neg, "pos": operator.pos, "invert": operator.invert, "abs": abs,
}  # fmt: skip


def comparable(left: TypeForm, right: TypeForm) -> bool:
    """Whether values of the two types may be equal."""
    left, right = plain(left), plain(right)
    if join(left, right) is not None:
        return True
    if origin_of(left) in UNIONS or origin_of(right) in UNIONS:
        pairs = product(_members(left), _members(right))
        return any((a is NoneType) is (b is NoneType) and comparable(a, b) for a, b in pairs)
    classes = class_of(left), class_of(right)
    if classes[0] is classes[1] and classes[0] in (list, tuple, dict, set, frozenset):
        return True
    numbers = (int, float, Decimal, Fraction)
    return all(cls is not None and issubclass(cls, numbers) for cls in classes) or (is_set(left) and is_set(right))


def result_type(op: str, left: TypeForm, right: TypeForm) -> TypeForm | None:
    """The type of ``left op right``, or None if that is a type error."""
    left, right = plain(left), plain(right)
    if op in ("eq", "ne"):
        return bool if comparable(left, right) else None
    if origin_of(left) in UNIONS:
        return _of_each([result_type(op, member, right) for member in get_args(left)])
    if origin_of(right) in UNIONS:
        return _of_each([result_type(op, left, member) for member in get_args(right)])
    if Any in (left, right):
        return bool if op in _ORDER else Any
    return _of_scalars(op, left, right) or _of_containers(op, left, right)


def _members(tp: TypeForm) -> tuple[TypeForm, ...]:
    return get_args(tp) if origin_of(tp) in UNIONS else (tp,)


def unary_type(op: str, tp: TypeForm) -> TypeForm | None:
    """The type of ``-value``, ``+value``, ``~value`` or ``abs(value)``, or None if that is a type error."""
    tp = plain(tp)
    if origin_of(tp) in UNIONS:
        return _of_each([unary_type(op, member) for member in get_args(tp)])
    sample = _sample(tp)
    try:
        return Any if tp is Any else None if sample is None else type(_UNARY[op](sample))
    except TypeError:
        return None


def _of_each(types: list[TypeForm | None]) -> TypeForm | None:
    if any(tp is None for tp in types):
        return None
    return reduce(lambda first, second: join(first, second) or union(first, second), types)


def _sample(tp: TypeForm) -> Any:
    cls = class_of(tp)
    return next((_SAMPLES[base] for base in cls.__mro__ if base in _SAMPLES), None) if cls is not None else None


def _of_scalars(op: str, left: TypeForm, right: TypeForm) -> TypeForm | None:
    """What Python gives for one value of each type; ``int ** int`` may be a float."""
    if op == "mod" and (is_text(left) or class_of(left) is bytes):
        return str if is_text(left) else bytes
    a, b = _sample(left), _sample(right)
    if a is None or b is None:
        return None
    classes: list[Any] = [type(a), type(b)]
    found = _of_samples(op, *classes)
    return float if op == "pow" and found is int else found


@cache
def _of_samples(op: str, left: type, right: type) -> TypeForm | None:
    try:
        return type(BINARY[op](_SAMPLES[left], _SAMPLES[right]))
    except TypeError:
        return None


def _of_containers(op: str, left: TypeForm, right: TypeForm) -> TypeForm | None:  # noqa: PLR0911 - a case each
    classes = class_of(left), class_of(right)
    if op == "mul" and int in (plain(left), plain(right)):
        return _repeated(right if plain(left) is int else left)
    if is_set(left) and is_set(right):
        return bool if op in _ORDER else _of_sets(op, left, right)
    if classes == (dict, dict) and op == "or":
        return _of_dicts(left, right)
    if classes not in ((list, list), (tuple, tuple)):
        return None
    if op in _ORDER:
        return bool if _ordered(left, right) else None
    if op != "add":
        return None
    if classes[0] is tuple and Ellipsis not in (*get_args(left), *get_args(right)):
        return tuple_of([*get_args(left), *get_args(right)])
    item: Any = join(items_of(left), items_of(right))
    if item is None:
        return None
    return list_of(item) if classes[0] is list else tuple[item, ...]


def _repeated(tp: TypeForm) -> TypeForm | None:
    cls = class_of(tp)
    if cls is tuple:
        item: Any = element_type(tp)
        return tuple[item, ...]
    return plain(tp) if cls is list else None


def _ordered(left: TypeForm, right: TypeForm) -> bool:
    """Whether lists or tuples can be ordered: by the first of their items that differ."""
    first, second = get_args(left), get_args(right)
    if origin_of(left) is tuple and Ellipsis not in (*first, *second):
        return all(result_type("lt", a, b) is not None for a, b in zip(first, second, strict=False))
    return result_type("lt", items_of(left), items_of(right)) is not None


def _of_sets(op: str, left: TypeForm, right: TypeForm) -> TypeForm | None:
    if op not in _OF_SETS:
        return None
    item = items_of(left)
    if op in ("or", "xor"):
        item = join(item, items_of(right)) or union(item, items_of(right))
    return (class_of(left) or set)[item]  # type: ignore[index]


def _of_dicts(left: TypeForm, right: TypeForm) -> TypeForm | None:
    if assignable(right, left):
        return left
    first, second = key_and_value(left), key_and_value(right)
    assert first is not None and second is not None
    key, value = (join(*each) or union(*each) for each in zip(first, second, strict=True))
    return dict[key, value]  # type: ignore[valid-type]
