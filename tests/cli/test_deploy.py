"""``orch deploy``: what a plan would start is printed, compared and written, and nothing is started for that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.plan import Plan, Site
from tests.cli.conftest import Orch
from tests.runtime.deploy.plans import plan, vllm


@pytest.fixture
def plans(folder: Path) -> Path:
    """A folder with two plans that differ in a count."""
    for name, replicas in (("two.json", 2), ("three.json", 3)):
        site = Site(engine="main", device="gpu", tensor_parallel=2, replicas=replicas, batch=32)
        plan([vllm()], sites=[site]).save(folder / name)
    return folder


def test_a_dry_run_prints_replicas_devices_and_what_ray_reserves(orch: Orch, plans: Path) -> None:
    text = orch("deploy", "two.json", "--dry-run")
    assert text.code == 0
    row = next(line for line in text.out.splitlines() if line.startswith("main"))
    assert row.split("  ")[0] == "main"
    for shown in ("2 x gpu (tensor 2)", "gpu: 2, GPU: 2", "32", "m/llama"):
        assert shown in row
    data = json.loads(orch("deploy", "two.json", "--dry-run", "--json").out)
    (group,) = data["groups"]
    assert (data["ok"], data["name"], group["name"], group["devices"], group["replicas"]) == (
        True, "answer", "main", 2, 2,
    )  # fmt: skip


def test_a_dry_run_says_what_could_not_be_started(orch: Orch, folder: Path) -> None:
    site = Site(engine="main", device="gpu", tensor_parallel=1, replicas=1, role="prefill")
    plan([vllm()], sites=[site]).save(folder / "p.json")
    assert "not started `main` does prefill alone" in orch("deploy", "p.json", "--dry-run").out
    assert json.loads(orch("deploy", "p.json", "--dry-run", "--json").out)["cannot_start"]


def test_two_plans_are_compared(orch: Orch, plans: Path) -> None:
    assert orch("deploy", "three.json", "--diff", "two.json").out == (
        "main: 1 started, 2 serving on (replicas 2 -> 3)\n"
    )
    (change,) = json.loads(orch("deploy", "two.json", "--diff", "three.json", "--json").out)["changes"]
    assert (change["engine"], change["stopped"], change["kept"]) == ("main", 1, 2)


def test_configurations_are_written_where_they_are_wanted(orch: Orch, plans: Path) -> None:
    ended = orch("deploy", "two.json", "--emit", "vllm", "--out", "a/b")
    assert (ended.code, "sh a/b/serve.sh" in ended.out) == (0, True)
    assert {each.name for each in (plans / "a" / "b").iterdir()} == {"main.yaml", "serve.sh", "engines.toml"}
    files = json.loads(orch("deploy", "two.json", "--emit", "compose", "--json").out)["files"]
    assert set(files) == {f"deployment/{each}" for each in ("main.yaml", "compose.yaml", "engines.toml")}


def test_an_emitted_model_is_where_this_machine_has_it(orch: Orch, folder: Path) -> None:
    (folder / "plans").mkdir()
    written = plan([vllm(model="../weights")])
    (folder / "plans" / "p.json").write_text(written.to_json())
    orch("deploy", "plans/p.json", "--emit", "vllm")
    assert f"vllm serve {folder.resolve() / 'weights'} " in (folder / "deployment" / "serve.sh").read_text()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("two.json",), "ORCH-U002"),
        (("two.json", "--dry-run", "--emit", "vllm"), "ORCH-U002"),
        (("two.json", "--dry-run", "--out", "x"), "ORCH-U002"),
        (("two.json", "--emit", "podman"), "ORCH-U002"),
        (("gone.json", "--dry-run"), "ORCH-P001"),
        (("notes.txt", "--dry-run"), "ORCH-P002"),
        (("far.json", "--emit", "vllm"), "ORCH-R120"),
        (("two.json", "--emit", "vllm", "--out", "notes.txt"), "ORCH-U090"),
    ],
)
def test_what_makes_no_sense_is_one_coded_error(orch: Orch, plans: Path, words: tuple[str, ...], code: str) -> None:
    (plans / "notes.txt").write_text("not a plan")
    plan([EngineSpec(name="far", kind="openai", model="gpt")]).save(plans / "far.json")
    ended = orch("deploy", *words)
    assert (ended.code != 0, f"error[{code}]" in ended.err, "fix:" in ended.err) == (True, True, code != "ORCH-P002")
    assert json.loads(orch("deploy", *words, "--json").out)["errors"][0]["code"] == code


def test_a_plan_of_orch_plan_is_read(orch: Orch, folder: Path) -> None:
    assert orch("plan", "flow.py", "--engine", "sim", "--out", "p.json").code == 0
    assert Plan.load(folder / "p.json").cluster.engines
    ended = orch("deploy", "p.json", "--dry-run", "--name", "mine")
    assert (ended.code, ended.out.startswith("The deployment `mine` starts:")) == (0, True)
