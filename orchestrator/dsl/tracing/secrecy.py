"""Where a secret must not come: into a text, out of a model or a person, or out of what runs at most once.

>>> problem_of("prompt", ["key"], [SecretStr], [], {}, where).message                  # doctest: +SKIP
'the secret `key` in a text'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.dsl.types.secret import holds_secret, is_secret
from orchestrator.dsl.types.typing import TypeForm, type_string
from orchestrator.errors import Diagnostic, SourceLoc

CODE = "ORCH-D060"
_ASKED = {"generate": "a model's reply", "ask": "a person's answer"}


def problem_of(
    kind: str,
    operands: Sequence[tuple[str, TypeForm]],
    results: Sequence[TypeForm],
    attrs: Mapping[str, object],
    where: SourceLoc,
) -> Diagnostic | None:
    """What is wrong with an op over values of these names and types, as far as secrets go."""
    if kind == "prompt":
        for name, tp in operands:
            if holds_secret(tp):
                what = f"the secret `{name}`" if is_secret(tp) else f"`{name}`, which holds a secret,"
                why = (
                    "a text is read by models, and stands in journals and traces: a secret would be `**********` there"
                )
                fix = f"pass `{name}` to the tool that needs it, and call get_secret_value() inside of that"
                return Diagnostic(CODE, f"{what} in a text", where, why, fix)
    if kind in _ASKED and (found := _first(results)) is not None:
        message = f"{found} as {_ASKED[kind]}"
        why = "what is answered stands in the conversation and in the journal"
        fix = "take the secret as an input of the workflow, or get it inside the tool that uses it"
        return Diagnostic(CODE, message, where, why, fix)
    if kind == "tool" and attrs.get("effects") == "once" and (found := _first(results)) is not None:
        message = f"{found} as the result of `{attrs['callee']}`, which must run at most once"
        why = "no journal keeps a secret, so a run that goes on elsewhere would have to call the tool again for it"
        fix = "return what the secret can be found by, and get it inside the tool that uses it"
        return Diagnostic(CODE, message, where, why, fix)
    return None


def _first(types: Sequence[TypeForm]) -> str | None:
    return next((type_string(each) for each in types if holds_secret(each)), None)
