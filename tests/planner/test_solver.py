"""HiGHS is not believed: what it claims is checked, asked for again in another way, and said to be open where it is."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.placement import Choice, Configuration, Op, Pool, Problem, Workload, solve
from orchestrator.planner.siting import proof
from orchestrator.planner.solver import highs, search
from orchestrator.planner.solver.highs import WAYS, Answer, Limits, Way, relax, run
from orchestrator.planner.solver.program import INF, Program
from tests.planner.placements import brute_force, random_problem

Ask = Callable[[Program, Way, Limits, Sequence[float] | None], Answer]
honest: Ask = highs._ask


def knapsack() -> Program:
    """Five things of which three must be taken; the cheapest three cost 6."""
    program = Program()
    for _ in range(5):
        program.column(0.0, 1.0, integer=True)
    program.cost = [5.0, 1.0, 3.0, 2.0, 4.0]
    program.row([(column, 1.0) for column in range(5)], lower=3.0)
    return program


BEST = (0.0, 1.0, 1.0, 1.0, 0.0)
WORST = (1.0, 0.0, 1.0, 0.0, 1.0)
LIES = {
    "a dear point at the price of a cheap one": Answer(WORST, 6.0, 6.0, infeasible=False, finished=True),
    "an optimum whose own bound says it is none": Answer(WORST, 12.0, 6.0, infeasible=False, finished=True),
    "a bound above a point it has": Answer(BEST, 6.0, 7.0, infeasible=False, finished=True),
    "a point that breaks a row": Answer((0.0, 1.0, 0.0, 1.0, 0.0), 3.0, 3.0, infeasible=False, finished=True),
    "a point that is not whole": Answer((0.0, 1.0, 0.5, 1.0, 0.5), 6.5, 6.5, infeasible=False, finished=True),
    "an optimum without a point": Answer(None, INF, 6.0, infeasible=False, finished=True),
}


def lying(monkeypatch: pytest.MonkeyPatch, lie: Callable[[Program, Limits], Answer], times: int) -> list[Way]:
    """Makes HiGHS answer with a lie so many times; the ways it was asked in."""
    asked: list[Way] = []

    def ask(program: Program, way: Way, limits: Limits, start: Sequence[float] | None) -> Answer:
        asked.append(way)
        return lie(program, limits) if len(asked) <= times else honest(program, way, limits, start)

    monkeypatch.setattr(highs, "_ask", ask)
    return asked


def test_the_truth_is_believed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lying(monkeypatch, lambda program, limits: LIES.popitem()[1], times=0)
    answer = run(knapsack(), gap=0.0, time_limit_s=10.0)
    assert (answer.values, answer.value, answer.bound, asked) == (BEST, 6.0, 6.0, [WAYS[0]])


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("times", [1, 2])
def test_a_lie_is_asked_again_in_another_way(monkeypatch: pytest.MonkeyPatch, lie: str, times: int) -> None:
    asked = lying(monkeypatch, lambda program, limits: LIES[lie], times)
    answer = run(knapsack(), gap=0.0, time_limit_s=10.0)
    assert (answer.values, answer.value, answer.bound) == (BEST, 6.0, pytest.approx(6.0))
    assert asked == [*WAYS[: times + 1]]


def test_no_solution_is_a_lie_where_one_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lying(monkeypatch, lambda program, limits: Answer(None, INF, INF, infeasible=True, finished=True), times=1)
    answer = run(knapsack(), gap=0.0, time_limit_s=10.0, start=WORST)
    assert (answer.values, answer.value, answer.infeasible, len(asked)) == (BEST, 6.0, False, 2)


NONE = Answer(None, INF, INF, infeasible=True, finished=True)
UNTOLD = Answer(None, INF, 0.0, infeasible=False, finished=False)


def test_that_there_is_no_solution_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lying(monkeypatch, lambda program, limits: NONE, times=1)
    answer = run(knapsack(), gap=0.0, time_limit_s=10.0)
    assert (answer.values, answer.value, answer.infeasible, asked) == (BEST, 6.0, False, [*WAYS[:2]])


def test_where_there_is_none_two_ways_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    program = knapsack()
    program.row([(column, 1.0) for column in range(5)], upper=2.0)
    asked = lying(monkeypatch, lambda program, limits: NONE, times=0)
    assert run(program, gap=0.0, time_limit_s=10.0).infeasible
    assert asked == [*WAYS[:2]]


@pytest.mark.parametrize("second", [UNTOLD, LIES["a point that breaks a row"]], ids=["too slow", "wrong"])
def test_that_there_is_no_solution_is_believed_until_somebody_knows_better(
    monkeypatch: pytest.MonkeyPatch, second: Answer
) -> None:
    answers = iter([NONE, second, NONE])
    lying(monkeypatch, lambda program, limits: next(answers), times=9)
    assert run(knapsack(), gap=0.0, time_limit_s=10.0).infeasible


def test_a_lie_that_is_never_taken_back_leaves_the_gap_open(monkeypatch: pytest.MonkeyPatch) -> None:
    lying(monkeypatch, lambda program, limits: Answer(WORST, 6.0, 6.0, infeasible=False, finished=True), times=9)
    answer = run(knapsack(), gap=0.0, time_limit_s=10.0)
    assert (answer.values, answer.value, answer.bound, answer.finished) == (WORST, 12.0, 6.0, False)


def test_points_that_are_none_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    lying(monkeypatch, lambda program, limits: LIES["a point that breaks a row"], times=9)
    with pytest.raises(PlanError, match=r"ORCH-P050.*contradicts itself"):
        run(knapsack(), gap=0.0, time_limit_s=10.0)


def gives_up(program: Program, limits: Limits) -> Answer:
    raise PlanError("ORCH-P050", "the solver stopped with 'Solve error'")


@pytest.mark.parametrize("times", [1, 2])
def test_a_solver_that_gives_up_is_asked_in_another_way(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    asked = lying(monkeypatch, gives_up, times)
    answer = run(knapsack(), gap=0.0, time_limit_s=10.0)
    assert (answer.values, answer.bound, len(asked)) == (BEST, pytest.approx(6.0), times + 1)


def test_a_solver_that_gives_up_in_every_way_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lying(monkeypatch, gives_up, times=9)
    with pytest.raises(PlanError, match="Solve error"):
        run(knapsack(), gap=0.0, time_limit_s=10.0)
    known = run(knapsack(), gap=0.0, time_limit_s=10.0, start=WORST)
    assert (known.values, known.finished, known.bound) == (WORST, False, -INF)


def test_a_start_that_is_no_solution_is_not_taken_for_one() -> None:
    nothing = (0.0,) * 5
    assert run(knapsack(), gap=0.0, time_limit_s=10.0, start=nothing).values == BEST


def test_what_a_limit_stopped_is_no_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lying(monkeypatch, lambda program, limits: Answer(WORST, 12.0, 2.0, infeasible=False, finished=False), 9)
    answer = run(knapsack(), gap=0.0, time_limit_s=10.0, most_nodes=1)
    assert (answer.value, answer.bound, len(asked)) == (12.0, 2.0, 1)


def test_a_relaxation_that_its_duals_do_not_prove_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    found = relax(knapsack(), 10.0)
    assert found is not None
    assert found.bound == pytest.approx(6.0)
    monkeypatch.setattr(Program, "worth", lambda self, values: 8.0)
    assert relax(knapsack(), 10.0) is None


@pytest.mark.parametrize("seed", range(20))
def test_the_duals_prove_the_relaxation_of_any_program(seed: int) -> None:
    draw, program = random.Random(seed), Program()
    for _ in range(8):
        program.column(draw.choice([0.0, -3.0]), draw.choice([1.0, 7.0, INF]), integer=draw.random() < 0.5)
    program.cost = [draw.uniform(0.1, 3.0) for _ in range(8)]
    for _ in range(5):
        columns = draw.sample(range(8), 4)
        program.row([(column, draw.uniform(0.1, 2.0)) for column in columns], lower=draw.uniform(0.0, 2.0))
    assert relax(program, 10.0) is not None


def one_op(usd: tuple[float, ...]) -> Problem:
    pools = tuple(Pool(f"p{at}", "x", 4, price) for at, price in enumerate(usd))
    ways = tuple(Choice(pool.name, seconds=1.0, busy_s=1.0) for pool in pools)
    each = tuple(Configuration(pool.name, pool.name) for pool in pools)
    return Problem(pools, each, (Op("answer", ways),), workload=Workload(rate_per_s=1.0))


@pytest.mark.parametrize("direct", [0, 500], ids=["by parts", "directly"])
def test_a_plan_that_stays_open_says_so(monkeypatch: pytest.MonkeyPatch, direct: int) -> None:
    """A solver that halves every bound, and calls that the optimum."""
    monkeypatch.setattr(search, "DIRECT", direct)
    monkeypatch.setattr(search, "relax", lambda program, time_limit_s: halved(relax(program, time_limit_s)))
    monkeypatch.setattr(
        highs,
        "_ask",
        lambda program, way, limits, start: replace(
            answer := honest(program, way, limits, start), bound=answer.bound / 2, finished=True
        ),
    )
    found = solve(one_op((2.0, 3.0)), "cost", gap=0.01)
    assert found.gap == pytest.approx(0.5)
    assert found.open_because is not None
    assert "highspy" in found.open_because
    assert "NOT proved" in proof(found)
    assert "50 %" in proof(found)


def halved(found: highs.Relaxation | None) -> highs.Relaxation | None:
    return found and replace(found, bound=found.bound / 2)


def test_a_plan_that_ran_out_of_time_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def slow(program: Program, way: Way, limits: Limits, start: Sequence[float] | None) -> Answer:
        now[0] += 100.0
        return replace(honest(program, way, limits, start), bound=0.0, finished=False)

    monkeypatch.setattr(highs, "_ask", slow)
    monkeypatch.setattr(search.time, "perf_counter", lambda: now[0])
    found = solve(one_op((2.0, 3.0)), "cost", gap=0.01, time_limit_s=60.0)
    assert found.open_because == "time ran out after 100 s"


@pytest.mark.parametrize("seed", range(12))
def test_a_first_answer_that_is_wrong_changes_no_plan(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Whatever HiGHS gets wrong when it presolves: the plan is the optimum, and is known to be."""
    monkeypatch.setattr(search, "DIRECT", 0 if seed % 2 else 500)
    problem = random_problem(seed, most_plans=1000)
    oracle = brute_force(problem)
    if oracle is None:
        return

    def wrong_at_first(program: Program, way: Way, limits: Limits, start: Sequence[float] | None) -> Answer:
        answer = honest(program, way, limits, start)
        if way is not WAYS[0] or answer.values is None:
            return answer
        return replace(answer, value=answer.value * 0.8, bound=answer.value * 0.8, finished=True)

    monkeypatch.setattr(highs, "_ask", wrong_at_first)
    for objective in ("cost", "latency", "energy"):
        found = solve(problem, objective, gap=0.0)
        assert found.value == pytest.approx(oracle[objective], rel=5e-6)
        assert found.gap <= 1e-6
        assert found.open_because is None
