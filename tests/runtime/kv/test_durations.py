"""Learning pauses: censoring, borrowing between levels, forgetting, and bounds on memory."""

from __future__ import annotations

import random
from collections import defaultdict
from math import inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.learning.store import LearningStore
from orchestrator.runtime.kv import durations
from orchestrator.runtime.kv.durations import PRIOR, DurationModel
from orchestrator.runtime.kv.forecast import Forecast
from orchestrator.runtime.kv.hints import PauseKey
from orchestrator.runtime.kv.survival import posterior
from orchestrator.runtime.kv.ttl import best_ttl

times = st.floats(0.01, 100)
some_times = st.lists(times, max_size=20)
SQL = PauseKey("report", "run_sql")


def teach(model: DurationModel, key: PauseKey, seconds: list[float], at_s: float = 0.0) -> float:
    """One pause after the other; returns when the last one ended."""
    for i, each in enumerate(seconds):
        model.began(f"{key}-{i}", key, at_s)
        at_s += each
        assert model.ended(f"{key}-{i}", at_s) == pytest.approx(each)
    return at_s


@given(some_times, some_times, st.floats(0.1, 10))
def test_uncensored_it_is_a_blend_of_parent_and_pauses(seen: list[float], others: list[float], strength: float) -> None:
    parent = Forecast.of([*others, 1.0])
    blend = posterior(parent, strength, sorted(seen), [])
    for t in (0.5, 1.0, 10.0, 100.0):
        own = sum(d <= t for d in seen)
        assert blend.probability_by(t) == pytest.approx(
            (strength * parent.probability_by(t) + own) / (strength + len(seen))
        )


@given(some_times, some_times)
def test_without_a_parent_it_is_kaplan_meier(seen: list[float], censored: list[float]) -> None:
    estimate = posterior(Forecast.of([1.0]), 0.0, sorted(seen), sorted(censored))
    alive = 1.0
    for t in sorted(set(seen)):
        alive *= 1.0 - seen.count(t) / sum(d >= t for d in seen + censored)
        assert estimate.probability_by(t) == pytest.approx(1.0 - alive)
    if censored and max(censored) >= max(seen, default=0.0):
        assert estimate.never == pytest.approx(alive)


def test_kaplan_meier_recovers_a_distribution_from_censored_pauses() -> None:
    draw = random.Random(3)
    ended, censored = [], []
    for _ in range(3000):
        pause, patience = draw.lognormvariate(0.0, 1.0), draw.expovariate(0.5)
        (ended if pause <= patience else censored).append(min(pause, patience))
    naive = Forecast.of(ended)
    estimate = posterior(PRIOR, 1.0, sorted(ended), sorted(censored))
    assert estimate.quantile(0.5) == pytest.approx(1.0, rel=0.08)
    assert naive.quantile(0.5) < 0.75  # the long ones are those not seen


def test_it_knows_more_with_each_level() -> None:
    model = DurationModel()
    known = PauseKey("report", "run_sql", ("table=big",))
    assert model.forecast(known).source == "prior"
    now_s = teach(model, PauseKey("other"), [5.0])
    assert model.forecast(known).source == "global"
    now_s = teach(model, PauseKey("report"), [6.0], now_s)
    assert model.forecast(known).source == "workflow"
    now_s = teach(model, PauseKey("other", "run_sql"), [7.0] * 2, now_s)
    forecast = model.forecast(known)
    assert (forecast.source, forecast.count) == ("tool", 2)
    teach(model, known, [8.0] * 3, now_s)
    forecast = model.forecast(known)
    assert (forecast.source, forecast.count) == ("features", 3)
    assert forecast.quantile(0.5) == 8.0
    assert model.forecast(PauseKey("report", "run_sql", ("table=small",))).source == "tool"


def test_an_unknown_tool_is_like_its_workflow_and_a_known_one_like_itself() -> None:
    model = DurationModel()
    now_s = teach(model, PauseKey("report", "search"), [20.0] * 100)
    now_s = teach(model, PauseKey("chat", "lookup"), [0.1] * 100, now_s)
    assert model.forecast(PauseKey("report", "new")).quantile(0.5) == 20.0
    assert model.forecast(PauseKey("chat", "new")).quantile(0.5) == pytest.approx(0.1)
    teach(model, PauseKey("report", "new"), [3.0] * 4, now_s)
    assert model.forecast(PauseKey("report", "new")).quantile(0.5) == 3.0
    assert model.forecast(PauseKey("report", "search")).quantile(0.5) == 20.0


def test_a_tool_that_turns_slow_is_seen_before_it_returns() -> None:
    model = DurationModel()
    now_s = teach(model, SQL, [1.0] * 20)
    assert model.forecast(SQL).probability_by(1.0) > 0.9
    for i in range(20):
        model.began(f"slow-{i}", SQL, now_s)
    model.began("clock", PauseKey("other"), now_s + 30.0)
    assert model.forecast(SQL).probability_by(30.0) < 0.6
    assert model.forecast(SQL).never < 0.05  # they may well end: the prior says how long such pauses get


def test_dropped_sessions_count_as_longer_than_that() -> None:
    model = DurationModel()
    now_s = teach(model, SQL, [1.0] * 10)
    for i in range(10):
        model.began(f"dropped-{i}", SQL, now_s)
        assert model.dropped(f"dropped-{i}", now_s + 5.0) == pytest.approx(5.0)
    assert model.forecast(SQL).probability_by(5.0) == pytest.approx(0.5, abs=0.06)
    assert model.ended("dropped-0", now_s + 6.0) is None


def test_given_an_age_it_forecasts_the_rest() -> None:
    model = DurationModel()
    teach(model, SQL, [1.0] * 50 + [10.0] * 50)
    assert model.forecast(SQL, elapsed_s=2.0).quantile(0.5) == 8.0


def test_it_forgets_what_is_long_past() -> None:
    model = DurationModel()
    now_s = teach(model, SQL, [1.0] * durations.WINDOW)
    teach(model, SQL, [7.0] * durations.WINDOW, now_s)
    forecast = model.forecast(SQL)
    assert forecast.count == durations.WINDOW
    assert forecast.probability_by(6.0) < 0.01


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["began", "ended", "dropped"]), times), max_size=60))
def test_a_cached_forecast_is_soon_like_a_fresh_one(events: list[tuple[str, str, float]]) -> None:
    asked, fresh = DurationModel(), DurationModel()
    now_s = 0.0
    for session, what, after_s in events:
        now_s += after_s
        for model in (asked, fresh):
            if what == "began":
                model.began(session, SQL, now_s)
            else:
                getattr(model, what)(session, now_s)
        asked.forecast(SQL)
    for model in (asked, fresh):
        model.began("clock", PauseKey("other"), now_s + durations.REFRESH_S)
    a, b = asked.forecast(SQL), fresh.forecast(SQL)
    for t in (0.1, 1.0, 10.0, 100.0):
        assert abs(a.probability_by(t) - b.probability_by(t)) < 0.05


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), times), max_size=80))
def test_nothing_is_left_of_sessions_that_ended(events: list[tuple[int, int, float]]) -> None:
    model, now_s = DurationModel(), 0.0
    for session, tool, after_s in events:
        now_s += after_s
        model.began(f"s{session}", PauseKey("w", f"t{tool}", ("f=1",)), now_s)
    for session in range(31):
        model.ended(f"s{session}", now_s + 1.0)
    assert not model._open
    assert not any(level.open_since for level in model._levels.values())
    assert not model._global.open_since


def test_hostile_clients_do_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durations, "MOST_LEVELS", 20)
    monkeypatch.setattr(durations, "MOST_OPEN", 30)
    model = DurationModel()
    teach(model, SQL, [4.0] * 10)
    for i in range(300):
        model.began(f"s{i}", PauseKey(f"w{i}", f"t{i}", (f"f={i}",) * (i % 40)), 1000.0 + i)
        assert model.forecast(SQL).quantile(0.3) == 4.0  # what is in use is remembered
    assert len(model._levels) <= 20
    assert len(model._open) <= 30
    assert len(model._global.open_since) <= 30


def test_a_session_that_never_comes_back_is_given_up() -> None:
    model = DurationModel()
    model.began("lost", SQL, 0.0)
    model.began("later", SQL, 2 * durations.ABANDONED_S)
    assert model.ended("lost", 3 * durations.ABANDONED_S) is None
    assert model.ended("later", 2 * durations.ABANDONED_S + 5.0) == 5.0


def test_upper_bounds_cover_new_pauses() -> None:
    draw, covered = random.Random(5), 0
    for _ in range(600):
        model, now_s = DurationModel(), 0.0
        now_s = teach(model, PauseKey("report", "other"), [0.001] * 50, now_s)  # must not help
        now_s = teach(model, SQL, [draw.paretovariate(0.9) for _ in range(19)], now_s)
        covered += draw.paretovariate(0.9) <= model.upper(SQL, 0.9)
    assert covered / 600 == pytest.approx(0.9, abs=0.05)


def test_a_bound_needs_enough_pauses_and_counts_open_ones_as_endless() -> None:
    model = DurationModel()
    assert model.upper(SQL, 0.9) == inf
    now_s = teach(model, PauseKey("report"), [2.0] * 9)
    assert model.upper(SQL, 0.9) == 2.0  # the workflow's
    teach(model, SQL, [5.0] * 9, now_s)
    assert model.upper(SQL, 0.9) == 5.0
    for i in range(5):
        model.began(f"open-{i}", SQL, now_s)
    assert model.upper(SQL, 0.9) == inf


def test_learning_beats_the_prior_and_ten_pauses_nearly_know() -> None:
    """What TTLs lose to ignorance, as a share of what perfect knowledge brings, over tools not tuned on."""
    lost: dict[int, float] = defaultdict(float)
    brought = 0.0
    for seed in range(40):
        draw = random.Random(seed)
        median_s, sigma = draw.choice([0.2, 1.0, 5.0, 20.0]), draw.uniform(0.2, 1.2)
        pauses = [median_s * draw.lognormvariate(0.0, sigma) for _ in range(1000)]
        truth = Forecast.of(pauses[16:])
        best = best_ttl(truth, benefit_s=4.0, rent=0.4, longest_s=300.0)
        brought += best.worth_s
        for n in (0, 2, 16):
            known = posterior(PRIOR, durations.STRENGTH, sorted(pauses[:n]), [])
            ttl_s = best_ttl(known, benefit_s=4.0, rent=0.4, longest_s=300.0).ttl_s
            lost[n] += best.worth_s - (4.0 * truth.probability_by(ttl_s) - 0.4 * truth.mean_within(ttl_s))
    assert lost[16] / brought < 0.06 < lost[0] / brought
    assert lost[16] < lost[2] < lost[0]


def test_what_was_learned_outlives_the_process(tmp_path: Path) -> None:
    key = PauseKey("report", "run_sql", ("table=big", "ümlaut \ud800"))
    with LearningStore(tmp_path / "learning.db") as store:
        model = DurationModel(store)
        now_s = teach(model, key, [3.0] * 30)
        model.began("dropped", key, now_s)
        model.dropped("dropped", now_s + 9.0)
    with LearningStore(tmp_path / "learning.db") as store:
        again = DurationModel(store)
    forecast = again.forecast(key)
    assert (forecast.source, forecast.count, forecast.quantile(0.5)) == ("features", 30, 3.0)
    assert forecast == model.forecast(key)


def test_what_others_wrote_into_the_store_is_passed_over(tmp_path: Path) -> None:
    with LearningStore(tmp_path / "learning.db") as store:
        for key in ("run_sql", "[]", '["report"]', '["report", 3]', '{"report": "run_sql"}'):
            store.append(durations.NAMESPACE, key, 5.0)
        store.append(durations.NAMESPACE, '["report", "run_sql"]', -1.0)
        store.flush()
        forecast = DurationModel(store).forecast(SQL)
    assert (forecast.source, forecast.count, forecast.quantile(0.5)) == ("tool", 1, 0.0)
