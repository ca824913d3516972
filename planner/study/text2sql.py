"""Text-to-SQL programs as HexGen-Text2SQL and CHESS build them, over BIRD's eleven development databases.

Five kinds of stage; every prompt begins with the same instructions and the schema of its database, so replicas that ran
a question over a database hold its prefix::

    link ─┬─ draft ─(SQL)─ correct ─(SQL)─ correct ... ─┬─ select          workflow "parallel", 3 of 4 questions
          ├─ draft ─(SQL)───────────────────────────────┤
          └─ draft ...                                  ┘
    link ─── draft ─(SQL)─ correct ─(SQL)─ draft ... ──── select           workflow "sequential"

A correction goes on from the draft it corrects: its prompt is that prompt, the reply, and the database's error. How
many drafts and corrections there are, how long replies get and how long a query runs is drawn; a scheduler knows the
means of each step only. Databases are drawn as often as BIRD has questions about them. Lengths are log-normal with
medians set by hand to what chain-of-thought text-to-SQL uses; nothing here was adjusted to a result.
"""

from __future__ import annotations

from itertools import islice
from random import Random
from typing import Final

from orchestrator.planner.simulate.arrivals import gamma_arrivals
from orchestrator.planner.simulate.program import Program, Stage

UNIT_TOKENS: Final = 128
INSTRUCTION_TOKENS: Final = 640
QUESTION_TOKENS: Final = (40, 160)
EVIDENCE_TOKENS: Final = 400
"""Few-shot examples that fit the question, in a draft's prompt."""
ERROR_TOKENS: Final = 120
MOST_SQL_TOKENS: Final = 200
"""Of a draft's reply, what the selection reads."""
ROWS_TOKENS: Final = 80

DATABASES: Final = {
    "california_schools": (89, 4400),
    "card_games": (191, 6300),
    "codebase_community": (186, 4000),
    "debit_card_specializing": (64, 1500),
    "european_football_2": (129, 9800),
    "financial": (106, 3300),
    "formula_1": (174, 5200),
    "student_club": (158, 3000),
    "superhero": (129, 1800),
    "thrombosis_prediction": (163, 3700),
    "toxicology": (145, 1200),
}
"""Questions in BIRD's development set, and tokens of the schema with descriptions (set by hand from its width)."""

REPLY_TOKENS: Final = {"link": (180, 0.5), "draft": (360, 0.6), "correct": (260, 0.6), "select": (130, 0.5)}
"""Median and spread (of the logarithm)."""
LONGEST_REPLY: Final = 2048
SQL_SECONDS: Final = (0.25, 1.2)
LONGEST_SQL_S: Final = 30.0
DRAFTS: Final = (3, 3, 4, 5)
PARALLEL_SHARE: Final = 0.75
FAILS: Final = 0.35
MOST_CORRECTIONS: Final = 4
_SCHEMAS: Final = [(1 + place, tokens) for place, (_, tokens) in enumerate(DATABASES.values())]
_ASKED: Final = [asked for asked, _ in DATABASES.values()]


class _Drawing:
    """A program while it is drawn."""

    def __init__(self, number: int, random: Random) -> None:
        """Prefix ids that only program ``number`` has are negative, as ``arrivals.draw`` wants them."""
        self.random = random
        self.stages: list[Stage] = []
        self._next_id = -1 - (number << 20)
        database, tokens = random.choices(_SCHEMAS, _ASKED)[0]
        self.shared_tokens = INSTRUCTION_TOKENS + tokens
        general = INSTRUCTION_TOKENS // UNIT_TOKENS
        own = self.shared_tokens // UNIT_TOKENS - general
        self.shared_ids = (*range(general), *range(1000 * database, 1000 * database + own))

    def grown(self, ids: tuple[int, ...], tokens: int) -> tuple[int, ...]:
        """``ids`` and new ones, for the whole units of ``tokens`` tokens."""
        fresh = range(self._next_id, self._next_id - (tokens // UNIT_TOKENS - len(ids)), -1)
        self._next_id -= len(fresh)
        return (*ids, *fresh)

    def add(self, step: str, prompt_tokens: int, ids: tuple[int, ...], after: tuple[int, ...], tool_s: float) -> int:
        """Append a stage, whose reply continues ``ids``; its position."""
        median, spread = REPLY_TOKENS[step.partition(" ")[0]]
        output = max(8, min(round(median * self.random.lognormvariate(0.0, spread)), LONGEST_REPLY))
        whole = self.grown(ids, prompt_tokens + output)
        self.stages.append(Stage(prompt_tokens, output, step, after, tool_s, whole, UNIT_TOKENS))
        return len(self.stages) - 1

    def sql_s(self) -> float:
        """Seconds of a query."""
        median_s, spread = SQL_SECONDS
        return min(median_s * self.random.lognormvariate(0.0, spread), LONGEST_SQL_S)

    def corrections(self, place: int) -> int:
        """Correct the draft at ``place`` as often as it fails; the position of the last."""
        for number in range(1, MOST_CORRECTIONS + 1):
            if self.random.random() >= FAILS:
                break
            before = self.stages[place]
            tokens = before.prompt_tokens + before.output_tokens + ERROR_TOKENS
            place = self.add(f"correct {number}", tokens, before.prefix_ids, (place,), self.sql_s())
        return place


def program(number: int, arrival_s: float, slo_s: float, random: Random) -> Program:
    """Draw one program."""
    drawing = _Drawing(number, random)
    parallel = random.random() < PARALLEL_SHARE
    base = drawing.shared_tokens + random.randint(*QUESTION_TOKENS)
    link = drawing.add("link", base, drawing.shared_ids, (), 0.0)
    prompt = base + drawing.stages[link].output_tokens + EVIDENCE_TOKENS
    ids = drawing.grown(drawing.shared_ids, prompt)
    ends: list[int] = []
    for turn in range(random.choice(DRAFTS)):
        in_turn = bool(ends) and not parallel
        after, waits_s = (ends[-1], drawing.sql_s()) if in_turn else (link, 0.0)
        draft = drawing.add("draft" if parallel else f"draft {turn + 1}", prompt, ids, (after,), waits_s)
        ends.append(drawing.corrections(draft))
    found = sum(min(drawing.stages[place].output_tokens, MOST_SQL_TOKENS) + ROWS_TOKENS for place in ends)
    drawing.add("select", base + found, drawing.shared_ids, tuple(ends), drawing.sql_s())
    return Program(number, arrival_s, tuple(drawing.stages), "parallel" if parallel else "sequential", slo_s)


def programs(count: int, rate_per_s: float, seed: int, slo_s: float) -> list[Program]:
    """``count`` programs that arrive at random (Poisson); the same seed gives the same programs at every rate."""
    random = Random(f"text2sql {seed}")
    times = islice(gamma_arrivals(rate_per_s, 1.0, seed), count)
    return [program(number, time, slo_s, random) for number, time in enumerate(times)]


def templates(count: int, seed: int) -> tuple[Program, ...]:
    """Programs to draw from, without times or SLO."""
    random = Random(f"text2sql templates {seed}")
    return tuple(program(0, 0.0, float("inf"), random) for _ in range(count))
