"""``orch plan``: plans that are checked in, and the check that a later one is no worse."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from orchestrator.cli.command import Command
from orchestrator.cli.streams import deliver
from orchestrator.planner.plan import Plan
from orchestrator.planner.portable import portable
from tests.cli.conftest import FLOW, Orch
from tests.planner.clusters import LLAMA_8B

CLUSTER = """
[[device]]
name = "cpu"
type = "x86"
cores = 4
memory_bytes = 64e9
usd_per_hour = 0.2

[[device]]
name = "gpu"
type = "h100-sxm"
usd_per_hour = 2.5

[[device]]
name = "small"
type = "l4"
usd_per_hour = 0.3

[[engine]]
name = "main"
kind = "vllm"
model = "llama"
config = "llama.json"
device = "gpu"

[[engine]]
name = "cheap"
kind = "vllm"
model = "llama"
config = "llama.json"
device = "small"
"""
SLOWER = FLOW.replace("samples=3", "samples=9").replace("max_tokens=40", "max_tokens=4000")


@pytest.fixture
def priced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a cluster whose prices are all known, and nothing learned from earlier runs."""
    (folder / "c.toml").write_text(CLUSTER)
    (folder / "llama.json").write_text(json.dumps(LLAMA_8B))
    monkeypatch.setenv("ORCH_CALIBRATION", str(folder / "calibration.jsonl"))
    return folder


def rewrite(folder: Path, text: str) -> None:
    """Replace flow.py some time later, as Python takes bytecode for new by seconds, and forget that it was imported."""
    file = folder / "flow.py"
    later_s = file.stat().st_mtime + 2
    file.write_text(text)
    os.utime(file, (later_s, later_s))
    forget(folder)


def forget(folder: Path) -> None:
    """Take what was imported from a folder out of ``sys.modules``."""
    for name in [
        each for each, module in sys.modules.items() if str(getattr(module, "__file__", "")).startswith(str(folder))
    ]:
        del sys.modules[name]


def test_a_plan_is_printed_for_people_or_as_json(orch: Orch, priced: Path) -> None:
    text = orch("plan", "flow.py", "--cluster", "c.toml")
    assert (text.code, text.out.startswith("Plan of `answer`, made for latency.")) == (0, True)
    assert ", p95 " in text.out
    plan = Plan.from_json(orch("plan", "flow.py", "--cluster", "c.toml", "--json").out)
    assert plan.p95_s is not None
    assert plan.by_id["llm_1"].batch_cap
    assert plan.by_id["llm_1"].spent_s
    assert plan.rejected[0].label == "engine:cheap instead of engine:main"


def test_a_plan_is_written_and_is_as_good_as_itself(orch: Orch, priced: Path) -> None:
    made = orch("plan", "flow.py", "--cluster", "c.toml", "--objective", "cost", "--rate", "30/min", "--out", "p.json")
    assert (made.code, made.out) == (0, "")
    assert "wrote p.json" in made.err
    plan = Plan.load(priced / "p.json")
    assert (plan.objective, plan.rate_per_s) == ("cost", 0.5)
    again = orch("plan", "flow.py", "--check", "p.json")
    assert again.code == 0
    assert "within 5.0% of p.json" in again.out
    assert "changed" not in again.err
    data = json.loads(orch("plan", "flow.py", "--check", "p.json", "--tolerance", "0", "--json").out)
    assert (data["ok"], data["tolerance"], data["workflow_changed"], data["ops"]) == (True, 0.0, False, [])


def test_a_plan_knows_what_it_is_a_plan_of(orch: Orch, priced: Path) -> None:
    orch("plan", "flow.py:answer", "--cluster", "c.toml", "--out", "p.json")
    assert Plan.load(priced / "p.json").target == "flow.py:answer"
    assert orch("plan", "--check", "p.json").code == 0
    rewrite(priced, SLOWER)
    assert "ORCH-P030" in orch("plan", "--check", "p.json").err
    explained = orch("explain", "flow.py", "--cluster", "c.toml", "--json").out
    (priced / "anonymous.json").write_text(explained)
    ended = orch("plan", "--check", "anonymous.json")
    assert (ended.code, "ORCH-U002" in ended.err, "orch plan TARGET --check" in ended.err) == (2, True, True)
    assert orch("plan", "two.py:wrong", "--check", "p.json").code == 1
    assert "TARGET" in orch("plan").err


def test_the_same_plan_gives_the_same_file(orch: Orch, priced: Path) -> None:
    for name in ("a.json", "b.json"):
        orch("plan", "flow.py", "--cluster", "c.toml", "--out", name)
    assert (priced / "a.json").read_bytes() == (priced / "b.json").read_bytes()


def test_a_checked_in_plan_moves_with_its_project(
    orch: Orch, priced: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (priced / "plans").mkdir()
    orch("plan", "flow.py", "--cluster", "c.toml", "--out", "plans/p.json")
    assert str(priced) not in (priced / "plans" / "p.json").read_text()
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "project"
    priced.rename(elsewhere)
    monkeypatch.chdir(elsewhere)
    forget(priced)
    ended = orch("plan", "flow.py", "--check", "plans/p.json", "--tolerance", "0")
    assert (ended.code, ended.err) == (0, "")


def test_a_slower_workflow_fails_the_check_and_is_named(orch: Orch, priced: Path) -> None:
    orch("plan", "flow.py", "--cluster", "c.toml", "--out", "p.json")
    rewrite(priced, SLOWER)
    ended = orch("plan", "flow.py", "--check", "p.json")
    assert ended.code == 1
    assert "ORCH-P030" in ended.err
    assert "ORCH-P031" in ended.err
    assert "llm_1 (+" in ended.err
    assert "flow.py:" in ended.err
    assert "the workflow has changed since p.json was made" in ended.err
    assert "workflow   changed" in ended.out
    data = json.loads(orch("plan", "flow.py", "--check", "p.json", "--json").out)
    assert [each["code"] for each in data["errors"]] == ["ORCH-P030", "ORCH-P031"]
    assert orch("plan", "flow.py", "--check", "p.json", "--tolerance", "1000000%").code == 0


def test_a_change_that_costs_nothing_passes_and_is_reported(orch: Orch, priced: Path) -> None:
    orch("plan", "flow.py", "--cluster", "c.toml", "--out", "p.json")
    rewrite(priced, FLOW.replace("SQL?", "SQL!"))
    ended = orch("plan", "flow.py", "--check", "p.json")
    assert ended.code == 0
    assert "the workflow has changed" in ended.err
    assert json.loads(orch("plan", "flow.py", "--check", "p.json", "--json").out)["workflow_changed"] is True


def test_another_cluster_can_be_checked_against(orch: Orch, priced: Path) -> None:
    orch("plan", "flow.py", "--cluster", "c.toml", "--out", "p.json")
    (priced / "slow.toml").write_text(CLUSTER.replace('"h100-sxm"', '"l4"'))
    ended = orch("plan", "flow.py", "--check", "p.json", "--cluster", "slow.toml")
    assert ended.code == 1
    assert "ORCH-P030" in ended.err


def test_a_price_that_got_lost_fails_the_check(orch: Orch, priced: Path) -> None:
    orch("plan", "flow.py", "--cluster", "c.toml", "--out", "p.json")
    (priced / "free.toml").write_text(CLUSTER.replace("usd_per_hour = 0.2\n", ""))
    ended = orch("plan", "flow.py", "--check", "p.json", "--cluster", "free.toml")
    assert (ended.code, "ORCH-P032" in ended.err, "run_sql" in ended.err) == (1, True, True)


def test_what_was_learned_meanwhile_does_not_fail_the_check(orch: Orch, priced: Path) -> None:
    orch("plan", "flow.py", "--cluster", "c.toml", "--out", "p.json")
    line = {
        "op": "llm_1", "frame": "", "kind": "decode", "device": "h100-sxm", "engine": "vllm",
        "predicted_s": 1.0, "measured_s": 1.5,
    }  # fmt: skip
    (priced / "calibration.jsonl").write_text("".join(json.dumps({"run": str(n), **line}) + "\n" for n in range(9)))
    now = orch("plan", "flow.py", "--cluster", "c.toml")
    assert "are corrected ×" in now.out
    assert "from 9 runs here" in now.out
    assert orch("plan", "flow.py", "--check", "p.json").code == 0
    off = orch("plan", "flow.py", "--cluster", "c.toml", "--no-calibration", "--json").out
    assert portable(Plan.from_json(off), priced / "p.json") == Plan.load(priced / "p.json")


def test_an_sla_is_kept_or_refused(orch: Orch, priced: Path) -> None:
    kept = orch("plan", "flow.py", "--cluster", "c.toml", "--sla", "10min")
    assert (kept.code, "(asked for 10min)" in kept.out) == (0, True)
    refused = orch("plan", "flow.py", "--cluster", "c.toml", "--sla", "1ms")
    assert (refused.code, "ORCH-P020" in refused.err, "llm_1" in refused.err) == (1, True, True)


def test_overload_is_refused(orch: Orch, priced: Path) -> None:
    ended = orch("plan", "flow.py", "--cluster", "c.toml", "--rate", "1000000")
    assert (ended.code, "ORCH-P021" in ended.err, "overload" in ended.err) == (1, True, True)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--check", "none.json"], "ORCH-P001", "none.json"),
        (["--check", "c.toml"], "ORCH-P002", "c.toml"),
        (["--objective", "fame"], "ORCH-U002", "fame"),
        (["--rate", "often"], "ORCH-U002", "--rate"),
        (["--rate", "0"], "ORCH-U002", "above 0"),
        (["--rate", "5/week"], "ORCH-U002", "30/min"),
        (["--sla", "soon"], "ORCH-U002", "--sla"),
        (["--sla", "0s"], "ORCH-U002", "above 0"),
        (["--tolerance", "little"], "ORCH-U002", "--tolerance"),
        (["--tolerance", "-5%"], "ORCH-U002", "--tolerance"),
        (["--cluster", "none.toml"], "ORCH-P001", "none.toml"),
        (["--objective", "throughput", "--base-url", "http://127.0.0.1:1/v1", "--model", "m"], "ORCH-P022", "device"),
        (["--out", "no/such/folder/p.json", "--cluster", "c.toml"], "ORCH-U090", "no/such/folder"),
    ],
)
def test_bad_options(orch: Orch, priced: Path, words: list[str], code: str, says: str) -> None:
    ended = orch("plan", "flow.py", *words)
    assert ended.code in (1, 2)
    assert ended.code == (2 if code in ("ORCH-U002",) else 1)
    assert code in ended.err
    assert says in ended.err
    assert "Traceback" not in ended.err


def test_predict_is_a_command_of_its_own(orch: Orch, priced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command(cls=Command)
    @click.option("--rows", required=True)
    def command(rows: str) -> int:
        """Predict rows."""
        deliver(f"rows {rows}")
        return 3

    module = ModuleType("orchestrator.cli.predict")
    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "orchestrator.cli.predict", module)
    assert orch("plan", "predict", "--rows", "x.csv").out == "rows x.csv\n"
    assert orch("plan", "predict", "--rows", "x.csv").code == 3
    assert "Usage: orch plan predict" in orch("plan", "predict", "--help").out
    missing = orch("plan", "predict")
    assert (missing.code, "ORCH-U002" in missing.err, "orch plan predict --help" in missing.err) == (2, True, True)
    assert "predict" in orch("plan", "--help").out


SHOPPING = """
[[device]]
name = "a100"
type = "a100-sxm-80gb"
count = 8

[[device]]
name = "cpu"
type = "x86"
cores = 4
memory_bytes = 64e9
usd_per_hour = 0.2

[[engine]]
name = "main"
kind = "vllm"
model = "meta-llama/Llama-3.1-8B"
"""


def test_a_plan_with_sites_is_checked_where_it_was_put(orch: Orch, folder: Path) -> None:
    (folder / "shopping.toml").write_text(SHOPPING)
    made = orch(
        "plan", "flow.py", "--cluster", "shopping.toml", "--rate", "5/s", "--objective", "cost", "--out", "p.json"
    )
    assert made.code == 0, made.err
    plan = Plan.load(folder / "p.json")
    assert [site.engine for site in plan.sites] == ["main"]
    again = orch("plan", "--check", "p.json", "--tolerance", "0%")
    assert again.code == 0, again.err
    (folder / "flow.py").write_text(FLOW.replace("max_tokens=40", "max_tokens=100"))
    worse = orch("plan", "--check", "p.json")
    assert worse.code == 1
    assert "ORCH-P030" in worse.err


def test_what_if_only_another_device_were_on_offer(orch: Orch, folder: Path) -> None:
    (folder / "shopping.toml").write_text(SHOPPING)
    ended = orch("explain", "flow.py", "--cluster", "shopping.toml", "--what-if", "device=l40s,count=4,price=0.6")
    assert ended.code == 0, ended.err
    assert "engine:main on l40s" in ended.out
    unknown = orch("explain", "flow.py", "--cluster", "shopping.toml", "--what-if", "device=l4000")
    assert unknown.code == 2
    assert "ORCH-U022" in unknown.err
