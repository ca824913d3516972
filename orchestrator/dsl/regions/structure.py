"""Structures of values: what a region takes and yields may be one value, or a (named) tuple or dict of structures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Shape:
    """How leaves are nested. ``container`` is None for a leaf, else the tuple class or ``dict``."""

    container: type | None = None
    keys: tuple[object, ...] = ()
    children: tuple[Shape, ...] = ()

    def __str__(self) -> str:
        if self.container is None:
            return "one value"
        if self.container is dict:
            return f"a dict with {', '.join(map(repr, self.keys))}"
        return f"a tuple of {len(self.children)}"


LEAF = Shape()


def flatten(structure: object) -> tuple[list[object], Shape]:
    """The leaves from left to right, and the shape that :func:`unflatten` takes."""
    if type(structure) is dict:
        return _flatten(dict, tuple(structure), tuple(structure.values()))
    if isinstance(structure, tuple):
        return _flatten(type(structure), (), structure)
    return [structure], LEAF


def _flatten(container: type, keys: tuple[object, ...], members: Sequence[object]) -> tuple[list[object], Shape]:
    leaves: list[object] = []
    children: list[Shape] = []
    for member in members:
        inner, shape = flatten(member)
        leaves += inner
        children.append(shape)
    return leaves, Shape(container, keys, tuple(children))


def unflatten(shape: Shape, leaves: Sequence[object]) -> Any:
    """The structure with these leaves."""
    return _unflatten(shape, iter(leaves))


def _unflatten(shape: Shape, leaves: Iterator[object]) -> object:
    if shape.container is None:
        return next(leaves)
    members = [_unflatten(child, leaves) for child in shape.children]
    if shape.container is dict:
        return dict(zip(shape.keys, members, strict=True))
    if hasattr(shape.container, "_fields"):
        return shape.container(*members)
    return shape.container(members)
