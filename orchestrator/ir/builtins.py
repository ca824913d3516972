"""The pure functions that every module knows: ``builtin.add``, ``builtin.len``, ``builtin.str.upper``.

Here are their parameters. What they compute is not the IR's: :mod:`orchestrator.dsl.builtins` binds each name to a
function, and a test holds the two against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_OF_PARAMETERS: Final = {
    "left right": "eq ne lt le gt ge add sub mul truediv floordiv mod pow lshift rshift and or xor is divmod",
    "value": "neg pos invert not truth narrow str repr int abs round bin oct hex math.floor math.ceil math.trunc "
    "math.sqrt math.exp math.log math.log2 math.log10 math.fabs math.sin math.cos math.isnan math.isinf math.isfinite "
    "float.is_integer int.bit_length",
    "...": "list tuple dict",
    "container item": "contains",
    "value classes": "isinstance",
    "items key": "getitem without_item",
    "items start stop step": "slice",
    "value spec?": "format",
    "value base?": "int_of",
    "value?": "float",
    "value ndigits": "round_to",
    "base exp mod": "pow_mod",
    "items": "min max len any all list_of tuple_of set_of frozenset_of dict_of copy reversed dict.keys dict.values "
    "dict.items",
    "items default": "min_or max_or",
    "items start?": "sum enumerate",
    "character": "ord",
    "code": "chr",
    "value name": "attribute",
    "error": "class_name",
    "data encoding? errors?": "bytes.decode",
    "data": "bytes.hex",
    "moment": "date.isoformat date.date date.time date.timestamp",
    "moment format": "date.strftime",
    "day": "date.weekday date.isoweekday date.toordinal",
    "span": "date.total_seconds",
    "model mode? exclude_none?": "model.dump",
    "model indent? exclude_none?": "model.dump_json",
    "s": "json.loads",
    "obj indent? sort_keys? ensure_ascii?": "json.dumps",
    "items keys": "min_by max_by",
    "items keys reverse?": "sorted_by",
    "items reverse?": "sorted",
    "strict? ...": "zip",
    "start stop step": "range",
    "lists": "concat",
    "items most": "bounded",
    "items count exactly": "unpacked",
    "items key value": "with_item",
    "items value": "list.count",
    "items value start? stop?": "list.index",
    "items key default?": "dict.get",
    "items ...": "set.union set.intersection set.difference",
    "items other": "set.symmetric_difference set.issubset set.issuperset set.isdisjoint",
    "text length end?": "str.cut",
    "text": "str.capitalize str.casefold str.lower str.swapcase str.title str.upper str.isalnum str.isalpha "
    "str.isascii str.isdecimal str.isdigit str.isidentifier str.islower str.isnumeric str.isprintable str.isspace "
    "str.istitle str.isupper",
    "text width fillchar?": "str.center str.ljust str.rjust",
    "text sub start? end?": "str.count str.find str.index str.rfind str.rindex",
    "text encoding? errors?": "str.encode",
    "text suffix start? end?": "str.endswith",
    "text tabsize?": "str.expandtabs",
    "text items": "str.join",
    "text chars?": "str.lstrip str.rstrip str.strip",
    "text sep": "str.partition str.rpartition",
    "text prefix": "str.removeprefix",
    "text suffix": "str.removesuffix",
    "text old new count?": "str.replace",
    "text sep? maxsplit?": "str.rsplit str.split",
    "text keepends?": "str.splitlines",
    "text prefix start? end?": "str.startswith",
    "text width": "str.zfill",
    "text args? kwargs?": "str.format",
    "role call_id? ...": "message",
    "kind source? path? is_trusted? ...": "part",
    "chat": "messages",
}
"""Names by their parameters: ``?`` may be left out, ``...`` are any others."""


@dataclass(frozen=True, slots=True)
class Builtin:
    """The parameters of one."""

    required: tuple[str, ...]
    optional: frozenset[str]
    takes_others: bool

    def problem(self, given: list[str]) -> str | None:
        """What is wrong with the names of the arguments of a call."""
        missing = [name for name in self.required if name not in given]
        if missing:
            return f"lacks `{missing[0]}`"
        if self.takes_others:
            return None
        unknown = [name for name in given if name not in self.required and name not in self.optional]
        return f"has no parameter `{unknown[0]}`" if unknown else None


def _builtin(parameters: str) -> Builtin:
    names = parameters.split()
    required = tuple(name for name in names if name != "..." and not name.endswith("?"))
    return Builtin(required, frozenset(name[:-1] for name in names if name.endswith("?")), "..." in names)


BUILTINS: Final[dict[str, Builtin]] = {
    f"builtin.{name}": _builtin(parameters) for parameters, names in _OF_PARAMETERS.items() for name in names.split()
}
