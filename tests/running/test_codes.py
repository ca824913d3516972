"""The table of codes is complete."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator import running
from orchestrator.cli.codes import CODES as USAGE
from orchestrator.dsl.codes import CODES as FRONT_END
from orchestrator.running.codes import CODES
from orchestrator.runtime.codes import CODES as RUNTIME


def test_every_code_is_in_a_table_and_every_own_one_is_used() -> None:
    files = [file for file in Path(running.__file__).parent.glob("*.py") if file.name != "codes.py"]
    used = set(re.findall(r"ORCH-[A-Z]\d+", "".join(file.read_text(encoding="utf-8") for file in files)))
    assert {code for code in used if not code.startswith("ORCH-E")} <= {*CODES, *USAGE, *FRONT_END, *RUNTIME}
    assert used >= set(CODES)
    assert not set(CODES) & set(RUNTIME)
