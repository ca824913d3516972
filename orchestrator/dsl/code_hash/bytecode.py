"""What stands for a function without a source: its bytecode, which each version of Python writes in its own way."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType


def bytecode(code: CodeType, docstring: str | None) -> Iterator[str]:
    """The instructions, names and constants of a function and of those in it, without the docstring."""
    has_docstring = docstring is not None and code.co_consts[:1] == (docstring,)
    yield f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_freevars}"
    for constant in (None, *code.co_consts[1:]) if has_docstring else code.co_consts:
        yield from _constant(constant)


def names(code: CodeType) -> Iterator[str]:
    """The names in a function and in those in it, attributes included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names(constant)


def _constant(constant: object) -> Iterator[str]:
    if isinstance(constant, CodeType):
        yield constant.co_name
        yield from bytecode(constant, None)
    elif isinstance(constant, tuple):
        yield f"tuple {len(constant)}"
        for item in constant:
            yield from _constant(item)
    elif isinstance(constant, frozenset):
        yield from sorted(map(repr, constant))  # its iteration order differs between processes
    else:
        yield f"{type(constant).__name__} {hex(constant) if isinstance(constant, int) else repr(constant)}"
