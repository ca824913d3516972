"""The accuracy benchmark's arithmetic, with answers made up here; the real engine is the benchmark's business."""

from pathlib import Path

import pytest

from benchmarks.text2sql import SINGLE, WORKFLOW, Outcome, Reply, answer_all, build_databases, results_of
from examples.text2sql.corpus import Case, unseen_cases
from examples.text2sql.sandbox import execute


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return unseen_cases(seed=3, n_schemas=3, n_questions=9)


@pytest.fixture(scope="module")
def databases(cases: list[Case], tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    return build_databases(cases, tmp_path_factory.mktemp("databases"))


async def test_the_reference_queries_answer_every_question(cases: list[Case], databases: dict[int, Path]) -> None:
    async def ask(case: Case, database: Path) -> Reply:
        return Reply(execute(database, case.sql).rows, input_tokens=10, output_tokens=2)

    outcome = await answer_all(cases, databases, ask)
    assert len(databases) == 3
    assert outcome.right == [True] * 9


async def test_wrong_rows_and_failed_runs_are_errors(cases: list[Case], databases: dict[int, Path]) -> None:
    async def ask(case: Case, database: Path) -> Reply:
        rows = execute(database, case.sql).rows
        if case is cases[0]:
            return Reply([["no such row"]])
        return Reply(rows, failure="timed out") if case is cases[1] else Reply(rows)

    assert (await answer_all(cases, databases, ask)).right == [False, False] + [True] * 7


def test_accuracy_intervals_ratio_and_tokens() -> None:
    groups = [i // 10 for i in range(100)]
    replies = [Reply([], input_tokens=100, cached_tokens=40, output_tokens=20)] * 100
    single = Outcome([i % 5 != 0 for i in range(100)], replies, wall_s=50.0)
    workflow = Outcome([i % 10 != 0 for i in range(100)], replies, wall_s=200.0)
    found = {(r.arm, r.metric): r for r in results_of({SINGLE: single, WORKFLOW: workflow}, groups)}
    accuracy = found[SINGLE, "execution_accuracy"]
    assert (accuracy.value, accuracy.n) == (0.8, 100)
    assert accuracy.low is not None and accuracy.high is not None and accuracy.low < 0.8 < accuracy.high
    assert found[WORKFLOW, "error_ratio"].value == 0.5
    assert found[WORKFLOW, "cached_tokens"].value == 40
    assert found[WORKFLOW, "wall_seconds"].value == 2.0
    assert (SINGLE, "error_ratio") not in found


def test_a_faultless_single_shot_has_no_error_ratio() -> None:
    perfect = Outcome([True, True], [Reply([])] * 2, wall_s=1.0)
    found = results_of({SINGLE: perfect, WORKFLOW: perfect}, [0, 1])
    assert "error_ratio" not in {r.metric for r in found}
