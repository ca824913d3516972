"""What engines do not take of a model call: refused when it is planned, so that nothing is silently left out.

An endpoint may be any server, so all is sent to it and it says itself what it does not know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from orchestrator.dsl.sampling import PASSED
from orchestrator.errors import Diagnostic
from orchestrator.planner.graph import Node

_OF_ENDPOINTS: Final = frozenset({"extra_body", "reasoning_effort", "service_tier", "verbosity"})
_REFUSED: Final[Mapping[str, frozenset[str]]] = {
    "vllm": _OF_ENDPOINTS | {"parts"},
    "sim": _OF_ENDPOINTS | {"grammar", "logprobs", "regex"},
}
"""It has what each kind of engine refuses. The simulator makes up a reply under a schema, and has none for these."""
_ENDPOINT: Final = "serve the model behind an endpoint (an [[engine]] of kind `openai`)"


def refused(kind: str, given: Collection[str]) -> list[str]:
    """Which of the options an engine of this kind does not take."""
    return sorted(_REFUSED.get(kind, frozenset()) & set(given))


def advice(names: Collection[str]) -> str:
    """What to do about options that an engine does not take."""
    return f"leave {' and '.join(map(_called, names))} out, or {_ENDPOINT}"


def _called(name: str) -> str:
    return "images and files" if name == "parts" else f"`{name}=`"


def refusals(node: Node, engine: str, kind: str, *, has_parts: bool) -> Iterator[Diagnostic]:
    """ORCH-P014 for each option of a model call that the engine it is placed on does not take, and for parts."""
    given = [name for name in (*PASSED, "choice", "regex", "grammar", "extra_body", "logprobs") if name in node.opts]
    for name in refused(kind, [*given, *(["parts"] if has_parts else [])]):
        yield Diagnostic(
            "ORCH-P014",
            f"the engine `{engine}`, which `{node.id}` calls, does not take {_called(name)}",
            node.where,
            why=f"it is of the kind `{kind}`",
            fix=advice([name]),
        )
