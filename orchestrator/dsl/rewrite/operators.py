"""What rewritten code calls: the operators of :mod:`orchestrator.dsl.rewrite`, under one name."""

from __future__ import annotations

from builtins import slice as slice  # noqa: A004, PLC0414 - `a[b:c]` makes one
from typing import Any

from orchestrator.dsl.rewrite.calling import class_name, formatted, function, method, own_attribute
from orchestrator.dsl.rewrite.changing import (
    augment_attribute,
    augment_item,
    augmented,
    augmented_item,
    changed,
    changed_item,
    delete_attribute,
    delete_item,
    popped,
    set_attribute,
    set_item,
    with_default,
    with_item,
    without_item,
)
from orchestrator.dsl.rewrite.comprehending import dict_of, list_of, set_of
from orchestrator.dsl.rewrite.deciding import and_, chain, choose, if_, not_, or_
from orchestrator.dsl.rewrite.gone_through import unchanged
from orchestrator.dsl.rewrite.handling import raise_, try_
from orchestrator.dsl.rewrite.lazy import drawn, drawn_by, kept
from orchestrator.dsl.rewrite.looping import for_, while_
from orchestrator.dsl.rewrite.matching import (
    any_pattern,
    as_pattern,
    class_pattern,
    match_,
    no_pattern,
    or_pattern,
    sequence_pattern,
    singleton_pattern,
    value_pattern,
)
from orchestrator.dsl.rewrite.owning import fresh
from orchestrator.dsl.rewrite.plain import awaited, binary, compare, displayed, item, mapping, part, spread, unpacked
from orchestrator.dsl.rewrite.searching import searched
from orchestrator.dsl.rewrite.within import with_
from orchestrator.dsl.source.location import user_location
from orchestrator.errors import TraceError

__all__ = [
    "and_", "any_pattern", "as_pattern", "augment_attribute", "augment_item", "augmented", "augmented_item",
    "awaited", "binary", "chain", "changed", "changed_item", "choose", "class_name", "class_pattern", "compare",
    "delete_attribute", "delete_item", "dict_of", "displayed", "drawn", "drawn_by", "for_", "formatted", "fresh",
    "function", "if_", "item", "kept", "list_of", "mapping", "match_", "method", "no_pattern", "not_", "or_",
    "or_pattern", "own_attribute", "part", "popped", "raise_", "refused", "searched", "sequence_pattern",
    "set_attribute", "set_item", "set_of", "singleton_pattern", "slice", "spread", "try_", "unchanged", "unpacked",
    "value_pattern", "while_", "with_", "with_default", "with_item", "without_item",
]  # fmt: skip


def refused(what: str) -> Any:
    """A construct that cannot be rewritten."""
    raise TraceError(
        "ORCH-D050",
        f"{what} cannot be compiled",
        where=user_location(),
        fix="write it with `if`, `for`, `while` and assignments of their own, or in a tool; "
        "@workflow(rewrite=False) traces the function as it is",
    )
