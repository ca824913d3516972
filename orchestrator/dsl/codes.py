"""The front end's error codes: the one table that code, tests and documentation share."""

from __future__ import annotations

from typing import Final

CODES: Final[dict[str, str]] = {
    "ORCH-D001": "the workflow's function raised an exception while it was traced",
    "ORCH-D002": "a parameter or return of a workflow or tool has no usable annotation",
    "ORCH-D003": "a workflow is async or a generator",
    "ORCH-D004": "Python needs the truth of a symbolic value (if, while, and, or, not, assert)",
    "ORCH-D005": "Python needs the items or the length of a symbolic value (for, in, len, unpacking)",
    "ORCH-D006": "Python needs the number, type, identity, hash or another concrete form of a symbolic value",
    "ORCH-D007": "a conversion or format spec on a symbolic value in a text",
    "ORCH-D008": "Python reads, cuts or changes a text that a symbolic value has been formatted into",
    "ORCH-D010": "a value of one type is used where another is expected",
    "ORCH-D011": "a field or an index that the value's type does not have",
    "ORCH-D012": "wrong arguments in a call of a tool, a workflow or a traced function",
    "ORCH-D013": "a Python object that cannot become a constant of the workflow",
    "ORCH-D014": "an operator that the values' types do not support",
    "ORCH-D020": "a loop without a bound",
    "ORCH-D021": "a map without a limit, or over lists of different lengths",
    "ORCH-D022": "the arms of a branch, switch, race or attempt do not yield the same structure",
    "ORCH-D023": "a loop's body does not return the loop's state",
    "ORCH-D024": "a race without arms",
    "ORCH-D025": "the cases of a switch do not cover a type, or are for what it never is",
    "ORCH-D030": "one name for two ops",
    "ORCH-D031": "one name for two tools or two types",
    "ORCH-D032": "a workflow that calls itself",
    "ORCH-D033": "a value used outside the workflow or region it belongs to",
    "ORCH-D034": "an op outside of a workflow",
    "ORCH-D040": "an invalid retry, timeout, budget or SLO",
    "ORCH-D041": "an invalid option of an op",
    "ORCH-D042": "a pause feature that is not a scalar parameter of the tool",
    "ORCH-D050": "a construct of Python that cannot be compiled",
    "ORCH-D051": "a name that is bound on some paths only, or with types that do not join",
    "ORCH-D052": "an object is changed that others may hold, or that is only known when the workflow runs",
    "ORCH-D053": "something is awaited that only happens when the workflow runs",
    "ORCH-D054": "a pattern that a symbolic value cannot be matched with",
    "ORCH-D055": "ops within a `with` that is left before they run",
    "ORCH-D056": "a `try` that cannot be compiled",
    "ORCH-D043": "a retry over a tool that must run at most once, or a wrong key or check of such a tool",
    "ORCH-D044": "a static parameter of a workflow without a value that is known while it is traced",
}
