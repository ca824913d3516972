"""Functions of numbers, and what turns values into numbers and texts."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

T = TypeVar("T")
D = TypeVar("D")
Number = TypeVar("Number")


def text(value: Any) -> str:
    """``str(value)``."""
    return str(value)


def representation(value: Any) -> str:
    """``repr(value)``."""
    return repr(value)


def formatted(value: Any, spec: str = "") -> str:
    """``format(value, spec)``."""
    return format(value, spec)


def integer(value: str | float | Decimal) -> int:
    """``int(value)``."""
    return int(value)


def integer_of(value: str, base: int = 10) -> int:
    """``int(text, base)``."""
    return int(value, base)


def real(value: str | float | Decimal = 0.0) -> float:
    """``float(value)``."""
    return float(value)


def magnitude(value: Number) -> Number:
    """``abs(value)``."""
    return abs(value)  # type: ignore[arg-type]


def rounded(value: float | Decimal) -> int:
    """``round(value)``."""
    return round(value)


def rounded_to(value: Number, ndigits: int | None) -> Number:
    """``round(value, ndigits)``."""
    return round(value, ndigits)  # type: ignore[call-overload, no-any-return]


def quotient(left: float, right: float) -> tuple[Any, Any]:
    """``divmod(left, right)``."""
    return divmod(left, right)


def power(base: int, exp: int, mod: int) -> int:
    """``pow(base, exp, mod)``."""
    return pow(base, exp, mod)


def least(items: Iterable[T]) -> T:
    """``min(items)``."""
    return min(items)  # type: ignore[type-var]


def least_or(items: Iterable[T], default: D) -> T | D:
    """``min(items, default=default)``."""
    return min(items, default=default)  # type: ignore[type-var]


def greatest(items: Iterable[T]) -> T:
    """``max(items)``."""
    return max(items)  # type: ignore[type-var]


def greatest_or(items: Iterable[T], default: D) -> T | D:
    """``max(items, default=default)``."""
    return max(items, default=default)  # type: ignore[type-var]


def total(items: Iterable[T], start: Any = 0) -> Any:
    """``sum(items, start)``."""
    return sum(items, start)  # type: ignore[arg-type]


def code_point(character: str) -> int:
    """``ord(character)``."""
    return ord(character)


def character(code: int) -> str:
    """``chr(code)``."""
    return chr(code)


def _of_int(name: str) -> Callable[..., str]:
    native = getattr(builtins, name)

    def of_int(value: int) -> str:
        return native(value)  # type: ignore[no-any-return]

    return of_int


def _real(native: Callable[[Any], float]) -> Callable[..., float]:
    def of_number(value: float) -> float:
        return native(value)

    return of_number


def _whole(native: Callable[[Any], int]) -> Callable[..., int]:
    def of_number(value: float) -> int:
        return native(value)

    return of_number


def _tested(native: Callable[[Any], bool]) -> Callable[..., bool]:
    def of_number(value: float) -> bool:
        return native(value)

    return of_number


IN_BASES: Final[Mapping[str, Callable[..., str]]] = {name: _of_int(name) for name in ("bin", "oct", "hex")}
MATH: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: _whole(getattr(math, name)) for name in ("floor", "ceil", "trunc")},
    **{name: _real(getattr(math, name)) for name in ("sqrt", "exp", "log", "log2", "log10", "fabs", "sin", "cos")},
    **{name: _tested(getattr(math, name)) for name in ("isnan", "isinf", "isfinite")},
}
