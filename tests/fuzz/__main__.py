"""A long run: ``python -m tests.fuzz --programs 500 --seed 20000``; prints each fault with its program."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter

from tests.fuzz.oracle import judge
from tests.fuzz.programs import source
from tests.fuzz.shrinking import shrunk


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--refused", action="store_true", help="print what was refused and why")
    parser.add_argument("--verbose", action="store_true", help="print each seed before its program runs")
    options = parser.parse_args()
    gc.set_threshold(100_000, 50, 100)  # what compiling leaves is gone with the program
    counts: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    start = time.perf_counter()
    for seed in range(options.seed, options.seed + options.programs):
        text = source(seed)
        if options.verbose:
            print(f"seed {seed}", file=sys.stderr, flush=True)
        verdict = judge(text, seed)
        counts[
            "ran"
            if verdict.ran
            else "invalid " + verdict.invalid
            if verdict.invalid
            else "refused"
            if verdict.refused
            else "no run"
        ] += 1
        counts.update(f"refused {code}" for code in verdict.refused)
        counts["runs"] += verdict.ran
        counts["at a bound"] += verdict.skipped
        if options.refused and verdict.refused:
            print(f"--- seed {seed}", *verdict.messages[:2], text, sep="\n", flush=True)
        if verdict.fault:
            faults[verdict.fault] += 1
            if faults[verdict.fault] <= 3 and options.shrink:
                text = shrunk(text, lambda each, kind=verdict.fault: _is(each, kind))
                verdict = judge(text)
            if faults[verdict.fault] <= 6:
                print(f"--- seed {seed}: {verdict.fault}\n{text}\n{verdict.detail}", flush=True)
    seconds, busy = time.perf_counter() - start, time.process_time()
    print(
        f"{options.programs} programs from seed {options.seed} in {seconds:.0f} s ({busy:.0f} s of a core): "
        f"{sum(faults.values())} faults",
        flush=True,
    )
    for name, count in [*sorted(counts.items()), *faults.most_common()]:
        print(f"{count:8} {name}")
    return 1 if faults else 0


def _is(text: str, kind: str) -> bool:
    try:
        return judge(text).fault == kind
    except (SyntaxError, NameError, TypeError, AttributeError):
        return False


sys.exit(main())
