"""What a step costs when its result is on disk before anybody acts on it, and what is lost when processes are killed.

    python -m benchmarks.durable [--quick] [--json FILE] [--arms sqlite,burr-sqlite] [--cases W1,crash] [--kills N]

Every arm syncs before it acknowledges: SQLite in WAL mode with ``synchronous=FULL``, PostgreSQL with its defaults. Each
peer's arm says in its first lines what it does by default, and what was changed. Databases are made where temporary
files go (`TMPDIR`), which must be a disk.

- ``floor``: `commit_us`, the median one-row commit, measured between the runs of all arms (``durability/floor.py``).
- ``W1`` to ``W4``: the workloads of ``arms/workloads.py``, arms taking turns: `us_per_step`, `commit_ratio` (of W1: a
  step over a commit), `efficiency` (of W4), and `efficiency_ratio` (over ``asyncio-sqlite``'s, which is bare asyncio
  with one writer thread and group commit).
- ``crash-chain``: a chain with a durable record a step, killed with ``kill -9`` at random moments
  (``durability/kills.py``): `lost_ops`, `once_repeated`, `paid_calls_repeated`, `ops_repeated`, `resume_s`.
- ``crash``: the same over ``durability/programs.py``: loops, maps, races, branches, attempts, chats, questions, timers,
  budgets and ``once`` tools with and without keys, all at once in one store, while coordinators, the engine, worker
  processes and the database itself are killed (``durability/crashes.py``). Also `wrong_results`, `over_budget`,
  `takeover_s` and `silent_takeover_s`; of ours alone.
- ``crash-synced``: what is killed goes on with the files as they were at their last sync; `syncs`, `acknowledged`, and
  `unsynced`, what was acknowledged and not synced; of ours in SQLite alone.
- ``crash-vllm``: a real vLLM with the bundled model is killed, and coordinators; only where it is asked for.
- ``open``: `open_s` until a run of very many ops that was killed does its next one, and `open_mib`, the most memory
  that this took; `run_mib`, by how much the process had grown that did all of them, and `journal_bytes`; of ours alone.
- ``history``: `journal_bytes`, all files of the store after 100 calls that add 5 KB of text each to a conversation.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import psutil

from benchmarks.arms import history
from benchmarks.arms.workloads import SEED, SIZES
from benchmarks.durability import crashes, kills, programs, synced
from benchmarks.durability.crashes import Theatre
from benchmarks.durability.floor import Floor
from benchmarks.durability.nursery import Nursery
from benchmarks.durability.plays import OnVllm, PowerCuts, Store
from benchmarks.durability.vllm import Vllm
from benchmarks.harness.machine import describe, versions
from benchmarks.harness.record import FOLDER, Report, Result
from benchmarks.harness.stats import spread
from benchmarks.harness.turns import Arm, Bench
from benchmarks.harness.venvs import default_root
from tests.postgresql import running_server

OURS = ("sqlite", "postgresql")
FLOOR = "asyncio-sqlite"
DBOS = ("dbos==3.4.0", "psycopg[binary]==3.3.9")
BURR = ("apache-burr[tracking]==0.43.0", "aiosqlite==0.22.1")
LANGGRAPH = ("langgraph==1.2.24", "langgraph-checkpoint-sqlite==3.1.2", "aiosqlite==0.22.1")
IN_SERVER = (("history", "keeps it among the server's own files"),)
ARMS = (
    Arm(FLOOR, "durable_asyncio"),
    Arm("sqlite", "durable_orchestrator"),
    Arm(
        "postgresql",
        "durable_orchestrator_postgresql",
        lacks=(*IN_SERVER, ("crash-synced", "its own processes sync, in which nothing is loaded")),
    ),
    Arm("dbos-sqlite", "durable_dbos", DBOS, quick_sizes=(("W3", 400),)),
    Arm(
        "dbos-postgresql",
        "durable_dbos_postgresql",
        DBOS,
        quick_sizes=(("W3", 400),),
        lacks=IN_SERVER,
    ),
    Arm("burr-sqlite", "durable_burr", BURR, lacks=(("W3", "has no DAG"),)),
    Arm("langgraph-sqlite", "durable_langgraph", LANGGRAPH),
)
ON_POSTGRESQL = ("postgresql", "dbos-postgresql")
OF_OURS = ("crash", "crash-synced", "crash-vllm", "open")
CASES = (*SIZES, "crash-chain", "history", *OF_OURS)
UNASKED = tuple(case for case in CASES if case != "crash-vllm")
"""What runs where nobody says which: a vLLM takes a minute to start."""
FULL = {"crash-chain": 6, "crash": 60, "silences": 1, "crash-synced": 30, "crash-vllm": 5, "open": 100_000}
QUICK = {"crash-chain": 1, "crash": 12, "silences": 0, "crash-synced": 4, "crash-vllm": 1, "open": 20_000}
"""Kills of each arm, and ops, that take a quarter of an hour in all, or a few minutes."""
OPEN_TIMEOUT_S = 36_000.0
CHAIN = 300
"""Steps of the chain that is killed."""
KILL_SEED = 12


def timed(
    bench: Bench, floor: Floor, cases: list[str], arms: list[Arm], interpreters: dict[str, Path]
) -> dict[str, str]:
    """Measure the workloads; the versions that the arms say."""
    found: dict[str, str] = {}
    with ExitStack() as stack:
        live = bench.start(arms, interpreters, stack)
        for each in live:
            found.update(each.process.hello["versions"])
        for case in cases:
            bench.measure(case, live)
    bench.results += floor.results()
    return found


def ratios(results: list[Result]) -> list[Result]:
    """W1's steps over the floor's commits, and W4's efficiency over bare asyncio's."""
    by = {(result.case, result.arm, result.metric): result for result in results}
    commit, bare = by.get(("floor", "sqlite", "commit_us")), by.get(("W4", FLOOR, "efficiency"))
    made: list[Result] = []
    for (case, arm, metric), result in by.items():
        if case == "W1" and metric == "us_per_step" and commit is not None:
            made.append(_over(result, commit, "commit_ratio"))
        if case == "W4" and metric == "efficiency" and bare is not None and arm != FLOOR:
            made.append(_over(result, bare, "efficiency_ratio"))
    return made


def _over(result: Result, base: Result, metric: str) -> Result:
    value = round(result.value / base.value, 3)
    return Result(case=result.case, arm=result.arm, metric=metric, value=value, unit="ratio", n=result.n)


def crash_chain(arm: Arm, python: Path, folder: Path, count: int) -> list[Result]:
    """Kill an arm's chain that often. Raises VictimError."""
    command = kills.arm_command(python, arm.script, CHAIN)
    return tallied("crash-chain", arm.name, kills.kill_at_random(["chain"], command, folder, count, KILL_SEED))


def crash(arm: Arm, folder: Path, count: int, silences: int) -> list[Result]:
    """Kill what executes the programs that often, and have a coordinator be silent that often. Raises VictimError."""
    with ExitStack() as stack:
        server = stack.enter_context(running_server()) if arm.name in ON_POSTGRESQL else None
        theatre = Theatre(stack.enter_context(Nursery()), Store(server), folder, KILL_SEED)
        theatre.rehearse()
        theatre.kill_at_random(count)
        for _ in range(silences):
            theatre.be_silent()
    return survived("crash", arm.name, theatre.tally)


def crash_synced(arm: Arm, folder: Path, count: int) -> list[Result]:
    """Have what executes the programs lose its power that often. Raises VictimError."""
    try:
        library = synced.library(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        raise kills.VictimError(f"what is on the disk is kept by a library in C: {error}") from error
    with Nursery({"LD_PRELOAD": str(library)}) as nursery:
        theatre = Theatre(nursery, Store(), folder, KILL_SEED, play=PowerCuts)
        theatre.rehearse()
        tally = theatre.kill_at_random(count)
    counts = {
        "syncs": tally.syncs.syncs,
        "acknowledged": tally.syncs.acknowledged,
        "unsynced": tally.syncs.unsynced,
    }
    return survived("crash-synced", arm.name, tally) + [
        Result(case="crash-synced", arm=arm.name, metric=metric, value=value, unit="count", n=tally.plays)
        for metric, value in counts.items()
    ]


def crash_vllm(arm: Arm, folder: Path, count: int) -> list[Result]:
    """Kill a vLLM, and the coordinators that use it, that often. Raises VictimError."""
    if find_spec("vllm") is None:
        raise kills.VictimError("vLLM is not installed")
    with Vllm(folder) as vllm, Nursery() as nursery:
        talking = (programs.looping.name, programs.chatting.name)
        theatre = Theatre(nursery, Store(), folder, KILL_SEED, programs=talking, play=partial(OnVllm, vllm))
        theatre.rehearse()
        return survived("crash-vllm", arm.name, theatre.kill_at_random(count))


def survived(case: str, arm: str, tally: crashes.Tally) -> list[Result]:
    """The figures of plays whose processes were killed."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(tally.kills.items()))
    made = counted(case, arm, tally.verdict, tally.kills.total(), kinds)
    for metric, value in (("wrong_results", tally.wrong), ("over_budget", tally.over_budget)):
        made.append(Result(case=case, arm=arm, metric=metric, value=value, unit="runs", n=tally.runs))
    for metric, samples in (
        ("resume_s", tally.resumed_s),
        ("takeover_s", tally.taken_over_s),
        ("silent_takeover_s", tally.silent_s),
    ):
        made += waited(case, arm, metric, samples)
    return made


def reopen(arm: Arm, python: Path, folder: Path, ops: int) -> list[Result]:
    """Open a run of that many ops, which was killed in front of its last one. Raises VictimError."""
    command = kills.arm_command(python, arm.script, ops)("open", folder)
    played, grown = kills.reopened(command, folder, OPEN_TIMEOUT_S)
    (found, mib), (seconds,) = played.value, played.resumed_s
    if found != ops:
        raise kills.VictimError(f"{found} ops instead of {ops}")
    figures = [
        ("open_s", round(seconds, 3), "s"),
        ("open_mib", round(mib, 1), "MiB"),
        ("run_mib", round(grown, 1), "MiB"),
    ]
    if arm.name not in ON_POSTGRESQL:
        figures.append(("journal_bytes", kept_bytes(folder), "bytes"))
    return [
        Result(case="open", arm=arm.name, metric=metric, value=value, unit=unit, n=1, note=f"{ops:,} ops")
        for metric, value, unit in figures
    ]


def weigh_history(arm: Arm, python: Path, folder: Path) -> list[Result]:
    """What an arm keeps of a long conversation. Raises VictimError."""
    played = kills.play(kills.arm_command(python, arm.script, history.CALLS)("history", folder), folder, ())
    if played.value != history.expected(history.CALLS):
        raise kills.VictimError(f"returned {played.value!r} instead of {history.expected(history.CALLS)}")
    kept = kept_bytes(folder)
    return [Result(case="history", arm=arm.name, metric="journal_bytes", value=kept, unit="bytes", n=history.CALLS)]


def kept_bytes(folder: Path) -> int:
    """What a store has in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name not in kills.OWN_FILES)


def apart(bench: Bench, case: str, arms: list[Arm], measure: Callable[[Arm, Path], list[Result]]) -> None:
    """Measure a case in one arm after the other, each in a folder of its own."""
    for arm in arms:
        if case in dict(arm.lacks):
            bench.skip(arm.name, dict(arm.lacks)[case], case)
            continue
        print(f"{case}: {arm.name}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="orchestrator-bench-") as folder:
            try:
                began = time.monotonic()
                bench.results += measure(arm, Path(folder))
                print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr)
            except kills.VictimError as error:
                bench.skip(arm.name, error, case)


def tallied(case: str, arm: str, tally: kills.Tally) -> list[Result]:
    """The figures of a tally."""
    made = counted(case, arm, tally.verdict, tally.kills)
    return made + waited(case, arm, "resume_s", tally.resumed_s)


def counted(case: str, arm: str, verdict: kills.Verdict, n: int, note: str | None = None) -> list[Result]:
    """What ``n`` kills have done to ops; ``note`` says what was killed."""
    counts = {
        "lost_ops": verdict.lost,
        "once_repeated": verdict.repeated["once"] + verdict.repeated["keyed"],
        "paid_calls_repeated": verdict.repeated["model"],
        "ops_repeated": verdict.repeated["idempotent"] + verdict.repeated["reads"],
        "in_flight_repeated": verdict.in_flight,
    }
    return [
        Result(case=case, arm=arm, metric=metric, value=value, unit="ops", n=n, note=note)
        for metric, value in counts.items()
    ]


def waited(case: str, arm: str, metric: str, seconds: list[float]) -> list[Result]:
    """Median and range of what was waited for, where anything was."""
    if not seconds:
        return []
    middle, low, high = spread([round(each, 4) for each in seconds])
    return [Result(case=case, arm=arm, metric=metric, value=middle, unit="s", n=len(seconds), low=low, high=high)]


def filesystem(folder: str) -> str:
    """The type of the file system that holds a folder."""
    path = Path(folder).resolve()
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    return next((mounts[str(place)] for place in (path, *path.parents) if str(place) in mounts), "unknown")


def _postgresql(stack: ExitStack) -> tuple[str | None, str]:
    """The URL of a server that runs until the stack is left, for us and for the arms; or None, and why."""
    if find_spec("psycopg") is None:
        return None, "psycopg is not installed"
    try:
        url = stack.enter_context(running_server()).url
    except (FileNotFoundError, RuntimeError) as error:
        return None, str(error)
    os.environ["ORCH_BENCH_POSTGRESQL"] = url
    return url, ""


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; exits 1 where an arm of ours failed in some case, 2 where nothing would be on disk."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.durable", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and kills, and a smaller W3 for DBOS")
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "durable.json", metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--arms", default=",".join(arm.name for arm in ARMS))
    parser.add_argument("--cases", default=",".join(UNASKED), help=f"of {','.join(CASES)}")
    parser.add_argument("--repetitions", type=int, help="timed runs per arm and case (5, with --quick 2)")
    parser.add_argument("--kills", type=int, help="of each arm (default: few)")
    parser.add_argument("--ops", type=int, help="of the run that is opened (default: few)")
    parser.add_argument("--venvs", type=Path, default=default_root(), help="where the peers' venvs are kept")
    options = parser.parse_args(argv)
    disk = filesystem(tempfile.gettempdir())
    if disk in ("tmpfs", "ramfs"):
        print(f"{tempfile.gettempdir()} is a {disk}: set TMPDIR to a folder on a disk", file=sys.stderr)
        return 2
    chosen = [arm for arm in ARMS if arm.name in options.arms.split(",")]
    cases = options.cases.split(",")

    with ExitStack() as stack:
        url, missing = _postgresql(stack)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orchestrator-bench-")))
        floor = Floor(folder, url)
        stack.callback(floor.close)
        repetitions = options.repetitions or (2 if options.quick else 5)
        bench = Bench(repetitions, SIZES, quick=options.quick, between=floor.sample)
        if url is None:
            for arm in chosen:
                if arm.name in ON_POSTGRESQL:
                    bench.skip(arm.name, missing)
            chosen = [arm for arm in chosen if arm.name not in ON_POSTGRESQL]
        interpreters = bench.interpreters(chosen, options.venvs)
        machine = describe()
        found = versions("orchestrator", "uvloop") | {"filesystem": disk} | floor.versions
        found |= timed(bench, floor, [case for case in cases if case in SIZES], chosen, interpreters)
        bench.results += ratios(bench.results)
        few = QUICK if options.quick else FULL
        ops = options.ops or few["open"]
        measures: dict[str, Callable[[Arm, Path], list[Result]]] = {
            "crash-chain": lambda arm, place: crash_chain(
                arm, interpreters[arm.name], place, options.kills or few["crash-chain"]
            ),
            "crash": lambda arm, place: crash(arm, place, options.kills or few["crash"], few["silences"]),
            "crash-synced": lambda arm, place: crash_synced(arm, place, options.kills or few["crash-synced"]),
            "crash-vllm": lambda arm, place: crash_vllm(arm, place, options.kills or few["crash-vllm"]),
            "open": lambda arm, place: reopen(arm, interpreters[arm.name], place, ops),
            "history": lambda arm, place: weigh_history(arm, interpreters[arm.name], place),
        }
        there = [arm for arm in chosen if arm.name in interpreters]
        for case in (case for case in cases if case in measures):
            having = [arm for arm in there if arm.name in OURS or case not in OF_OURS]
            apart(bench, case, having, measures[case])
    report = Report(
        benchmark="durable",
        quick=options.quick,
        command="python -m benchmarks.durable" + (" --quick" if options.quick else ""),
        machine=machine.finished(),
        versions=found,
        seeds={"W3": SEED, "kills": KILL_SEED},
        results=bench.results,
        skipped=bench.skipped,
    )
    report.write(options.json)
    print(table(report))
    return int(any(skip.arm in OURS for skip in bench.skipped))


COLUMNS = (
    *((f"{case} µs", case, "us_per_step") for case in SIZES),
    ("W4 eff.", "W4", "efficiency"),
    ("W4 of asyncio's", "W4", "efficiency_ratio"),
    ("chain: resume s", "crash-chain", "resume_s"),
    ("kills: resume s", "crash", "resume_s"),
    ("taken over s", "crash", "takeover_s"),
    ("open s", "open", "open_s"),
    ("open MiB", "open", "open_mib"),
    ("history B", "history", "journal_bytes"),
)


def table(report: Report) -> str:
    """A table in Markdown, one row an arm; in front of it the floor, behind it what the kills did."""
    floor = ", ".join(f"{r.arm} {r.value:.0f} µs" for r in report.results if r.case == "floor")
    there = [column for column in COLUMNS if any((r.case, r.metric) == column[1:] for r in report.results)]
    lines = [f"A commit: {floor}.", ""] if floor else []
    lines += ["| arm | " + " | ".join(head for head, *_ in there) + " |", "|---" * (len(there) + 1) + "|"]
    for arm in dict.fromkeys(result.arm for result in report.results if result.case != "floor"):
        cells = (report.find(case, metric, arm) for _, case, metric in there)
        lines.append(f"| `{arm}` | " + " | ".join(f"{cell.value:.3g}" if cell else "–" for cell in cells) + " |")
    crashes_of = dict.fromkeys((r.case, r.arm) for r in report.results if r.metric == "lost_ops")
    lines += [""] * bool(crashes_of) + [_survival(report, case, arm) for case, arm in crashes_of]
    return "\n".join(lines)


def _survival(report: Report, case: str, arm: str) -> str:
    """What kills have done, in a line."""
    metrics = ("lost_ops", "once_repeated", "paid_calls_repeated", "ops_repeated", "in_flight_repeated")
    metrics += ("wrong_results", "over_budget", "unsynced")
    found = [(metric, report.find(case, metric, arm)) for metric in metrics]
    said = ", ".join(f"{metric} {result.value:.0f}" for metric, result in found if result is not None)
    lost = report.find(case, "lost_ops", arm)
    assert lost is not None
    return f"- `{case}` `{arm}`, {lost.n} kills{f' ({lost.note})' if lost.note else ''}: {said}"


if __name__ == "__main__":
    sys.exit(main())
