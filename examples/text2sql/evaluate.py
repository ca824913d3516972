"""Measure a model folder on questions over schemas that training never saw: single shot, and candidates with a vote.

Single shot is one greedy reply to schema and question. The vote follows the workflow: tables are linked greedily,
several queries are sampled, each is executed and, on an error or an empty result, repaired up to twice, and the result
that most candidates agree on wins, results with rows first. Correct means the same rows as the gold query's.

    python -m examples.text2sql.evaluate examples/text2sql/model --schemas 25 --questions 500
"""

import argparse
import json
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from examples.text2sql import prompts
from examples.text2sql.corpus import Case, same_result, unseen_cases
from examples.text2sql.schema_text import Cell

Message = dict[str, str]
Rows = list[tuple[Cell, ...]]


class Generate(Protocol):
    """Replies to conversations, in order."""

    def __call__(self, conversations: Sequence[list[Message]], temperature: float, seed: int) -> list[str]: ...


def torch_generate(folder: Path, batch: int = 64, max_tokens: int = 96) -> Generate:
    """Batched generation with transformers."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(device).eval()

    def generate(conversations: Sequence[list[Message]], temperature: float, seed: int) -> list[str]:
        torch.manual_seed(seed)
        texts = [tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in conversations]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        replies = [""] * len(texts)
        how = (
            {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
            if temperature
            else {"do_sample": False}
        )
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            inputs = tokenizer(
                [texts[i] for i in chosen], return_tensors="pt", padding=True, return_token_type_ids=False
            )
            with torch.inference_mode():
                made = model.generate(**inputs.to(device), max_new_tokens=max_tokens, **how)
            for i, tokens in zip(chosen, made[:, inputs.input_ids.shape[1] :], strict=True):
                replies[i] = tokenizer.decode(tokens, skip_special_tokens=True)
        return replies

    return generate


def vllm_generate(folder: Path, max_tokens: int = 96) -> Generate:
    """Generation with vLLM's offline engine; replies are free text, as with transformers."""
    from vllm import LLM, SamplingParams

    engine = LLM(model=str(folder), max_model_len=1024, enforce_eager=True, seed=0, max_num_seqs=128)

    def generate(conversations: Sequence[list[Message]], temperature: float, seed: int) -> list[str]:
        # The engine's own seed orders the samples: a seed per request ends vLLM's CPU worker when a prefill is chunked.
        del seed
        how = SamplingParams(temperature=temperature, max_tokens=max_tokens)
        return [made.outputs[0].text for made in engine.chat(list(conversations), how, use_tqdm=False)]

    return generate


def query_of(reply: str) -> str:
    """The SQL inside a reply, or the reply itself where it is no such JSON."""
    try:
        parsed = json.loads(reply)
    except json.JSONDecodeError:
        return reply
    return str(parsed.get("sql", reply)) if isinstance(parsed, dict) else reply


def execute(connection: sqlite3.Connection, sql: str) -> tuple[Rows, str]:
    """Rows and an empty message, or no rows and the message to repair from."""
    try:
        rows = connection.execute(sql).fetchmany(10_000)
    except (sqlite3.Error, sqlite3.Warning) as error:
        return [], str(error)
    return rows, "" if rows and rows[0][0] is not None else prompts.NO_ROWS


@dataclass
class Candidate:
    """One sampled query of one case, its conversation so far and what its execution gave."""

    case: int
    messages: list[Message]
    rows: Rows
    error: str


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


_OPENING: Message = {"role": "system", "content": prompts.SYSTEM}


def single_shot(cases: Sequence[Case], databases: dict[int, sqlite3.Connection], generate: Generate) -> list[Rows]:
    """One greedy reply per case, executed."""
    replies = generate([[_OPENING, _user(prompts.single(c.schema, c.question))] for c in cases], 0.0, 0)
    return [execute(databases[c.database_id], query_of(r))[0] for c, r in zip(cases, replies, strict=True)]


def voted(
    cases: Sequence[Case],
    databases: dict[int, sqlite3.Connection],
    generate: Generate,
    *,
    samples: int,
    temperature: float,
    repairs: int = 2,
    linked: bool = True,
) -> list[Rows]:
    """Sampled, repaired and voted candidates per case; `linked` asks for the tables first."""
    if linked:
        openings = [[_OPENING, _user(prompts.link(c.schema, c.question))] for c in cases]
        links = generate(openings, 0.0, 0)
        openings = [[*o, _assistant(link), _user(prompts.SQL)] for o, link in zip(openings, links, strict=True)]
    else:
        openings = [[_OPENING, _user(prompts.single(c.schema, c.question))] for c in cases]
    live = [Candidate(i, opening, [], "") for i, opening in enumerate(openings) for _ in range(samples)]
    every = list(live)
    for attempt in range(repairs + 1):
        replies = generate([c.messages for c in live], temperature, attempt + 1)
        for candidate, reply in zip(live, replies, strict=True):
            candidate.rows, candidate.error = execute(databases[cases[candidate.case].database_id], query_of(reply))
            candidate.messages = [*candidate.messages, _assistant(reply), _user(prompts.repair(candidate.error))]
        live = [candidate for candidate in live if candidate.error]
        if not live:
            break
    by_case: dict[int, list[Candidate]] = defaultdict(list)
    for candidate in every:
        by_case[candidate.case].append(candidate)
    return [vote(by_case[i]) for i in range(len(cases))]


def vote(candidates: Sequence[Candidate]) -> Rows:
    """The rows that most candidates agree on, among those that returned rows if any did."""
    good = [c for c in candidates if not c.error] or list(candidates)
    counts = Counter(repr(c.rows) for c in good)
    best = counts.most_common(1)[0][0]
    return next(c.rows for c in good if repr(c.rows) == best)


def main() -> None:
    """Command line; prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--schemas", type=int, default=25)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--samples", type=int, nargs="*", default=[5])
    parser.add_argument("--temperature", type=float, nargs="*", default=[0.8])
    parser.add_argument("--show", type=int, default=0, help="print that many wrong single-shot replies")
    parser.add_argument("--engine", choices=("torch", "vllm"), default="torch")
    given = parser.parse_args()
    cases = unseen_cases(given.seed, given.schemas, given.questions)
    databases = {case.database_id: case.connect() for case in cases}
    gold = [databases[case.database_id].execute(case.sql).fetchall() for case in cases]
    generate = (vllm_generate if given.engine == "vllm" else torch_generate)(given.model)
    started = time.monotonic()

    def right(results: Sequence[Rows]) -> list[bool]:
        return [same_result(g, r, c.ordered) for g, r, c in zip(gold, results, cases, strict=True)]

    single = right(single_shot(cases, databases, generate))
    report: dict[str, object] = {
        "schemas": given.schemas,
        "questions": len(cases),
        "seed": given.seed,
        "engine": given.engine,
        "single_accuracy": round(sum(single) / len(cases), 4),
    }
    kinds = defaultdict(list)
    for case, good in zip(cases, single, strict=True):
        kinds[case.kind].append(good)
    report["single_by_kind"] = {kind: f"{sum(goods)}/{len(goods)}" for kind, goods in sorted(kinds.items())}
    wrong = max(1, len(cases) - sum(single))
    for samples in given.samples:
        for temperature in given.temperature:
            for linked in (True, False):
                goods = right(
                    voted(cases, databases, generate, samples=samples, temperature=temperature, linked=linked)
                )
                name = f"vote_{samples}_T{temperature}_{'linked' if linked else 'direct'}"
                report[name] = {
                    "accuracy": round(sum(goods) / len(cases), 4),
                    "errors_relative_to_single": round((len(cases) - sum(goods)) / wrong, 3),
                }
    report["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(report, indent=1))
    if given.show:
        replies = generate([[_OPENING, _user(prompts.single(c.schema, c.question))] for c in cases], 0.0, 0)
        wrongs = [(case, reply) for case, good, reply in zip(cases, single, replies, strict=True) if not good]
        for case, reply in wrongs[: given.show]:
            print(f"{case.kind} | {case.question}\n   gold {case.sql}\n   made {query_of(reply)}")


if __name__ == "__main__":
    main()
