"""The command line's error codes: the one table that code, tests and documentation share."""

from __future__ import annotations

from typing import Final

CODES: Final[dict[str, str]] = {
    "ORCH-U001": "no such command",
    "ORCH-U002": "options or arguments that the command does not take",
    "ORCH-U003": "a target that does not exist",
    "ORCH-U004": "a file without a workflow, or with several and none named",
    "ORCH-U005": "no workflow of that name",
    "ORCH-U006": "the target's file raises while it is imported",
    "ORCH-U007": "an app.py without a usable `app`",
    "ORCH-U010": "inputs that do not fit the workflow's parameters",
    "ORCH-U011": "an inputs file that cannot be read",
    "ORCH-U012": "an answer for a question that the workflow does not ask",
    "ORCH-U013": "a human is asked, but there is no terminal and no --answer",
    "ORCH-U014": "no such pass",
    "ORCH-U015": "a compiled text names a tool or type that is not there",
    "ORCH-U016": "a tool or type has changed since the text was compiled",
    "ORCH-U017": "a workflow that cannot be written to a text, or a text used as a function",
    "ORCH-U018": "a compiled text that cannot be run",
    "ORCH-U020": "no model to answer with",
    "ORCH-U021": "engine options that contradict each other or make no sense",
    "ORCH-U022": "a --what-if that cannot be applied",
    "ORCH-U023": "what the workers of a cluster cannot share: a store or a file of one machine",
    "ORCH-U090": "the operating system refused something",
    "ORCH-U091": "out of memory",
    "ORCH-U092": "results that could not be shown, and where they are kept",
    "ORCH-U093": "interrupted with Ctrl-C",
    "ORCH-U099": "an unexpected failure",
}
