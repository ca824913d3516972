"""What names an op in a journal: its own meaning, which stays the same whatever stands around it and what it is called.

A key is a digest of what the op does: the tool and its code, the model and how it decodes, the choices of a question.
Not part of it are what the op is given (the digest of its inputs tells that), its name, its place and its policy. A
structured op's key is its kind alone, so that an edit inside of it loses nothing that stays as it was.

>>> key_of(Structure("loop", bound=3), [int]) == key_of(Structure("loop", bound=5), [int])
True
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

from orchestrator.dsl.types.typing import type_string
from orchestrator.runtime.program.specs import (
    Ask,
    Generate,
    Raise,
    Release,
    Sleep,
    Spec,
    Structure,
    Supersede,
    ToolCall,
)

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
"""What `repr` shows of an object in an ``Annotated`` that has no better one."""


def key_of(spec: Spec, types: Sequence[Any]) -> str:
    """The key of an op whose results have these types; a hint that leaves nothing behind has an empty one."""
    if isinstance(spec, (Release, Supersede)):
        return ""
    if isinstance(spec, Structure):
        return spec.kind
    returns = ",".join(map(type_string, types))
    meaning = _ADDRESS.sub("", repr((type(spec).__name__, _meaning(spec), returns)))
    return blake2b(meaning.encode(errors="surrogatepass"), digest_size=4).hexdigest()


def _meaning(spec: Spec) -> tuple[object, ...]:
    if isinstance(spec, ToolCall):
        return spec.callee, spec.code, spec.names
    if isinstance(spec, Generate):
        return spec.model, spec.sampling, spec.at_least, spec.late
    if isinstance(spec, Ask):
        return (spec.choices,)
    if isinstance(spec, Sleep):
        return (spec.seconds,)
    return (spec.kind,) if isinstance(spec, Raise) else ()
