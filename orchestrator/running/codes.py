"""The error codes of running from Python: the one table that code, tests and documentation share."""

from __future__ import annotations

from typing import Final

CODES: Final[dict[str, str]] = {
    "ORCH-R070": "a session is used after it was closed",
    "ORCH-R071": "a session is used in another process than its own",
    "ORCH-R072": "the result of a stream that is not over",
    "ORCH-R073": "a session is waited for on its own event loop, which would never go on",
    "ORCH-R074": "an option of a run that makes no sense",
}
