"""Types whose values are secrets: pydantic's ``SecretStr``, ``SecretBytes`` and ``Secret[T]``, and what has them in it.

A secret is used inside a tool, by ``get_secret_value()``, and nowhere else: no model reads it, no person is asked for
it, and no journal has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from orchestrator.dsl.types.typing import TypeForm, fields_of, generic_of, is_typed_dict, plain, typed_items

_NAMES: Final = frozenset({"Secret", "SecretStr", "SecretBytes"})


def is_secret(tp: TypeForm) -> bool:
    """Whether values of the type are secrets. Pydantic is not imported for it: who has such a type has imported it."""
    cls: Any = generic_of(plain(tp))[0]
    return isinstance(cls, type) and any(
        each.__module__ == "pydantic.types" and each.__name__ in _NAMES for each in cls.__mro__
    )


def holds_secret(tp: TypeForm) -> bool:
    """Whether values of the type are secrets, or may hold some: a model with one in a field, a list of them."""
    todo, seen = [tp], list[Any]()
    while todo:
        each = plain(todo.pop())
        if is_secret(each):
            return True
        if not any(each is known for known in seen):
            seen.append(each)
            todo += [part for part in _parts(each) if part is not Ellipsis]
    return False


def _parts(tp: TypeForm) -> Iterable[TypeForm]:
    yield from generic_of(tp)[1]
    if isinstance(tp, type) or is_typed_dict(tp):
        with suppress(NameError, TypeError):  # an annotation that cannot be read
            yield from ((typed_items(tp) if is_typed_dict(tp) else fields_of(tp)) or {}).values()
