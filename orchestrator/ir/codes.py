"""The IR's error codes: the one table that code, tests and documentation share."""

from __future__ import annotations

from typing import Final

CODES: Final[dict[str, str]] = {
    "ORCH-I000": "no MLIR Python bindings",
    "ORCH-I001": "a module without a workflow, or with several",
    "ORCH-I002": "a text that is no MLIR",
    "ORCH-I003": "a text or regions that are nested too deep",
    "ORCH-I010": "MLIR's own verifier rejects the module",
    "ORCH-I011": "one id for two ops, or a name that is declared twice",
    "ORCH-I012": "a prompt whose parts and holes do not alternate",
    "ORCH-I013": "a bound below 1",
    "ORCH-I014": "a region that does not end as it must",
    "ORCH-I015": "a region that yields another number of values than its op has results",
    "ORCH-I016": "an op with the wrong regions, or a region with the wrong arguments",
    "ORCH-I017": "no such op, or not there",
    "ORCH-I018": "a required attribute is missing",
    "ORCH-I019": "a wrong number of operands or results",
    "ORCH-I020": "a type that does not fit what is wanted",
    "ORCH-I021": "arguments that are not the tool's parameters",
    "ORCH-I022": "unknown effects",
    "ORCH-I023": "a projection of what the operand's type does not have",
    "ORCH-I024": "a type that is neither builtin nor declared, or no type at all",
    "ORCH-I025": "a tool that is not declared, or declared otherwise",
    "ORCH-I026": "a declaration or constant that means nothing",
    "ORCH-I027": "an attribute that holds something else than it must",
    "ORCH-I028": "a token where none may be",
    "ORCH-I029": "an attribute or option that no such op has",
    "ORCH-I030": "a value that is used where it is not there yet, or not at all",
}
