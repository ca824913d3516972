"""What it costs to call a function at a place, beside the seconds of the function itself.

The figures are data (``dispatch.toml``, with their source); ``benchmarks/tool_places.py`` measures them.

>>> dispatch("thread").start_s
0.0
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.planner.datafile import parse_toml, read_text, validate
from orchestrator.planner.interval import Interval

SWITCH_S: Final = 0.005
"""So long a thread that computes keeps the interpreter's lock from one that asks for it: CPython's default
(``sys.getswitchinterval``)."""
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Dispatch(BaseModel):
    """The figures of one place."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: tuple[_Seconds, _Seconds, _Seconds]
    """Of one call of a function that does nothing: least, typical, and on a busy machine."""
    start_s: _Seconds
    """Until a worker has started, before its first call."""
    bytes_per_s: float | None = Field(default=None, gt=0)
    """The speed at which arguments and results go there and back; ``None``: they stay where they are."""
    source: str = Field(min_length=1)

    @property
    def interval(self) -> Interval:
        """The seconds of a call."""
        return Interval(*self.seconds)

    def moving_s(self, count: float) -> float:
        """Seconds to move so many bytes."""
        return 0.0 if self.bytes_per_s is None else count / self.bytes_per_s


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    places: dict[str, Dispatch]


def dispatch(place: str) -> Dispatch:
    """The figures of ``thread``, ``process``, ``ray-task`` or ``ray-actor``; ``KeyError`` for any other place."""
    return _figures()[place]


@cache
def _figures() -> dict[str, Dispatch]:
    path = Path(__file__).with_name("dispatch.toml")
    text = read_text(path)
    return validate(_File, {"places": parse_toml(text, str(path))}, text, str(path)).places
