"""A plan asks about runs that were made, and the answer is that of the measurements."""

from dataclasses import replace

import numpy as np

from orchestrator.planner.cost.calibration import Measurement
from orchestrator.planner.cost.deployment import Deployment
from orchestrator.planner.cost.runs import Runs
from orchestrator.planner.cost.store import data_folder, measurements, newest_day, of_today, predict, shipped


def known() -> list[Measurement]:
    return measurements(data_folder() / "measurements.csv", disaggregated=False)


def of_run(campaign: str, day: float, like: Deployment) -> Deployment:
    return replace(like, campaign=campaign, day=day)


def test_the_newest_run_of_enough_rows_speaks_for_a_group() -> None:
    like = known()[0].of
    rows = [("a", 10.0)] * 90 + [("a", 20.0)] * 40 + [("b", 30.0)] * 3
    runs = Runs.of(of_run(*run, like) for run in rows)
    asked = runs.asked(of_run("", 99.0, like))
    assert (asked.of.campaign, asked.of.day) == ("a", 20.0)
    assert asked.share == 40 / 133


def test_a_run_that_was_measured_keeps_its_name() -> None:
    like = known()[0].of
    runs = Runs.of(of_run(*run, like) for run in [("a", 10.0)] * 90 + [("b", 30.0)])
    stated = of_run("b", 30.0, like)
    assert runs.asked(stated).of == stated
    assert runs.asked(of_run("b", 31.0, like)).of == of_run("a", 10.0, like)


def test_a_group_that_nobody_measured_asks_about_its_backend_and_an_unknown_backend_about_all() -> None:
    like = known()[0].of
    other = replace(like, backend="other")
    runs = Runs.of([of_run("a", 10.0, like), *[of_run("b", 20.0, other)] * 9])
    elsewhere = replace(like, facts=replace(like.facts, name="nobody's"), campaign="", day=99.0)
    assert runs.asked(elsewhere).of.campaign == "a"
    assert runs.asked(replace(elsewhere, backend="new")).of.campaign == "b"


def test_a_plan_never_asks_about_a_run_without_rows() -> None:
    rows = known()
    made = {(each.of.campaign, each.of.day) for each in rows}
    for each in rows[::10]:
        asked = shipped(False).runs.asked(of_today(each.of)).of
        assert (asked.campaign, asked.day) in made


def test_what_a_plan_is_told_is_neither_faster_nor_slower_than_what_was_measured() -> None:
    rows = known()
    told = predict([of_today(each.of) for each in rows])
    for quantity, most in (("tpot", 0.12), ("ttft", 0.2)):
        seen = np.array([getattr(each, f"{quantity}_s") for each in rows])
        said = np.array([getattr(each, quantity).mid for each in told])
        assert np.abs(said / seen - 1).mean() <= most, quantity
        assert 0.3 <= (seen > said).mean() <= 0.7, quantity
    recent = [i for i, each in enumerate(rows) if each.of.day >= newest_day(each.of.backend) - 14]
    slower = np.mean([rows[i].ttft_s > told[i].ttft.mid for i in recent])
    assert 0.3 <= slower <= 0.7
