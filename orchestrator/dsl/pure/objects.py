"""Methods of numbers, dates, bytes and models, and JSON."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from typing import Any

from orchestrator.errors import Error


def attribute(value: Any, name: str) -> Any:
    """``value.name`` of a date, a time or a member of an enumeration."""
    return getattr(value, name)


def class_name(error: Error) -> str:
    """``type(error).__name__`` of a caught exception."""
    return error.class_name


def is_integer(value: float) -> bool:
    """``value.is_integer()``."""
    return value.is_integer() if isinstance(value, float) else True


def bit_length(value: int) -> int:
    """``value.bit_length()``."""
    return value.bit_length()


def decode(data: bytes, encoding: str = "utf-8", errors: str = "strict") -> str:
    """``data.decode(encoding, errors)``."""
    return data.decode(encoding, errors)


def hex_of(data: bytes) -> str:
    """``data.hex()``."""
    return data.hex()


def isoformat(moment: date | time) -> str:
    """``moment.isoformat()``."""
    return moment.isoformat()


def strftime(moment: date | time, format: str) -> str:  # noqa: A002 - the parameter's name
    """``moment.strftime(format)``."""
    return moment.strftime(format)


def weekday(day: date) -> int:
    """``day.weekday()``."""
    return day.weekday()


def isoweekday(day: date) -> int:
    """``day.isoweekday()``."""
    return day.isoweekday()


def toordinal(day: date) -> int:
    """``day.toordinal()``."""
    return day.toordinal()


def date_of(moment: datetime) -> date:
    """``moment.date()``."""
    return moment.date()


def time_of(moment: datetime) -> time:
    """``moment.time()``."""
    return moment.time()


def timestamp(moment: datetime) -> float:
    """``moment.timestamp()``."""
    return moment.timestamp()


def total_seconds(span: timedelta) -> float:
    """``span.total_seconds()``."""
    return span.total_seconds()


def dumped(model: Any, mode: str = "python", exclude_none: bool = False) -> dict[str, Any]:
    """``model.model_dump()``."""
    return model.model_dump(mode=mode, exclude_none=exclude_none)  # type: ignore[no-any-return]


def dumped_json(model: Any, indent: int | None = None, exclude_none: bool = False) -> str:
    """``model.model_dump_json()``."""
    return model.model_dump_json(indent=indent, exclude_none=exclude_none)  # type: ignore[no-any-return]


def loads(s: str | bytes) -> Any:
    """``json.loads(s)``."""
    return json.loads(s)


def dumps(obj: Any, indent: int | None = None, sort_keys: bool = False, ensure_ascii: bool = True) -> str:
    """``json.dumps(obj)``."""
    return json.dumps(obj, indent=indent, sort_keys=sort_keys, ensure_ascii=ensure_ascii)
