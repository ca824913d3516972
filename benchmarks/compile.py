"""How long compiling takes: trace, passes and plan of workflows of 1,000 and 10,000 ops, each in a fresh process.

    python -m benchmarks.compile [--quick] --json FILE

The workflow is ``benchmarks/arms/sample_workflow.py``: language-model calls, tools, prompts, fields, branches, loops and
maps. An *op* is an operation of the level-1 module as traced, region terminators not counted; the workflow is grown until
it holds the wanted number. `seconds` is the first `compile()` of the process, from the Python function to a program that
is ready to run, with the planner's cluster already looked at; `cached_seconds` the second call. `trace_seconds` and the
other stages come from further processes that call the stages one by one. `growth_exponent` is 1 where time is linear in
the ops.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from benchmarks.harness.machine import describe, versions
from benchmarks.harness.process import ROOT
from benchmarks.harness.record import OURS, Report, Result, Skip
from benchmarks.harness.stats import growth_exponent, spread

SIZES = (1_000, 10_000)
TIMEOUT_S = 120


class ChildError(RuntimeError):
    """A measuring process failed; the message is its last line."""
