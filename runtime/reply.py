"""What the text of a reply is to the workflow: a value of the type that the call declares, or none."""

from __future__ import annotations

from typing import Any, Final

from orchestrator.dsl.sampling import matches
from orchestrator.runtime.failures import ReplyError
from orchestrator.runtime.program import Generate
from orchestrator.runtime.values import parsed_reply

_MOST_SHOWN: Final = 200


def reply_of(spec: Generate, text: str) -> Any:
    """The value of one sample; raises :class:`ReplyError` where its text is nothing that the call may give.

    A regular expression is asked here, too: an endpoint may not know it, or have ignored it.
    """
    if spec.constraint is not None and spec.constraint[0] == "regex":
        pattern = str(spec.constraint[1])
        if not matches(pattern, text):
            raise ReplyError(f"it does not match the regular expression {pattern[:_MOST_SHOWN]}")
    return parsed_reply(spec.returns, text)
