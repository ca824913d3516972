"""Functions that read lists, tuples, sets and dicts, or make new ones of them. None changes what it is given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from orchestrator.errors import RunError

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


def length(items: Collection[Any]) -> int:
    """``len(items)``."""
    return len(items)


def any_of(items: Iterable[Any]) -> bool:
    """``any(items)``."""
    return any(items)


def all_of(items: Iterable[Any]) -> bool:
    """``all(items)``."""
    return all(items)


def listed(items: Iterable[T]) -> list[T]:
    """``list(items)``."""
    return list(items)


def frozen(items: Iterable[T]) -> tuple[T, ...]:
    """``tuple(items)``."""
    return tuple(items)


def distinct(items: Iterable[T]) -> set[T]:
    """``set(items)``."""
    return set(items)


def frozen_distinct(items: Iterable[T]) -> frozenset[T]:
    """``frozenset(items)``."""
    return frozenset(items)


def paired(items: Iterable[tuple[K, V]]) -> dict[K, V]:
    """``dict(items)`` of pairs."""
    return dict(items)


def copied(items: dict[K, V]) -> dict[K, V]:
    """``dict(items)`` of a dict."""
    return dict(items)


def ordered(items: Iterable[T], reverse: bool = False) -> list[T]:
    """``sorted(items)``."""
    return sorted(items, reverse=reverse)  # type: ignore[type-var]


def ordered_by(items: Iterable[T], keys: Iterable[Any], reverse: bool = False) -> list[T]:
    """``sorted(items, key=...)``, where ``keys`` are those of the items."""
    pairs = sorted(zip(items, keys, strict=True), key=_key, reverse=reverse)
    return [item for item, _ in pairs]


def least_by(items: Iterable[T], keys: Iterable[Any]) -> T:
    """``min(items, key=...)``."""
    return min(zip(items, keys, strict=True), key=_key)[0]


def greatest_by(items: Iterable[T], keys: Iterable[Any]) -> T:
    """``max(items, key=...)``."""
    return max(zip(items, keys, strict=True), key=_key)[0]


def _key(pair: tuple[Any, Any]) -> Any:
    return pair[1]


def backwards(items: Sequence[T]) -> list[T]:
    """``reversed(items)``, as a list."""
    return list(reversed(items))


def numbered(items: Iterable[T], start: int = 0) -> list[tuple[int, T]]:
    """``enumerate(items, start)``, as a list."""
    return list(enumerate(items, start))


def zipped(strict: bool = False, **lists: Iterable[Any]) -> list[tuple[Any, ...]]:
    """``zip(*lists)``, as a list."""
    return list(zip(*lists.values(), strict=strict))


def counted(start: int, stop: int, step: int) -> list[int]:
    """``range(start, stop, step)``, as a list."""
    return list(range(start, stop, step))


def count(items: Sequence[Any], value: Any) -> int:
    """``items.count(value)``."""
    return items.count(value)


def index(items: Sequence[Any], value: Any, start: int = 0, stop: int | None = None) -> int:
    """``items.index(value, start, stop)``."""
    return items.index(value, start) if stop is None else items.index(value, start, stop)


def get(items: dict[K, V], key: Any, default: D = None) -> V | D:  # type: ignore[assignment]
    """``items.get(key, default)``."""
    return items.get(key, default)


def keys(items: dict[K, V]) -> list[K]:
    """``list(items.keys())``."""
    return list(items.keys())  # and not of what is no dict, where nobody knows the type


def values(items: dict[K, V]) -> list[V]:
    """``list(items.values())``."""
    return list(items.values())


def pairs(items: dict[K, V]) -> list[tuple[K, V]]:
    """``list(items.items())``."""
    return list(items.items())


def union(items: set[Any], **others: Iterable[Any]) -> set[Any]:
    """``items.union(*others)``."""
    return items.union(*others.values())


def intersection(items: set[Any], **others: Iterable[Any]) -> set[Any]:
    """``items.intersection(*others)``."""
    return items.intersection(*others.values())


def difference(items: set[Any], **others: Iterable[Any]) -> set[Any]:
    """``items.difference(*others)``."""
    return items.difference(*others.values())


def symmetric_difference(items: set[Any], other: Iterable[Any]) -> set[Any]:
    """``items.symmetric_difference(other)``."""
    return items.symmetric_difference(other)


def issubset(items: set[Any], other: Iterable[Any]) -> bool:
    """``items.issubset(other)``."""
    return items.issubset(other)


def issuperset(items: set[Any], other: Iterable[Any]) -> bool:
    """``items.issuperset(other)``."""
    return items.issuperset(other)


def isdisjoint(items: set[Any], other: Iterable[Any]) -> bool:
    """``items.isdisjoint(other)``."""
    return items.isdisjoint(other)


def concatenated(lists: Iterable[Iterable[T]]) -> list[T]:
    """The items of all the lists, as one list."""
    return [item for items in lists for item in items]


def with_item(items: Any, key: Any, value: Any) -> Any:
    """A copy of a list or dict after ``items[key] = value``."""
    made = items.copy()
    made[key] = value
    return made


def without_item(items: Any, key: Any) -> Any:
    """A copy of a list or dict after ``del items[key]``, or of a set after ``items.remove(key)``."""
    made = items.copy()
    if isinstance(made, set):
        made.remove(key)
    else:
        del made[key]
    return made


SET_METHODS: Final[Mapping[str, Callable[..., Any]]] = {
    "union": union, "intersection": intersection, "difference": difference,
    "symmetric_difference": symmetric_difference, "issubset": issubset, "issuperset": issuperset,
    "isdisjoint": isdisjoint,
}  # fmt: skip


def bounded(items: Sequence[T], most: int) -> Sequence[T]:
    """``items``, of which there must be at most so many."""
    if len(items) <= most:
        return items
    raise RunError(
        "ORCH-R005",
        f"a list of {len(items)} items is gone through, with a limit of {most}",
        why="the plan and its cost were made for at most that many",
        fix="raise @workflow(max_items=...), of a range max_iterations=..., or cut the list first: items[:n]",
    )


def unpacked(items: Iterable[T], count: int, exactly: bool) -> list[T]:
    """The items, of which there must be ``count``, or else at least so many."""
    found = list(items)
    if len(found) < count:
        least = "" if exactly else "at least "
        raise ValueError(f"not enough values to unpack (expected {least}{count}, got {len(found)})")
    if exactly and len(found) > count:
        raise ValueError(f"too many values to unpack (expected {count})")
    return found
