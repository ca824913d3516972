"""Measure a model folder on questions over schemas that training never saw, with vLLM's offline engine.

Single shot is one greedy reply to schema and question; right means the same rows as the gold query's. Of samples
drawn straight from the question the report says how often one is right and how often at least one of them is: what a
workflow that samples can hope for. ``python -m benchmarks.text2sql`` measures the workflow itself.

    python -m examples.text2sql.evaluate examples/text2sql/model --questions 500 --seed 1
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from math import sqrt
from pathlib import Path

from examples.text2sql import prompts
from examples.text2sql.corpus import Case, same_result, unseen_cases
from examples.text2sql.schema_text import Cell

Rows = list[tuple[Cell, ...]]
Generate = Callable[[Sequence[Case], int, float], list[list[str]]]
"""Replies to each case: so many, at that temperature."""


def vllm_generate(folder: Path, max_tokens: int = 96) -> Generate:
    """Free-text replies from vLLM's offline engine."""
    from vllm import LLM, SamplingParams

    # The default share is nearly all memory, which a machine that does anything else does not have free.
    engine = LLM(
        str(folder), max_model_len=1024, enforce_eager=True, seed=0, max_num_seqs=128, gpu_memory_utilization=0.2
    )

    def generate(cases: Sequence[Case], samples: int, temperature: float) -> list[list[str]]:
        # The engine's own seed orders the samples: a seed per request ends vLLM's CPU worker when a prefill is chunked.
        how = SamplingParams(n=samples, temperature=temperature, max_tokens=max_tokens)
        openings = [
            [
                {"role": "system", "content": prompts.SYSTEM},
                {"role": "user", "content": prompts.single(case.schema, case.question)},
            ]
            for case in cases
        ]
        return [[made.text for made in replies.outputs] for replies in engine.chat(openings, how, use_tqdm=False)]

    return generate


def query_of(reply: str) -> str:
    """The SQL inside a reply, or the reply itself where it is no such JSON."""
    try:
        parsed = json.loads(reply)
    except json.JSONDecodeError:
        return reply
    return str(parsed.get("sql", reply)) if isinstance(parsed, dict) else reply


def execute(connection: sqlite3.Connection, sql: str) -> Rows:
    """The rows; none where the query fails."""
    try:
        return connection.execute(sql).fetchmany(10_000)
    except (sqlite3.Error, sqlite3.Warning):
        return []


def share(right: Sequence[bool]) -> dict[str, float]:
    """The share of right ones with Wilson's 95 % interval."""
    n, p, z = len(right), sum(right) / len(right), 1.96
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    reach = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return {"value": round(p, 4), "low": round(middle - reach, 4), "high": round(middle + reach, 4)}


def main() -> None:
    """Command line; prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--schemas", type=int, default=25)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--show", type=int, default=0, help="print that many wrong single-shot replies of each seed")
    given = parser.parse_args()
    generate = vllm_generate(given.model)
    for seed in given.seed:
        cases = unseen_cases(seed, given.schemas, given.questions)
        databases = {case.database_id: case.connect() for case in cases}
        started = time.monotonic()

        def judged(case: Case, reply: str, databases: dict[int, sqlite3.Connection] = databases) -> bool:
            database = databases[case.database_id]
            gold = database.execute(case.sql).fetchall()
            return same_result(gold, execute(database, query_of(reply)), case.ordered)

        replies = [made[0] for made in generate(cases, 1, 0.0)]
        single = [judged(case, reply) for case, reply in zip(cases, replies, strict=True)]
        sampled = [
            [judged(case, reply) for reply in made]
            for case, made in zip(cases, generate(cases, given.samples, given.temperature), strict=True)
        ]
        kinds: dict[str, list[bool]] = defaultdict(list)
        for case, right in zip(cases, single, strict=True):
            kinds[case.kind].append(right)
        report = {
            "seed": seed,
            "schemas": given.schemas,
            "questions": len(cases),
            "single_shot": share(single),
            "single_shot_by_kind": {kind: f"{sum(right)}/{len(right)}" for kind, right in sorted(kinds.items())},
            f"any_of_{given.samples}_at_T{given.temperature}": share([any(each) for each in sampled]),
            "share_of_samples_right": round(sum(map(sum, sampled)) / given.samples / len(cases), 4),
            "seconds": round(time.monotonic() - started, 1),
        }
        print(json.dumps(report, indent=1), flush=True)
        wrong = [(case, reply) for case, right, reply in zip(cases, single, replies, strict=True) if not right]
        for case, reply in wrong[: given.show]:
            print(f"{case.kind} | {case.question}\n   gold {case.sql}\n   made {query_of(reply)}")


if __name__ == "__main__":
    main()
