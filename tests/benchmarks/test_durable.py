"""The durable benchmark at tiny sizes, on bare asyncio with its log; no peer is needed."""

import asyncio
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import durable
from benchmarks.arms import durable_asyncio, history
from benchmarks.arms.effects import KILL, Effect, Effects, read
from benchmarks.arms.group_commit import Log
from benchmarks.arms.workloads import SIZES, expected
from benchmarks.durability import kills
from benchmarks.durability.floor import COMMITS, Floor
from benchmarks.harness.machine import Machine
from benchmarks.harness.record import Report, Result

TINY = {"W1": 5, "W2": 4, "W3": 60, "W4": 2}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with closing(Log(tmp_path / "log.db")) as opened:
        yield opened


@pytest.mark.parametrize("case", SIZES)
def test_the_durable_floor_returns_what_is_expected(case: str) -> None:
    assert durable_asyncio.CASES[case](TINY[case])() == expected(case, TINY[case])


def test_a_record_is_on_disk_when_its_future_is_done_and_those_at_once_share_a_commit(log: Log, tmp_path: Path) -> None:
    async def append() -> list[int]:
        seen = []
        with closing(sqlite3.connect(tmp_path / "log.db")) as other:
            for batch in (["a"], [f"b{i}" for i in range(50)]):
                await asyncio.gather(*(log.append(record.encode()) for record in batch))
                seen.append(other.execute("SELECT count(*) FROM log").fetchone()[0])
        return seen

    assert asyncio.run(append()) == [1, 2]
    assert log.records() == [b"a", *(f"b{i}".encode() for i in range(50))]


def test_a_record_that_is_appended_during_a_commit_waits_for_the_next_one(log: Log) -> None:
    async def append() -> None:
        first = log.append(b"first")
        await asyncio.sleep(0)
        second = log.append(b"second")
        assert second is not first
        await second
        assert first.done()

    asyncio.run(append())
    assert log.records() == [b"first", b"second"]


def test_a_commit_that_fails_fails_whoever_waits_for_it(log: Log) -> None:
    log._db.execute("DROP TABLE log")

    async def append() -> None:
        await log.append(b"lost")

    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        asyncio.run(append())


def effects(*lines: str) -> list[Effect]:
    """``op kind [seen…]`` a line; one of the word ``kill`` alone says that."""
    split = (line.split() if line != "kill" else ["victim", KILL] for line in lines)
    return [Effect(op, kind, False, tuple(seen), 1, 0.0) for op, kind, *seen in split]


@pytest.mark.parametrize(
    ("lines", "lost", "repeated", "in_flight"),
    [
        (["a idempotent", "b model a"], 0, {}, 0),
        (["a idempotent"], 1, {}, 0),
        (["a idempotent", "kill", "a idempotent", "b model a"], 0, {}, 1),
        (["a idempotent", "a idempotent", "b model a"], 0, {"idempotent": 1}, 0),
        (["a reads", "kill", "a reads", "a reads", "b model a"], 0, {"reads": 1}, 1),
        (["a idempotent", "b model a", "kill", "a idempotent"], 0, {"idempotent": 1}, 0),
        (["a model", "b model a", "kill", "b model a"], 0, {}, 1),
        (["a once", "kill", "a once", "b model a"], 0, {"once": 1}, 0),
        (["a keyed", "kill", "a keyed", "b model a"], 0, {}, 1),
        (["a keyed k1", "kill", "a keyed k2", "b model a"], 0, {"keyed": 1}, 0),
    ],
)
def test_effects_are_judged_by_what_had_been_done_with_a_result(
    lines: list[str], lost: int, repeated: dict[str, int], in_flight: int
) -> None:
    found = kills.judge(effects(*lines), {"a", "b"})
    assert (found.lost, found.repeated, found.in_flight) == (lost, Counter(repeated), in_flight)


def test_an_attempt_that_came_back_is_not_a_second_one(tmp_path: Path) -> None:
    kept = Effects(tmp_path / "effects")
    kept.record("a", "once", seen=["z"])
    kept.record("a", "once", ended=True)
    found = tuple(read(tmp_path / "effects"))
    assert [(effect.op, effect.ended, effect.seen) for effect in found] == [("a", False, ("z",)), ("a", True, ())]
    assert not kills.judge(found, {"a"}).repeated
    assert not list(read(tmp_path / "no such file"))


def test_a_killed_chain_goes_on_where_it_was(tmp_path: Path) -> None:
    command = kills.arm_command(Path(sys.executable), "durable_asyncio", 200)
    tally = kills.kill_at_random(["chain"], command, tmp_path, 2, seed=1)
    assert (tally.kills, tally.verdict.lost, tally.verdict.repeated) == (2, 0, Counter())
    assert all(seconds >= 0 for seconds in tally.resumed_s)


FORGETS = """
import json, os, time
print(json.dumps({"ready": time.monotonic()}), flush=True)
time.sleep(0.2)
print(json.dumps({"value": os.getpid()}), flush=True)
"""


def test_a_victim_that_fails_or_returns_something_else_is_not_counted(tmp_path: Path) -> None:
    with pytest.raises(kills.VictimError, match="ZeroDivisionError"):
        kills.play([sys.executable, "-c", "1 / 0"], tmp_path, ())

    with pytest.raises(kills.VictimError, match="instead of"):
        kills.kill_at_random(["odd"], lambda *_: [sys.executable, "-c", FORGETS], tmp_path, 1, seed=1)


def test_a_history_is_weighed_without_what_the_benchmark_keeps(tmp_path: Path) -> None:
    (tmp_path / "stderr").write_text("x" * 1000_000)
    [weighed] = durable.weigh_history(durable.ARMS[0], Path(sys.executable), tmp_path)
    text = history.CALLS * (history.ASKED_BYTES + history.SAID_BYTES)
    assert text < weighed.value < 1.5 * text


def test_a_conversation_that_loses_or_swaps_a_text_has_another_digest() -> None:
    texts = [text for number in range(3) for text in (history.asked(number), history.said(number))]
    assert len(set(texts)) == len(texts)
    assert [len(text) for text in texts] == [history.ASKED_BYTES, history.SAID_BYTES] * 3
    wanted = history.expected(3)
    assert history.digest(texts) == wanted
    assert all(history.digest(texts[:at] + texts[at + 1 :]) != wanted for at in range(len(texts)))
    assert history.digest([texts[1], texts[0], *texts[2:]]) != wanted


def test_the_floor_samples_a_few_commits_at_a_time(tmp_path: Path) -> None:
    with closing(Floor(tmp_path)) as floor:
        floor.sample()
        floor.sample()
        found = {result.arm: result for result in floor.results()}
    assert set(found) == {"sqlite", "sqlite-thread"}
    assert all(result.n == 2 * COMMITS and result.value > 0 for result in found.values())


def result(case: str, arm: str, metric: str, value: float, unit: str = "us") -> Result:
    return Result(case=case, arm=arm, metric=metric, value=value, unit=unit, n=3)


def test_ratios_are_over_the_floor_of_the_same_run() -> None:
    measured = [
        result("floor", "sqlite", "commit_us", 100),
        result("W1", "dbos-sqlite", "us_per_step", 2000),
        result("W4", durable.FLOOR, "efficiency", 0.9, "ratio"),
        result("W4", "dbos-sqlite", "efficiency", 0.45, "ratio"),
    ]
    made = {(r.case, r.arm, r.metric): r.value for r in durable.ratios(measured)}
    assert made == {("W1", "dbos-sqlite", "commit_ratio"): 20, ("W4", "dbos-sqlite", "efficiency_ratio"): 0.5}
    machine = Machine(cpu="c", cores=2, memory_gib=8, system="s", python="3", busy_before=0, load_before=0)
    tally = kills.Tally(kills=4, verdict=kills.Verdict(lost=1), resumed_s=[0.1, 0.3])
    ratios = durable.ratios(measured)
    found = [*measured, *ratios, *durable.tallied("crash-chain", "dbos-sqlite", tally)]
    text = durable.table(Report(benchmark="durable", machine=machine, versions={}, results=found))
    assert "- `crash-chain` `dbos-sqlite`, 4 kills: lost_ops 1, once_repeated 0" in text
    assert "| arm | W1 µs | W4 eff. | W4 of asyncio's | chain: resume s |" in text.splitlines()
    assert any(line.startswith("| `dbos-sqlite` |") and "| 0.45 |" in line for line in text.splitlines())


def test_peers_are_pinned_to_a_version() -> None:
    wanted = [requirement for arm in durable.ARMS for requirement in arm.requirements or ()]
    assert wanted
    assert all("==" in requirement for requirement in wanted)


def test_the_benchmark_refuses_a_folder_in_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(durable, "filesystem", lambda folder: "tmpfs")
    assert durable.main(["--quick"]) == 2
    assert "TMPDIR" in capsys.readouterr().err
