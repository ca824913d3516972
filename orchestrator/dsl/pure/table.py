"""Every pure function of the IR by its name: ``builtin.add``, ``builtin.len``, ``builtin.str.upper``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestrator.dsl.pure import containers, numbers, objects, operators, texts

FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: operators.by_name(function) for name, function in operators.BINARY.items()},
    "neg": operators.negative,
    "pos": operators.positive,
    "invert": operators.inverted,
    "not": operators.negation,
    "truth": operators.truth,
    "list": operators.list_of,
    "tuple": operators.tuple_of,
    "dict": operators.dict_of,
    "narrow": operators.narrowed,
    "contains": operators.contains,
    "isinstance": operators.is_instance,
    "getitem": operators.getitem,
    "slice": operators.sliced,
    "str": numbers.text,
    "repr": numbers.representation,
    "format": numbers.formatted,
    "int": numbers.integer,
    "int_of": numbers.integer_of,
    "float": numbers.real,
    "abs": numbers.magnitude,
    "round": numbers.rounded,
    "round_to": numbers.rounded_to,
    "divmod": numbers.quotient,
    "pow_mod": numbers.power,
    "min": numbers.least,
    "min_or": numbers.least_or,
    "max": numbers.greatest,
    "max_or": numbers.greatest_or,
    "sum": numbers.total,
    "ord": numbers.code_point,
    "chr": numbers.character,
    **numbers.IN_BASES,
    **{f"math.{name}": function for name, function in numbers.MATH.items()},
    "attribute": objects.attribute,
    "class_name": objects.class_name,
    "float.is_integer": objects.is_integer,
    "int.bit_length": objects.bit_length,
    "bytes.decode": objects.decode,
    "bytes.hex": objects.hex_of,
    "date.isoformat": objects.isoformat,
    "date.strftime": objects.strftime,
    "date.weekday": objects.weekday,
    "date.isoweekday": objects.isoweekday,
    "date.toordinal": objects.toordinal,
    "date.date": objects.date_of,
    "date.time": objects.time_of,
    "date.timestamp": objects.timestamp,
    "date.total_seconds": objects.total_seconds,
    "model.dump": objects.dumped,
    "model.dump_json": objects.dumped_json,
    "json.loads": objects.loads,
    "json.dumps": objects.dumps,
    "min_by": containers.least_by,
    "max_by": containers.greatest_by,
    "sorted_by": containers.ordered_by,
    "len": containers.length,
    "any": containers.any_of,
    "all": containers.all_of,
    "list_of": containers.listed,
    "tuple_of": containers.frozen,
    "set_of": containers.distinct,
    "frozenset_of": containers.frozen_distinct,
    "dict_of": containers.paired,
    "copy": containers.copied,
    "sorted": containers.ordered,
    "reversed": containers.backwards,
    "enumerate": containers.numbered,
    "zip": containers.zipped,
    "range": containers.counted,
    "concat": containers.concatenated,
    "bounded": containers.bounded,
    "unpacked": containers.unpacked,
    "with_item": containers.with_item,
    "without_item": containers.without_item,
    "list.count": containers.count,
    "list.index": containers.index,
    "dict.get": containers.get,
    "dict.keys": containers.keys,
    "dict.values": containers.values,
    "dict.items": containers.pairs,
    **{f"set.{name}": function for name, function in containers.SET_METHODS.items()},
    "str.cut": texts.cut,
    **{f"str.{name}": function for name, function in texts.METHODS.items()},
}
"""It has the functions by their name without ``builtin.``."""

NEVER_FAIL: Final = frozenset(
    {
        "attribute",
        "class_name",
        "eq",
        "ne",
        "and",
        "or",
        "is",
        "not",
        "truth",
        "list",
        "tuple",
        "dict",
        "narrow",
        "isinstance",
    }
    | {"str", "repr", "any", "all", "list_of", "tuple_of", "enumerate", "copy"}
    | {"dict.keys", "dict.values", "dict.items"}
    | {f"str.{name}" for name in texts.METHODS if name.startswith("is")}
    | {"str.upper", "str.lower", "str.strip", "str.lstrip", "str.rstrip", "str.title", "str.capitalize"}
    | {"str.casefold", "str.swapcase", "str.splitlines", "str.startswith", "str.endswith", "str.find", "str.rfind"}
    | {"str.count", "str.removeprefix", "str.removesuffix", "str.replace"}
)
"""Those that give a result for every operand of their types."""

FAIL_BY_TYPE: Final = frozenset({"len", "lt", "le", "gt", "ge", "contains", "add", "sub", "mul", "neg", "concat"})
"""Those that give a result for every operand of types that are known to fit."""

MAY_FAIL: Final = frozenset(f"builtin.{name}" for name in FUNCTIONS.keys() - NEVER_FAIL)
"""The callees that may raise, as ``builtin.truediv`` and ``builtin.getitem``: a use of one is a check."""
